"""Command lines that are killed (-9) at a chosen change of the file system.

``Nursery`` is a process that forks a child for each command line, and then imports what the child
has imported, so that the next one starts at once. The child counts the changes that it makes below
its folder: files opened for writing, folders made, names changed and removed. At the chosen one it
kills itself: before the change, or, where a file is opened for writing, after it was emptied and
before anything was written.

Run as a script, this file is the nursery.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate")
_SHARED = (
    "PIL", "cv2", "jinja2", "layton_bench", "numpy", "pandas", "pyarrow", "rich", "safetensors",
    "scipy", "torch", "typer",
)  # fmt: skip
_IMPORTED = "imported.txt"

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass(frozen=True)
class Ended:
    """How a child ended: its exit code (-9 if it was killed), its changes, what it printed."""

    code: int
    changes: int
    output: str


class Nursery:
    """Children that run command lines in ``folder``."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self._process = subprocess.Popen(
            [sys.executable, __file__], env=environment, cwd=folder.parent, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def __call__(self, *words: str, kill_at: int = 0) -> Ended:
        """Run a command line; with ``kill_at`` n, kill it at its n-th change."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"words": words, "folder": str(self.folder), "kill_at": kill_at}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return Ended(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End the nursery."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        assert self._process.stdout is not None
        self._process.stdout.close()


class _Counter:
    """An audit hook that counts changes below a folder, and kills this process at one."""

    def __init__(self, folder: str, kill_at: int, report: int) -> None:
        self._folder, self._kill_at, self._report = folder, kill_at, report
        self._count, self._is_busy = 0, False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._is_busy or not self._is_change(event, arguments):
            return
        self._count += 1
        os.write(self._report, b".")
        if self._count != self._kill_at:
            return
        self._is_busy = True
        if event == "open" and arguments[2] & os.O_TRUNC and self._count % 2:
            os.open(arguments[0], arguments[2], 0o600)
        os.kill(os.getpid(), signal.SIGKILL)

    def _is_change(self, event: str, arguments: tuple[Any, ...]) -> bool:
        if event == "open":
            path, _, flags = arguments
            if not flags & WRITES or isinstance(path, int):
                return False
        elif event in CHANGES:
            path = arguments[0]
        else:
            return event == "attack.batch"
        if not isinstance(path, str):
            return False
        whole = os.path.abspath(path)  # noqa: PTH100, Path.resolve would ask the system
        return whole.startswith(self._folder)


def _child(order: dict[str, Any], report: int) -> int:
    from layton_bench.cli import invoke

    os.chdir(order["folder"])
    output = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.addaudithook(_Counter(order["folder"], order["kill_at"], report))
    code = invoke(order["words"])
    imported = Path(order["folder"]).with_name(_IMPORTED)
    imported.write_text("\n".join(sys.modules), encoding="utf-8")
    return code


def _import_as(path: Path) -> None:
    for name in path.read_text("utf-8").splitlines() if path.exists() else []:
        if name not in sys.modules and name.split(".")[0] in _SHARED:
            with suppress(Exception):  # a module that is found by other means
                importlib.import_module(name)


def _serve() -> None:
    import torch  # noqa: F401, before a module that it imports half of

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        order = json.loads(line)
        reading, report = os.pipe()
        child = os.fork()
        if child == 0:
            code = 70
            try:
                os.close(reading)
                code = _child(order, report)
            finally:
                sys.stdout.flush()
                os._exit(code)
        os.close(report)
        changes = 0
        while data := os.read(reading, 4096):
            changes += len(data)
        os.close(reading)
        _, status = os.waitpid(child, 0)
        _import_as(Path(order["folder"]).with_name(_IMPORTED))
        text = (Path(order["folder"]) / "output.txt").read_text("utf-8", errors="replace")
        ended = {"code": os.waitstatus_to_exitcode(status), "changes": changes, "output": text}
        answers.write(json.dumps(ended) + "\n")
        answers.flush()


if __name__ == "__main__":
    _serve()

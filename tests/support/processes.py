"""The command line in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from places import ROOT

if TYPE_CHECKING:
    from lab import Lab


def process(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "layton_bench", *words], cwd=cwd, env=environment(),
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip


def environment() -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "plugins")])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


class Slow:
    """``layton-bench run`` of the slow model in a process of its own, one image a batch."""

    def __init__(self, lab: Lab, tmp_path: Path) -> None:
        self.marks = tmp_path / "marks"
        self.marks.mkdir()
        words = [*lab.words("lab-slow"), "--set", f"marks={self.marks}", "--batch-size", "1"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "layton_bench", *words], env=environment(),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def wait_for_batch(self, number: int) -> None:
        deadline = time.monotonic() + 300
        while not (self.marks / str(number)).exists():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def press(self, number: int = signal.SIGINT) -> None:
        self.process.send_signal(number)

    def finish(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=300)
        return self.process.returncode, out, err

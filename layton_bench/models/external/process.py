"""A child process that exchanges lines, in a process group that never outlives this process.

There are no threads: the three pipes are served while this process waits for a line. Between two
waits, a child that fills a pipe waits too, which does no harm.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from layton_bench.models.external.text import printable

_CHUNK: Final = 65_536
_MAX_LINE_BYTES: Final = 2**20
_MAX_STDERR_BYTES: Final = 8_192
_LAST_LINES: Final = 5

_GRACE_SECONDS: Final = 5.0
"""Time that a child has to end after its standard input is closed."""

_EXIT_SECONDS: Final = 1.0
"""Time that a child has to end after it closed its standard output."""


class ChildLostError(Exception):
    """The child has ended or was stopped. The message says why, with its last lines of stderr."""


class ChildProcess:
    """A running child.

    Its process group is killed by ``close``, when this object is collected, at the interpreter's
    exit, and by a watchdog process where this one is killed.

    Args:
        command: program and arguments.
        cwd: its working directory.
        environment: all its environment variables.
        folder: folder that the watchdog removes with the child.

    Raises:
        ChildLostError: it cannot be started.
    """

    def __init__(
        self, command: Sequence[str], *, cwd: Path, environment: Mapping[str, str], folder: Path
    ) -> None:
        try:
            process = _popen(command, subprocess.PIPE, cwd=cwd, environment=environment)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ChildLostError(f"{command[0]} cannot be run ({reason})") from None
        self._process = process
        self._end = weakref.finalize(self, _end, process, _watch(process, folder))
        self._incoming, self._outgoing, self._stderr = bytearray(), bytearray(), bytearray()
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._stdin, self._stdout = process.stdin.fileno(), process.stdout.fileno()
        self._selector = selectors.DefaultSelector()
        for pipe in (process.stdin, process.stdout, process.stderr):
            os.set_blocking(pipe.fileno(), False)
        for pipe in (process.stdout, process.stderr):
            self._selector.register(pipe, selectors.EVENT_READ)
        self._is_closed = False

    def send(self, line: bytes) -> None:
        """Send a line. It is written while ``receive`` waits."""
        if not self._outgoing and not self._is_closed:
            self._selector.register(self._stdin, selectors.EVENT_WRITE)
        self._outgoing += line + b"\n"

    def receive(self, seconds: float) -> bytes | None:
        """Return its next line, or None if none came in time; raises ChildLostError."""
        until = time.monotonic() + seconds
        while (end := self._incoming.find(b"\n")) < 0:
            if self._is_closed:
                raise self.lost(self._obituary())
            if len(self._incoming) > _MAX_LINE_BYTES:
                raise self.lost(f"it wrote a line of more than {_MAX_LINE_BYTES:,} bytes")
            left = until - time.monotonic()
            if left <= 0:
                return None
            self._serve(left)
        line = bytes(self._incoming[:end])
        del self._incoming[: end + 1]
        return line

    def lost(self, reason: str) -> ChildLostError:
        """Kill the child; returns the error to raise."""
        _kill_group(self._process)
        until = time.monotonic() + _EXIT_SECONDS
        while self._selector.get_map() and (left := until - time.monotonic()) > 0:
            self._serve(left)
        self.close()
        lines = [printable(line) for line in self._stderr.decode(errors="replace").splitlines()]
        last = " | ".join([line for line in lines if line][-_LAST_LINES:])
        return ChildLostError(f"{reason}; its last lines on stderr: {last}" if last else reason)

    def close(self) -> None:
        """Close its standard input, wait a moment, and kill its process group."""
        self._selector.close()
        self._end()

    def _serve(self, seconds: float) -> None:
        """Read from and write to the pipes that are ready."""
        for key, _ in self._selector.select(seconds):
            if key.fd == self._stdin:
                self._write()
            else:
                self._read(key.fd)

    def _write(self) -> None:
        try:
            del self._outgoing[: os.write(self._stdin, self._outgoing[:_CHUNK])]
        except BlockingIOError:
            return
        except BrokenPipeError:  # it has ended, and the end of its output shows that
            self._outgoing.clear()
        if not self._outgoing:
            self._selector.unregister(self._stdin)

    def _read(self, pipe: int) -> None:
        try:
            data = os.read(pipe, _CHUNK)
        except BlockingIOError:
            return
        if not data:
            self._selector.unregister(pipe)
            self._is_closed |= pipe == self._stdout
        elif pipe == self._stdout:
            self._incoming += data
        else:
            self._stderr += data
            del self._stderr[:-_MAX_STDERR_BYTES]

    def _obituary(self) -> str:
        """Return how it ended, after its output has ended."""
        try:
            code = self._process.wait(timeout=_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            return "it closed its standard output"
        if code >= 0:
            return f"it ended with exit code {code}"
        with suppress(ValueError):
            return f"it was killed by {signal.Signals(-code).name}"
        return f"it was killed by signal {-code}"


def _popen(
    command: Sequence[str],
    output: int,
    *,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process in a new session, which Ctrl-C at the terminal does not reach."""
    return subprocess.Popen(
        command, cwd=cwd, env=environment, stdin=subprocess.PIPE, stdout=output, stderr=output,
        bufsize=0, start_new_session=True,
    )  # fmt: skip


def _watch(process: subprocess.Popen[bytes], folder: Path) -> subprocess.Popen[bytes]:
    """Start the watchdog of a child."""
    script = Path(__file__).with_name("watchdog.py")
    command = [sys.executable, "-I", "-S", str(script), str(process.pid), str(folder)]
    try:
        return _popen(command, subprocess.DEVNULL)
    except BaseException:
        _kill_group(process)
        _reap(process)
        raise


def _end(process: subprocess.Popen[bytes], watchdog: subprocess.Popen[bytes]) -> None:
    """Let the child end by itself, kill its process group, then end the watchdog."""
    if process.stdin is not None:
        process.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=_GRACE_SECONDS)
    _kill_group(process)
    _reap(process)
    assert watchdog.stdin is not None
    with suppress(BrokenPipeError):
        watchdog.stdin.write(b"\n")
    _reap(watchdog)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    # it is gone, or (on macOS) only a zombie is left
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _reap(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=_GRACE_SECONDS)

"""Ctrl-C and SIGTERM: the batch finishes, so that every metric has seen the same samples.

Both raise ``errors.CtrlC``. A plugin that raises KeyboardInterrupt does not stop the program.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from layton_bench.errors import CtrlC

_log = logging.getLogger(__name__)

STOPS = (signal.SIGINT, signal.SIGTERM)
"""Signals that ask a program to stop. Batch systems send SIGTERM before they kill."""

_received: list[int] = []


def stop_code() -> int:
    """Return the exit code of a stopped program: 130 after Ctrl-C, 143 after SIGTERM."""
    return 128 + (_received[-1] if _received else signal.SIGINT)


@contextmanager
def stops_raise() -> Iterator[None]:
    """Within the block, Ctrl-C and SIGTERM raise CtrlC."""

    def handle(number: int, frame: FrameType | None) -> None:
        del frame
        _received.append(number)
        raise CtrlC

    _received.clear()
    with _handling(handle):
        yield


@contextmanager
def deferred_interrupt(work: str = "this batch") -> Iterator[Callable[[], bool]]:
    """Within the block, Ctrl-C and SIGTERM only set a flag; a second Ctrl-C raises CtrlC.

    Yields a function that returns the flag. Outside the main thread, where Python allows no signal
    handlers, nothing changes.

    Args:
        work: what still finishes after the first Ctrl-C.
    """
    stopped = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        del frame
        if stopped.is_set():
            if number == signal.SIGINT:
                raise CtrlC
            return
        _received.append(number)
        stopped.set()
        _log.warning("Stopping after %s; press Ctrl-C again to stop at once.", work)

    with _handling(handle):
        yield stopped.is_set


@contextmanager
def _handling(handle: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: signal.signal(number, handle)
        for number in STOPS
        if signal.getsignal(number) not in (signal.SIG_IGN, None)  # a shell's background job
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

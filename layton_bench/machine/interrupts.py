"""Ctrl-C that lets the batch in hand finish, so that every metric has seen the same samples."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from layton_bench.errors import CtrlC

_log = logging.getLogger(__name__)


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Within the block, the first Ctrl-C only sets a flag; the second interrupts at once.

    Yields a function that says whether the flag is set. Outside the main thread, where Python
    allows no signal handlers, nothing is changed.
    """
    pressed = threading.Event()

    def handle(signum: int, frame: FrameType | None) -> None:
        del signum, frame
        if pressed.is_set():
            raise CtrlC
        pressed.set()
        _log.warning("Stopping after this batch; press Ctrl-C again to stop at once.")

    if threading.current_thread() is not threading.main_thread():
        yield pressed.is_set
        return
    before = signal.signal(signal.SIGINT, handle)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, before)

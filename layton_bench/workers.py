"""An ordered map over worker processes that reads a bounded distance ahead and cleans up."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

from layton_bench.errors import UserError

V = TypeVar("V")
R = TypeVar("R")

CHUNK = 8
"""Most values a task: enough to hide the cost of a task, few enough to share out evenly."""


def map_ahead(
    function: Callable[[V], R], values: Iterable[V], *, num_workers: int, ahead: int
) -> Generator[R, None, None]:
    """``function(value)`` for every value, in order, computed ahead of its use.

    Args:
        function: picklable; each worker process is given it once.
        values: picklable; taken as they are needed.
        num_workers: processes; 0 computes in this one, when the result is asked for.
        ahead: how many results may wait (rounded up so that every worker has something to do).

    Raises:
        UserError: a worker died.
    """
    if num_workers == 0:
        yield from map(function, values)
        return
    chunk = max(1, min(CHUNK, ahead // (2 * num_workers)))
    pool = ProcessPoolExecutor(
        max_workers=num_workers,
        mp_context=get_context("spawn"),  # a forked child of a threaded process may deadlock
        initializer=_start_worker,
        initargs=(function,),
    )
    pending_limit = max(-(-ahead // chunk), 2 * num_workers)
    try:
        yield from _in_order(pool, _chunks(values, chunk), pending_limit=pending_limit)
    except BrokenProcessPool:
        raise UserError(
            "a process that reads images",
            "it died before its work was done (killed, or out of memory)",
            "Run again with fewer workers; --num-workers 0 reads in the main process.",
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def available_cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux; knows of containers and taskset
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _in_order(
    pool: ProcessPoolExecutor, chunks: Iterable[list[Any]], *, pending_limit: int
) -> Iterator[Any]:
    pending: deque[Future[list[Any]]] = deque()
    for chunk in chunks:
        pending.append(pool.submit(_run_chunk, chunk))
        if len(pending) >= pending_limit:
            yield from pending.popleft().result()
    while pending:
        yield from pending.popleft().result()


def _chunks(values: Iterable[V], size: int) -> Iterator[list[V]]:
    stream = iter(values)
    while chunk := list(islice(stream, size)):
        yield chunk


_function: Callable[[Any], Any]  # a worker's own, set once when it starts


def _start_worker(function: Callable[[Any], Any]) -> None:
    global _function
    _function = function
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's to handle
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    # a main process that is killed cannot tell its workers to stop
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run_chunk(values: Sequence[Any]) -> list[Any]:
    return [_function(value) for value in values]

"""An ordered map over worker processes, with a bounded number of results ahead of their use."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from itertools import islice
from multiprocessing import parent_process
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from layton_bench.errors import UserError

V = TypeVar("V")
R = TypeVar("R")

CHUNK = 8
"""Largest number of values per task: it hides the cost of a task, and shares work evenly."""


def map_ahead(
    function: Callable[[V], R],
    values: Iterable[V],
    *,
    num_workers: int,
    ahead: int,
    when_killed: Callable[[V], R] | None = None,
) -> Generator[R, None, None]:
    """Yield ``function(value)`` for every value, in order, computed ahead of its use.

    If a worker dies, its fellows are replaced, and the values that were being computed are computed
    again one by one, so that the value at which a worker dies is known.

    Args:
        function: picklable; sent to each worker process once.
        values: picklable; read as they are needed.
        num_workers: number of processes; 0 computes in this process, when a result is needed.
        ahead: number of results that may wait, rounded up so that every worker has work.
        when_killed: the result for a value at which a worker died; None makes it an error.

    Raises:
        UserError: a worker died and ``when_killed`` is None, workers cannot be started, or
            ``function`` raised one there.
        RuntimeError: ``function`` raised anything else in a worker; the message is its traceback.
    """
    if num_workers == 0:
        yield from map(function, values)
        return
    chunk = max(1, min(CHUNK, ahead // (2 * num_workers)))
    pool = _Pool(function, num_workers)
    pending_limit = max(-(-ahead // chunk), 2 * num_workers)
    try:
        yield from _in_order(
            pool, _chunks(values, chunk), pending_limit=pending_limit, when_killed=when_killed
        )
    finally:
        pool.close()


class _Pool:
    """Worker processes that are replaced when one of them dies."""

    def __init__(self, function: Callable[[Any], Any], num_workers: int) -> None:
        try:
            self._pickled = pickle.dumps(function)  # once, not again for every worker
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise UserError(
                "processes that read images",
                f"the data set or protocol cannot be sent to them: {error}",
                "Use --num-workers 0, or ask the plugin's author to make it picklable.",
            ) from error
        self._num_workers = num_workers
        self._executor = self._start()

    def _start(self) -> ProcessPoolExecutor:
        # not fork: the child of a process with threads may deadlock
        needs_main = b"__main__" in self._pickled
        return ProcessPoolExecutor(
            max_workers=self._num_workers,
            mp_context=_QuietSpawn() if needs_main else _BareSpawn(),
            initializer=_start_worker,
            initargs=(self._pickled,),
        )

    def submit(self, values: list[Any]) -> Future[_Done]:
        """Compute the results of these values; the future says so if a worker died."""
        try:
            return self._executor.submit(_run_chunk, values)
        except BrokenProcessPool as error:
            failed: Future[_Done] = Future()
            failed.set_exception(error)
            return failed

    def replace(self) -> None:
        """Start new workers in place of those that died."""
        self.close()
        self._executor = self._start()
        try:
            self._executor.submit(_run_chunk, []).result()
        except BrokenProcessPool:
            reason = "they die as soon as they are started"
            raise UserError("processes that read images", reason, _WITHOUT) from None

    def close(self) -> None:
        """End the workers."""
        self._executor.shutdown(wait=True, cancel_futures=True)


_WITHOUT = "Run again with fewer workers; --num-workers 0 reads in the main process."


class _QuietProcess(SpawnProcess):
    """A new interpreter that Ctrl-C does not reach: the main process stops it in order."""

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Any:  # noqa: N802, the base class's name
        if not hasattr(signal, "pthread_sigmask"):  # Windows
            return SpawnProcess._Popen(process_obj)
        held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return SpawnProcess._Popen(process_obj)  # inherits the mask
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)


class _BareProcess(_QuietProcess):
    """Likewise, and it does not import the main module again.

    Workers need nothing of it: a script need not guard its main part, and the command line's own
    imports are not repeated.
    """

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Any:  # noqa: N802, the base class's name
        main = sys.modules["__main__"]
        names = ("__file__", "__spec__")  # what multiprocessing.spawn finds the main module by
        held = {name: getattr(main, name) for name in names if hasattr(main, name)}
        try:
            for name in held:
                setattr(main, name, None)
            return _QuietProcess._Popen(process_obj)
        finally:
            for name, value in held.items():
                setattr(main, name, value)


class _QuietSpawn(SpawnContext):
    Process = _QuietProcess


class _BareSpawn(SpawnContext):
    Process = _BareProcess


def available_cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux; knows of containers and taskset
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _in_order(
    pool: _Pool,
    chunks: Iterable[list[Any]],
    *,
    pending_limit: int,
    when_killed: Callable[[Any], Any] | None,
) -> Iterator[Any]:
    pending: deque[tuple[list[Any], Future[_Done]]] = deque()

    def first() -> Iterator[Any]:
        chunk, future = pending.popleft()
        try:
            yield from future.result().values()
        except BrokenProcessPool:
            pool.replace()
            yield from _singly(pool, chunk, when_killed)
            # one of the others may be to blame: no two are computed at a time until they are done
            while pending:
                chunk, future = pending.popleft()
                if future.done() and future.exception() is None:
                    yield from future.result().values()
                else:
                    yield from _singly(pool, chunk, when_killed)

    for chunk in chunks:
        pending.append((chunk, pool.submit(chunk)))
        if len(pending) >= pending_limit:
            yield from first()
    while pending:
        yield from first()


def _singly(
    pool: _Pool, chunk: list[Any], when_killed: Callable[[Any], Any] | None
) -> Iterator[Any]:
    for value in chunk:
        try:
            yield from pool.submit([value]).result().values()
        except BrokenProcessPool:
            if when_killed is None:
                reason = "it died before its work was done (killed, or out of memory)"
                raise UserError("a process that reads images", reason, _WITHOUT) from None
            pool.replace()
            yield when_killed(value)


def _chunks(values: Iterable[V], size: int) -> Iterator[list[V]]:
    stream = iter(values)
    while chunk := list(islice(stream, size)):
        yield chunk


@dataclass(frozen=True, slots=True)
class _Done:
    """What a worker sends back; no exception, as not every one survives pickling."""

    results: list[Any]
    refusal: tuple[str, str, str] | None = None
    fault: str = ""

    def values(self) -> list[Any]:
        if self.refusal is not None:
            raise UserError(*self.refusal)
        if self.fault:
            raise RuntimeError(f"a worker process failed:\n{self.fault}")
        return self.results


_pickled_function: bytes  # a worker's own, set once when it starts


def _start_worker(pickled_function: bytes) -> None:
    global _pickled_function
    _pickled_function = pickled_function
    warnings.simplefilter("ignore")  # nothing can be done about a file with a damaged EXIF block
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it could not be blocked
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    # a main process that is killed cannot tell its workers to stop
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@cache
def _function() -> Callable[[Any], Any]:
    function: Callable[[Any], Any] = pickle.loads(_pickled_function)
    return function


def _run_chunk(values: Sequence[Any]) -> _Done:
    try:
        function = _function()
        return _Done([function(value) for value in values])
    except UserError as error:
        return _Done([], refusal=(error.thing, error.reason, error.remedy))
    except Exception:  # an outsider's data set may raise anything
        return _Done([], fault=traceback.format_exc())

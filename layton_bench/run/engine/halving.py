"""The rule for a batch that fails: try its halves, until the samples at fault are alone.

The same rule holds for an exception, a wrong result and memory that runs out. A run and
``generate`` both use it, so the same pictures fail in both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from layton_bench.errors import PluginError, UserError, guarded, reason_of
from layton_bench.machine import is_out_of_memory, recover
from layton_bench.types import Failure, FailureStage

R = TypeVar("R")

HOPELESS_AFTER = 8
"""A model that failed on this many samples, and succeeded on none, is stopped."""


class Halving:
    """Calls a model on batches, and on parts of a batch that fails.

    Use one for all batches of a model: after memory ran out, later batches are made as small as
    the parts that fitted.

    Args:
        stage_of: says in which stage the latest call failed.
    """

    def __init__(self, stage_of: Callable[[], FailureStage]) -> None:
        self.largest_done = 0
        self._stage_of = stage_of
        self._largest_fitting: int | None = None
        self._failed: list[Failure] = []

    def __call__(self, keys: Sequence[str], call: Callable[[slice], R]) -> Iterator[R | Failure]:
        """Call on all samples of a batch; yield each part's result, or a sample's failure.

        Args:
            keys: keys of the batch's samples.
            call: calls the model on a part of the batch; may raise anything.

        Raises:
            UserError: ``call`` raised it, or the model failed on each of the first samples.
        """
        pending = _parts(0, len(keys), self._largest_fitting)
        while pending:
            start, stop = pending.pop()
            try:
                made = self._attempt(call, start, stop)
            except UserError:
                raise
            except Exception as error:
                if stop - start > 1:
                    pending += _parts(start, stop, (stop - start) // 2)
                    continue
                yield self._failure(keys[start], error)
            else:
                self.largest_done = max(self.largest_done, stop - start)
                yield made

    def _attempt(self, call: Callable[[slice], R], start: int, stop: int) -> R:
        try:
            with guarded():
                return call(slice(start, stop))
        except Exception as error:
            cause = error.cause if isinstance(error, PluginError) else error
            if is_out_of_memory(cause) and stop - start > 1:
                self._largest_fitting = (stop - start) // 2
            recover(cause)  # the frames hold the tensors of the call that failed
            raise

    def _failure(self, key: str, error: Exception) -> Failure:
        failure = Failure(key=key, stage=self._stage_of(), reason=reason_of(error))
        if self.largest_done == 0:
            self._failed.append(failure)
            self._stop_if_hopeless()
        return failure

    def _stop_if_hopeless(self) -> None:
        if len(self._failed) < HOPELESS_AFTER:
            return
        first = self._failed[0]
        raise UserError(
            "the model",
            f"it failed on each of the first {len(self._failed)} samples"
            f" ('{first.key}': {first.reason})",
            "Check its device, dtype and image size.",
        )


def _parts(start: int, stop: int, size: int | None) -> list[tuple[int, int]]:
    """Return parts of at most ``size`` samples (None: one part), the last one first."""
    if start == stop:
        return []
    size = size or stop - start
    return [(at, min(at + size, stop)) for at in reversed(range(start, stop, size))]

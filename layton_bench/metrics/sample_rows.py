"""Numbers of each sample, by key: what a metric over samples accumulates.

If a batch fails, its samples are tried one by one. A sample that fails by itself has no numbers,
and its reason is kept. So an image that needs too much memory does not cost the values of others.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from layton_bench.errors import LaytonBenchError, ModelOutputError, PluginError, UserError, guarded
from layton_bench.machine import is_out_of_memory, recover

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from layton_bench.metrics.state import State
    from layton_bench.types import ScoredBatch

T = TypeVar("T")

_log = logging.getLogger(__name__)

_HOPELESS_AFTER = 5
"""If this many samples fail and none succeeds, the metric itself is at fault."""


class Failures:
    """Samples for which a metric has no value, with reasons.

    Args:
        metric: name of the metric, for messages.
    """

    def __init__(self, metric: str) -> None:
        self.reasons: dict[str, str] = {}
        """Sample key → reason."""
        self._metric = metric
        self._has_succeeded = False
        self._unlogged: list[str] = []

    def attempt(
        self, batch: ScoredBatch, score: Callable[[ScoredBatch], T]
    ) -> Iterator[tuple[ScoredBatch, T]]:
        """Yield a batch with its scores; if that fails, each sample that succeeds by itself.

        Raises:
            UserError: the user can fix it.
            Exception: all of the first samples failed, so the metric itself is at fault.
        """
        if not batch.keys:
            return
        try:
            found = _guarded(score, batch)
        except UserError:
            raise
        except LaytonBenchError as error:
            is_memory = _recovered(error)
            if len(batch) == 1:
                self._note(batch.keys[0], error)
                return
            # the same ones for every metric, so that they share what they compute
            for single in batch.shared("samples", lambda: tuple(batch.samples())):
                yield from self.attempt(single, score)
            if not self._has_succeeded and not is_memory:
                raise _original(error) from None
        else:
            self._has_succeeded = True
            for key in batch.keys:
                self.reasons.pop(key, None)
            self._log()
            yield batch, found

    def merge(self, other: Failures) -> None:
        """Add another metric's failures."""
        self.reasons.update(other.reasons)

    def state(self) -> State:
        """Return ``failed_keys`` (f,), sorted, and ``failed_reasons`` (f,)."""
        keys = sorted(self.reasons)
        reasons = [self.reasons[key] for key in keys]
        return {
            "failed_keys": np.array(keys, dtype=np.str_),
            "failed_reasons": np.array(reasons, dtype=np.str_),
        }

    def load_state(self, state: State) -> None:
        """Replace the failures by those of a state. A state without any has none."""
        keys, reasons = state.get("failed_keys", ()), state.get("failed_reasons", ())
        self.reasons = dict(zip(map(str, keys), map(str, reasons), strict=True))

    def note(self, succeeded: int) -> str:
        """Return how many of all samples failed, and why the first one did; empty if none did.

        Raises:
            ModelOutputError: all samples failed.
        """
        if not self.reasons:
            return ""
        key, reason = min(self.reasons.items())
        total = succeeded + len(self.reasons)
        text = f"{len(self.reasons)} of {total} samples failed, '{key}': {reason}"
        if not succeeded:
            raise ModelOutputError(text)
        return text

    def _note(self, key: str, error: LaytonBenchError) -> None:
        self.reasons[key] = str(error)
        if not self._has_succeeded and len(self.reasons) >= _HOPELESS_AFTER:
            raise _original(error) from None
        self._unlogged.append(key)
        if self._has_succeeded:
            self._log()

    def _log(self) -> None:
        for key in self._unlogged:
            _log.warning("metric '%s' failed on '%s': %s", self._metric, key, self.reasons.get(key))
        self._unlogged.clear()


def _guarded(score: Callable[[ScoredBatch], T], batch: ScoredBatch) -> T:
    with guarded():
        return score(batch)


def _original(error: LaytonBenchError) -> BaseException:
    return error.cause if isinstance(error, PluginError) else error


def _recovered(error: LaytonBenchError) -> bool:
    """Return whether memory was too small; if so, release what can be released."""
    cause = _original(error)
    if not is_out_of_memory(cause):
        return False
    recover(cause)
    return True


class SampleRows:
    """Columns of float64 numbers by sample key.

    Args:
        metric: name of the metric, for messages.
        columns: names of the columns.
    """

    def __init__(self, metric: str, columns: Sequence[str]) -> None:
        self.failures = Failures(metric)
        self._columns: dict[str, dict[str, float]] = {name: {} for name in columns}

    def __len__(self) -> int:
        """Number of samples, with those that failed."""
        return len(self._first) + len(self.failures.reasons)

    def update(self, batch: ScoredBatch, score: Callable[[ScoredBatch], ArrayLike]) -> None:
        """Add a batch.

        Args:
            batch: the samples.
            score: batch → numbers (B,), or (B, C) for C columns.

        Raises:
            ModelOutputError: ``score`` returned anything else.
        """
        for part, found in self.failures.attempt(batch, score):
            rows = self._checked(found, len(part))
            for values, numbers in zip(self._columns.values(), rows.T.tolist(), strict=True):
                values.update(zip(part.keys, numbers, strict=True))

    def merge(self, other: SampleRows) -> None:
        """Add another metric's samples."""
        for name, values in self._columns.items():
            values.update(other._columns[name])
        self.failures.merge(other.failures)

    def state(self) -> State:
        """Return ``keys`` (n,), sorted, each column float64 (n,), and the failures."""
        keys = self.keys()
        return {
            "keys": np.array(keys, dtype=np.str_),
            **{name: self.column(name) for name in self._columns},
            **self.failures.state(),
        }

    def load_state(self, state: State) -> None:
        """Replace the samples by those of a state."""
        keys = [str(key) for key in state["keys"]]
        for name in self._columns:
            self._columns[name] = dict(zip(keys, state[name].tolist(), strict=True))
        self.failures.load_state(state)

    def keys(self) -> list[str]:
        """Return the keys of the samples that have numbers, sorted."""
        return sorted(self._first)

    def column(self, name: str) -> NDArray[np.float64]:
        """Return a column, float64 (n,), in the order of ``keys``."""
        values = self._columns[name]
        return np.array([values[key] for key in self.keys()], dtype=np.float64)

    def note(self) -> str:
        """Return how many samples failed; raise ModelOutputError if all did."""
        return self.failures.note(len(self._first))

    def by_key(self, name: str) -> Mapping[str, float]:
        """Return sample key → number of a column."""
        return self._columns[name]

    @property
    def _first(self) -> dict[str, float]:
        return next(iter(self._columns.values()))

    def _checked(self, found: ArrayLike, count: int) -> NDArray[np.float64]:
        """Return scores as float64 (B, C)."""
        expected = (count, len(self._columns))
        try:
            raw = np.asarray([_plain(value) for value in found])  # type: ignore[union-attr]
        except (TypeError, ValueError):
            kind = type(found).__name__
            raise ModelOutputError(f"returned {kind}, expected numbers {expected}") from None
        wide = raw[:, None] if raw.ndim == 1 else raw
        if raw.dtype.kind not in "biuf" or wide.shape != expected:
            reason = f"returned {raw.dtype} of shape {raw.shape}, expected numbers {expected}"
            raise ModelOutputError(reason)
        return wide.astype(np.float64)


def joined(*notes: str) -> str:
    """Return notes in one text; empty ones are left out."""
    return "; ".join(filter(None, notes))


def _plain(value: object) -> object:
    """Return a number of torch as one of Python."""
    return value.tolist() if hasattr(value, "tolist") else value

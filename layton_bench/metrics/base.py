"""What a metric is: a card, and an accumulator with update, merge and compute.

An accumulator is a pure function of the multiset of samples it has seen: no order, batch size or
number of processes changes its value (float64 sums; per-sample values are sorted by key before
anything is drawn from them).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, runtime_checkable

import numpy as np

from layton_bench.errors import MissingWeightsError
from layton_bench.intervals import mean_interval
from layton_bench.types import MetricValue, ScoredBatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from layton_bench.metrics.features import Features

Direction = Literal["higher", "lower", "zero", "none"]
Need = Literal["reference", "codes", "codebook", "prompt"]
"""``codes`` of any kind, or ``codebook``: integer codes into a codebook."""


def badness(value: float, direction: Direction) -> float:
    """Smaller is better, whatever the metric's direction."""
    if direction == "zero":
        return abs(value)
    return -value if direction == "higher" else value


def influence_column(metric: str) -> str:
    """The column of samples.parquet with each sample's influence on a metric of sets."""
    return f"{metric} influence"


State = dict[str, np.ndarray[Any, Any]]


class Metric(Protocol):
    """An accumulator."""

    def update(self, batch: ScoredBatch) -> None:
        """Take a batch in."""

    def merge(self, other: Self) -> None:
        """Take in all that another accumulator of the same metric has seen."""

    def state(self) -> State:
        """Everything seen so far, as arrays."""

    def load_state(self, state: State) -> None:
        """Replace what was seen by what ``state`` returned, here or in another process."""

    def compute(self) -> MetricValue:
        """The value over all samples seen."""

    def per_sample(self) -> Mapping[str, Mapping[str, float]]:
        """Column name → sample key → value; empty for metrics of whole sets."""


def _no_weights(name: str) -> Path:
    raise MissingWeightsError(f"weights '{name}'", "none can be found here", "Run the harness.")


@runtime_checkable
class Explains(Protocol):
    """A metric that has words for each sample, beside its values."""

    def per_sample_texts(self) -> Mapping[str, Mapping[str, str]]:
        """Column name → sample key → text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricContext:
    """What an accumulator may need to be built.

    Attributes:
        features: runs backbones and keeps the references' features.
        device: where a network of the metric's own runs, as torch writes it.
        seed: of every random draw in ``compute``.
        weights: finds installed weights by registry name, for networks that are no backbone;
            raises MissingWeightsError.
    """

    features: Features
    device: str = "cpu"
    seed: int = 0
    weights: Callable[[str], Path] = _no_weights


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSpec:
    """A metric's card and how to build its accumulator.

    Attributes:
        name: id in files and options (``psnr``, ``clean-fid``).
        label: heading in tables (``PSNR``); ``fid`` becomes rFID or gFID by the suite's kind.
        direction: which way is better; ``zero`` means nearest to 0.
        summary: one line for ``list metrics``.
        make: builds an empty accumulator.
        unit: shown in headings (``dB``).
        digits: decimals shown in tables.
        weights: names in the weights registry, needed by ``make``.
        requires: optional packages needed → the extra that installs them (``rapidocr``: ``ocr``).
        needs: what a batch must carry; a metric that lacks it does not apply to the run.
        signature: what decides the value besides data, preprocessing, n and rounding, in order
            (``{"range": "255", "win": "gauss11-1.5"}``).
        version: raised whenever the same input gives another value.
    """

    name: str
    label: str
    direction: Direction
    summary: str
    make: Callable[[MetricContext], Metric]
    unit: str = ""
    digits: int = 3
    weights: tuple[str, ...] = ()
    requires: Mapping[str, str] = field(default_factory=dict)
    needs: frozenset[Need] = frozenset()
    signature: Mapping[str, str] = field(default_factory=dict)
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricPattern:
    """A family of metrics named by a pattern (``pyiqa:NAME``).

    Attributes:
        pattern: matched against the whole name.
        examples: names shown by ``list metrics``.
        make_spec: the spec of a matching name; raises UserError for one that cannot be.
    """

    pattern: re.Pattern[str]
    examples: tuple[str, ...]
    make_spec: Callable[[re.Match[str]], MetricSpec]


class PerSampleMetric:
    """An accumulator of one value a sample: the mean and its 95 % interval.

    Args:
        name: the metric's id and its column in samples.parquet.
        score: batch → one float a sample, float64; NaN where it is not defined for a sample.
        seed: has no effect, since nothing is drawn at random.
        undefined: why a sample's value can be NaN; said beside the value.
    """

    def __init__(
        self,
        name: str,
        score: Callable[[ScoredBatch], Sequence[float] | NDArray[np.float64]],
        *,
        seed: int = 0,  # noqa: ARG002, plugins give it
        undefined: str = "not defined",
    ) -> None:
        self.name = name
        self._score = score
        self._undefined = undefined
        self._values: dict[str, float] = {}

    def update(self, batch: ScoredBatch) -> None:
        """Score each sample of the batch."""
        self._values.update(zip(batch.keys, map(float, self._score(batch)), strict=True))

    def merge(self, other: Self) -> None:
        """Take in another accumulator's samples."""
        self._values.update(other._values)

    def state(self) -> State:
        """Keys and values, sorted by key."""
        keys = sorted(self._values)
        return {
            "keys": np.array(keys, dtype=np.str_),
            "values": np.array([self._values[k] for k in keys], dtype=np.float64),
        }

    def load_state(self, state: State) -> None:
        """Replace the samples."""
        keys = [str(k) for k in state["keys"]]
        self._values = dict(zip(keys, state["values"].tolist(), strict=True))

    def compute(self) -> MetricValue:
        """Mean over the samples' values.

        One exact reconstruction has an infinite PSNR and would make the mean of any set infinite:
        infinite values are left out of the mean and counted in the note. Only where every value is
        infinite is the mean so too (``identity``). Undefined values are left out and explained.
        """
        values = self.state()["values"]
        n = len(values)
        if n == 0:
            return MetricValue(value=None, n=0, note="no samples")
        defined = values[~np.isnan(values)]
        if len(defined) == 0:
            return MetricValue(value=None, n=n, note=self._undefined)
        if np.isinf(defined).all() and len(set(defined)) == 1:
            same = float(defined[0])
            return MetricValue(value=same, low=same, high=same, n=n, note=self._note(values))
        finite = defined[np.isfinite(defined)]
        if len(finite) == 0:
            return MetricValue(value=None, n=n, note="infinite values of both signs")
        low, high = mean_interval(finite)
        mean = float(finite.mean())
        return MetricValue(value=mean, low=low, high=high, n=n, note=self._note(values))

    def _note(self, values: NDArray[np.float64]) -> str:
        """What a reader must know of values that are not finite."""
        n, num_infinite, num_undefined = len(values), np.isinf(values).sum(), np.isnan(values).sum()
        parts = []
        if num_infinite == n:
            parts.append("infinite for every sample")
        elif num_infinite:
            parts.append(f"{num_infinite} of {n} infinite, left out of the mean")
        if num_undefined:
            parts.append(f"{num_undefined} of {n} left out: {self._undefined}")
        return "; ".join(parts)

    def per_sample(self) -> Mapping[str, Mapping[str, float]]:
        """One column of the metric's own name."""
        return {self.name: self._values}

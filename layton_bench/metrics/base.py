"""What a metric is: a card, and an accumulator with update, merge, state and compute.

The value of an accumulator depends on the samples that it has seen, and on nothing else. Order,
batch size and number of processes do not change it: values are kept by sample and sorted by key
before anything is computed, and counts are whole numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, Self, runtime_checkable

import numpy as np

from layton_bench.errors import MissingWeightsError
from layton_bench.intervals import mean_interval
from layton_bench.metrics.sample_rows import SampleRows, joined
from layton_bench.types import MetricValue, ScoredBatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from layton_bench.metrics.features import Features
    from layton_bench.metrics.state import State

Direction = Literal["higher", "lower", "zero", "none"]
Need = Literal["reference", "codes", "codebook", "prompt"]
"""What a batch must carry. ``codes`` are of any kind; ``codebook`` means integer codes."""


def badness(value: float, direction: Direction) -> float:
    """Return a number that is smaller for a better value, whatever the metric's direction."""
    if direction == "zero":
        return abs(value)
    return -value if direction == "higher" else value


def influence_column(metric: str) -> str:
    """Return the column of samples.parquet that holds each sample's influence on a metric."""
    return f"{metric} influence"


class Metric(Protocol):
    """An accumulator.

    A run is divided into parts. Each part has an accumulator of its own, whose state is written to
    a file. At the end the states are loaded and merged in order. The result must equal that of one
    accumulator that saw all samples, to the last bit.
    """

    def update(self, batch: ScoredBatch) -> None:
        """Add the samples of a batch."""

    def merge(self, other: Self) -> None:
        """Add all samples that another accumulator of the same metric has seen."""

    def state(self) -> State:
        """Return everything seen so far."""

    def load_state(self, state: State) -> None:
        """Replace everything seen by a state, which another process may have returned."""

    def compute(self) -> MetricValue:
        """Return the value over all samples seen."""

    def per_sample(self) -> Mapping[str, Mapping[str, float]]:
        """Return column name → sample key → value; empty for metrics of whole sets."""


def _no_weights(name: str) -> Path:
    raise MissingWeightsError(f"weights '{name}'", "none can be found here", "Run the harness.")


@runtime_checkable
class Fails(Protocol):
    """A metric that fails for single samples, and continues with the others."""

    @property
    def failures(self) -> Mapping[str, str]:
        """Sample key → why there is no value."""


@runtime_checkable
class Explains(Protocol):
    """A metric that also has texts for each sample, such as a reason."""

    def per_sample_texts(self) -> Mapping[str, Mapping[str, str]]:
        """Return column name → sample key → text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricContext:
    """What is needed to build an accumulator.

    Attributes:
        features: runs backbones and keeps the references' features.
        device: where the metric's own network runs, in torch's notation (``cuda:0``).
        seed: seed of every random draw in ``compute``.
        weights: registry name → installed file or folder, for the metric's own network. Raises
            MissingWeightsError.
    """

    features: Features
    device: str = "cpu"
    seed: int = 0
    weights: Callable[[str], Path] = _no_weights


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSpec:
    """A metric's card, and how to build its accumulator.

    Attributes:
        name: id in files and options (``psnr``, ``clean-fid``).
        label: heading in tables (``PSNR``). A ``{kind}`` in it becomes ``r`` or ``g``: rFID for
            reconstructions, gFID for generated images.
        direction: which values are better: ``higher``, ``lower``, those nearest to ``zero``, or
            ``none``.
        summary: one line for ``list metrics``.
        make: returns an empty accumulator.
        unit: shown in headings (``dB``).
        digits: decimals shown in tables.
        weights: names in the weights registry, needed by ``make``.
        requires: optional package → the extra that installs it (``rapidocr``: ``ocr``).
        needs: what a batch must carry. The metric does not apply to a run without it.
        signature: settings that affect the value, apart from data, preprocessing, n and rounding
            (``{"range": "255", "win": "gauss11-1.5"}``).
        version: must be raised when the same input gives another value.
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
        pattern: must match the whole name.
        examples: names shown by ``list metrics``.
        make_spec: match → spec. Raises UserError if there is no such metric.
    """

    pattern: re.Pattern[str]
    examples: tuple[str, ...]
    make_spec: Callable[[re.Match[str]], MetricSpec]


class PerSampleMetric:
    """An accumulator of one value per sample: their mean and its 95 % interval.

    Args:
        name: the metric's id, and its column in samples.parquet.
        score: batch → one value per sample, float64 (B,). NaN means: not defined for this sample.
        seed: has no effect, because nothing is drawn at random.
        undefined: why a value can be NaN. It is written beside the mean.
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
        self._rows = SampleRows(name, ["values"])

    @property
    def failures(self) -> Mapping[str, str]:
        """Sample key → why there is no value."""
        return self._rows.failures.reasons

    def update(self, batch: ScoredBatch) -> None:
        """Compute the value of each sample of a batch."""
        self._rows.update(batch, self._score)

    def merge(self, other: Self) -> None:
        """Add another accumulator's samples."""
        self._rows.merge(other._rows)

    def state(self) -> State:
        """Return ``keys`` (n,), sorted, ``values`` float64 (n,), and the samples that failed."""
        return self._rows.state()

    def load_state(self, state: State) -> None:
        """Replace the samples by those of a state."""
        self._rows.load_state(state)

    def compute(self) -> MetricValue:
        """Return the mean over samples.

        One exact reconstruction has an infinite PSNR, and would make the mean of any set infinite.
        Therefore infinite values are left out of the mean, and the note counts them. If every value
        is infinite (``identity``), so is the mean. Undefined values are left out, and the note says
        why. So are samples that failed.
        """
        values = self._rows.column("values")
        n = len(self._rows)
        if n == 0:
            return MetricValue(value=None, n=0, note="no samples")
        failed = self._rows.note()
        defined = values[~np.isnan(values)]
        if len(defined) == 0:
            return MetricValue(value=None, n=n, note=joined(self._undefined, failed))
        if np.isinf(defined).all() and len(set(defined)) == 1:
            same = float(defined[0])
            note = joined(self._note(values), failed)
            return MetricValue(value=same, low=same, high=same, n=n, note=note)
        finite = defined[np.isfinite(defined)]
        if len(finite) == 0:
            note = joined("infinite values of both signs", failed)
            return MetricValue(value=None, n=n, note=note)
        low, high = mean_interval(finite)
        note = joined(self._note(values), failed)
        return MetricValue(value=float(finite.mean()), low=low, high=high, n=n, note=note)

    def _note(self, values: NDArray[np.float64]) -> str:
        """Say how many values are not finite, and why."""
        n, num_infinite, num_undefined = len(values), np.isinf(values).sum(), np.isnan(values).sum()
        parts = []
        if num_infinite == n:
            parts.append("infinite for every sample")
        elif num_infinite:
            parts.append(f"{num_infinite} of {n} infinite, left out of the mean")
        if num_undefined:
            parts.append(f"{num_undefined} of {n} left out: {self._undefined}")
        return joined(*parts)

    def per_sample(self) -> Mapping[str, Mapping[str, float]]:
        """Return one column, named like the metric."""
        return {self.name: self._rows.by_key("values")}

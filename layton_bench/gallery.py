"""Keeps the worst and best samples of a run for the eye; memory is bounded by its size."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from layton_bench.images import encode_png
from layton_bench.record import IMAGES, SavedImage

if TYPE_CHECKING:
    from torch import Tensor

    from layton_bench.metrics.base import Direction, Metric
    from layton_bench.types import ScoredBatch

SIZE = 4  # samples kept at each end


@dataclass(frozen=True, slots=True, order=True)
class _Kept:
    """A sample; ``rank`` is smallest for the first to be dropped, ties broken by key."""

    rank: float
    key: str
    candidate: Tensor = field(compare=False)
    reference: Tensor | None = field(compare=False)


class Gallery:
    """The samples with the highest and lowest score of one metric.

    Args:
        metric: name of the per-sample metric to rank by; None keeps the first samples seen.
        direction: which end is best.
        size: samples kept at each end.
    """

    def __init__(
        self, metric: str | None, direction: Direction = "higher", *, size: int = SIZE
    ) -> None:
        self.metric = metric
        self._sign = {"higher": 1.0, "lower": -1.0, "zero": -1.0, "none": 1.0}[direction]
        self._absolute = direction == "zero"
        self._size = size
        self._best: list[_Kept] = []
        self._worst: list[_Kept] = []
        self._seen = 0

    def offer(self, batch: ScoredBatch, metrics: Mapping[str, Metric]) -> None:
        """Keep what of the batch belongs to the worst or best so far."""
        for index, key in enumerate(batch.keys):
            self._seen += 1
            goodness = self._goodness(key, metrics)
            self._push(self._best, goodness, key, batch, index)
            if self.metric is not None:
                self._push(self._worst, -goodness, key, batch, index)

    def _goodness(self, key: str, metrics: Mapping[str, Metric]) -> float:
        if self.metric is None:
            return float(-self._seen)
        value = metrics[self.metric].per_sample()[self.metric][key]
        return self._sign * (abs(value) if self._absolute else value)

    def _push(
        self, heap: list[_Kept], rank: float, key: str, batch: ScoredBatch, index: int
    ) -> None:
        if len(heap) == self._size and (rank, key) <= (heap[0].rank, heap[0].key):
            return
        reference = None if batch.references is None else batch.references[index].clone()
        kept = _Kept(rank, key, batch.candidates[index].clone(), reference)
        if len(heap) < self._size:
            heapq.heappush(heap, kept)
        else:
            heapq.heapreplace(heap, kept)

    def save(self, run_folder: Path) -> tuple[SavedImage, ...]:
        """Write PNG files into ``images/``; a sample is kept at one end only."""
        folder = run_folder / IMAGES
        folder.mkdir(exist_ok=True)
        saved: list[SavedImage] = []
        taken: set[str] = set()
        for end, heap in (("worst", self._worst), ("best", self._best)):
            kept = [k for k in sorted(heap, reverse=True) if k.key not in taken]
            for number, sample in enumerate(kept, start=1):
                taken.add(sample.key)
                saved.append(_save(folder, f"{end}-{number}", sample))
        return tuple(saved)


def _save(folder: Path, rank: str, sample: _Kept) -> SavedImage:
    # file names come from the rank alone: keys are untrusted text
    candidate = f"{rank}-candidate.png"
    (folder / candidate).write_bytes(encode_png(sample.candidate))
    reference = None
    if sample.reference is not None:
        reference = f"{rank}-reference.png"
        (folder / reference).write_bytes(encode_png(sample.reference))
    return SavedImage(key=sample.key, rank=rank, reference=reference, candidate=candidate)

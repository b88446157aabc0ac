"""Keeps the worst and best samples of a run for the eye; memory is bounded by its size."""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from layton_bench.images import encode_png
from layton_bench.metrics.base import badness
from layton_bench.record import IMAGES, SavedImage

if TYPE_CHECKING:
    from torch import Tensor

    from layton_bench.metrics.base import Direction, Metric
    from layton_bench.types import ScoredBatch

SIZE = 4  # samples kept at each end


@dataclass(frozen=True, slots=True, order=True)
class _Kept:
    """A sample; smaller ranks come first, ties by key, so that no order of samples matters."""

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
        self._direction: Direction = direction
        self._size = size
        self._best: list[_Kept] = []
        self._worst: list[_Kept] = []
        self._seen = 0

    def offer(self, batch: ScoredBatch, metrics: Mapping[str, Metric]) -> None:
        """Keep what of the batch belongs to the worst or best so far."""
        if self.metric is None:
            for index in range(len(batch)):
                self._push(self._best, float(self._seen), batch, index)
                self._seen += 1
            return
        values = metrics[self.metric].per_sample()[self.metric]
        for index, key in enumerate(batch.keys):
            value = values.get(key, math.nan)  # absent where the metric itself has failed
            if not math.isnan(value):
                rank = badness(value, self._direction)
                self._push(self._best, rank, batch, index)
                self._push(self._worst, -rank, batch, index)

    def _push(self, kept: list[_Kept], rank: float, batch: ScoredBatch, index: int) -> None:
        key = batch.keys[index]
        if len(kept) == self._size and (rank, key) >= (kept[-1].rank, kept[-1].key):
            return
        reference = None if batch.references is None else batch.references[index].clone()
        insort(kept, _Kept(rank, key, batch.candidates[index].clone(), reference))
        del kept[self._size :]

    def save(self, run_folder: Path) -> tuple[SavedImage, ...]:
        """Write PNG files into ``images/``; a sample is kept at one end only, the worst first."""
        folder = run_folder / IMAGES
        folder.mkdir(exist_ok=True)
        worst = {sample.key for sample in self._worst}
        best = [sample for sample in self._best if sample.key not in worst]
        return tuple(
            _save(folder, f"{end}-{number}", sample)
            for end, kept in (("worst", self._worst), ("best", best))
            for number, sample in enumerate(kept, start=1)
        )


def _save(folder: Path, rank: str, sample: _Kept) -> SavedImage:
    # file names come from the rank alone: keys are untrusted text
    candidate = f"{rank}-candidate.png"
    (folder / candidate).write_bytes(encode_png(sample.candidate))
    reference = None
    if sample.reference is not None:
        reference = f"{rank}-reference.png"
        (folder / reference).write_bytes(encode_png(sample.reference))
    return SavedImage(key=sample.key, rank=rank, reference=reference, candidate=candidate)

"""Keeps the pictures of the worst and best samples of a run, or of all samples."""

from __future__ import annotations

import logging
import math
import shutil
from bisect import insort
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from layton_bench.errors import PluginError, guarded
from layton_bench.images import encode_png
from layton_bench.machine import temporary_folder
from layton_bench.metrics import badness
from layton_bench.records import IMAGES, SavedImage

if TYPE_CHECKING:
    from torch import Tensor

    from layton_bench.metrics import Direction, Metric, MetricSpec
    from layton_bench.types import ScoredBatch

_log = logging.getLogger(__name__)

SIZE = 4
"""Samples kept at each end."""


@dataclass(frozen=True, slots=True, order=True)
class _Kept:
    """A sample. Smaller ranks come first, ties by key, so the order of samples does not matter."""

    rank: float
    key: str
    candidate: Tensor = field(compare=False)
    reference: Tensor | None = field(compare=False)


def ranking_metric(
    metrics: Mapping[str, Metric], specs: Mapping[str, MetricSpec]
) -> tuple[str | None, Direction]:
    """Return the metric that says which samples are worst: the first with values per sample."""
    for name, metric in metrics.items():
        if name in metric.per_sample() and specs[name].direction != "none":
            return name, specs[name].direction
    return None, "higher"


@contextmanager
def image_spool(out: Path, *, is_wanted: bool) -> Iterator[Path | None]:
    """Make a folder below ``out`` for every picture of a run; None if they are not wanted."""
    if not is_wanted:
        yield None
        return
    with temporary_folder(out) as folder:
        yield folder


class Gallery:
    """The samples with the highest and lowest score of one metric.

    Args:
        metric: name of the metric to rank by; None keeps the first samples seen.
        direction: which end is best.
        size: samples kept at each end.
        all_in: an empty folder for the pictures of every sample, written batch by batch; None
            keeps only the worst and best. Memory does not grow with the number of samples.
    """

    def __init__(
        self,
        metric: str | None,
        direction: Direction = "higher",
        *,
        size: int = SIZE,
        all_in: Path | None = None,
    ) -> None:
        self.metric = metric
        self._direction: Direction = direction
        self._size = size
        self._best: list[_Kept] = []
        self._worst: list[_Kept] = []
        self._seen = 0
        self._all_in = all_in
        self._all: dict[str, SavedImage] = {}
        self._is_full = False

    def offer(self, batch: ScoredBatch, metrics: Mapping[str, Metric]) -> None:
        """Keep those of the batch that are among the worst or best so far, or all of them."""
        self._write_all(batch)
        if self.metric is None:
            for index in range(len(batch)):
                self._push(self._best, float(self._seen), batch, index)
                self._seen += 1
            return
        values = _values(metrics[self.metric], self.metric, batch.keys)
        for index, value in enumerate(values):
            if not math.isnan(value):
                rank = badness(value, self._direction)
                self._push(self._best, rank, batch, index)
                self._push(self._worst, -rank, batch, index)

    def _write_all(self, batch: ScoredBatch) -> None:
        """Write the batch if every sample is kept; a full disk ends that, not the run."""
        for index, key in enumerate(batch.keys):
            if self._all_in is None or self._is_full:
                return
            reference = None if batch.references is None else batch.references[index]
            sample = _Kept(0.0, key, batch.candidates[index], reference)
            try:
                saved = _save(self._all_in, f"sample-{len(self._all) + 1}", sample)
            except OSError as error:
                _log.warning("from '%s' on, pictures are not kept: %s", key, error.strerror)
                self._is_full = True
            else:
                self._all[key] = saved

    def _push(self, kept: list[_Kept], rank: float, batch: ScoredBatch, index: int) -> None:
        key = batch.keys[index]
        if len(kept) == self._size and (rank, key) >= (kept[-1].rank, kept[-1].key):
            return
        reference = None if batch.references is None else batch.references[index].clone()
        insort(kept, _Kept(rank, key, batch.candidates[index].clone(), reference))
        del kept[self._size :]

    def save(self, run_folder: Path) -> tuple[SavedImage, ...]:
        """Write PNG files into ``images/``, the worst first; each sample once."""
        folder = run_folder / IMAGES
        folder.mkdir(exist_ok=True)
        worst = {sample.key for sample in self._worst}
        best = [sample for sample in self._best if sample.key not in worst]
        ends = [
            _save(folder, rank, sample, rank=rank)
            for end, kept in (("worst", self._worst), ("best", best))
            for rank, sample in ((f"{end}-{i}", sample) for i, sample in enumerate(kept, start=1))
        ]
        return (*ends, *self._move_others(folder, {saved.key for saved in ends}))

    def drop(self) -> None:
        """Delete all pictures, to make room for what matters more."""
        self._best, self._worst, self._all = [], [], {}
        self._is_full = True
        for path in self._all_in.iterdir() if self._all_in is not None else ():
            path.unlink(missing_ok=True)

    def _move_others(self, folder: Path, saved: Collection[str]) -> list[SavedImage]:
        """Move the pictures of the other samples into ``folder``."""
        others = [image for key, image in self._all.items() if key not in saved]
        for image in others:
            for name in filter(None, (image.candidate, image.reference)):
                assert self._all_in is not None
                shutil.move(self._all_in / name, folder / name)
        return others


def _values(metric: Metric, name: str, keys: Sequence[str]) -> list[float]:
    """Return a metric's values of samples; NaN if the metric has none, or fails."""
    try:
        with guarded():
            column = metric.per_sample()[name]
            return [float(column.get(key, math.nan)) for key in keys]
    except PluginError:
        return [math.nan] * len(keys)


def _save(folder: Path, name: str, sample: _Kept, *, rank: str = "") -> SavedImage:
    # file names come from ranks and numbers: keys are untrusted text
    candidate = f"{name}-candidate.png"
    (folder / candidate).write_bytes(encode_png(sample.candidate))
    reference = None
    if sample.reference is not None:
        reference = f"{name}-reference.png"
        (folder / reference).write_bytes(encode_png(sample.reference))
    return SavedImage(key=sample.key, rank=rank, reference=reference, candidate=candidate)

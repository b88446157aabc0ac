"""What is to be run: every name resolved, every input checked, before any work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from layton_bench.datasets import Dataset, Protocol
from layton_bench.errors import UserError
from layton_bench.machine import Clock
from layton_bench.metrics import MetricSpec
from layton_bench.models import ModelSpec, OptionValue
from layton_bench.run.engine.loop import Candidates
from layton_bench.suite import Suite
from layton_bench.types import Failure, Item, image_key

Overwrite = Literal["never", "always", "only-missing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How to run, apart from what.

    Attributes:
        out: results folder.
        data_root: where the data sets lie.
        limit: use only so many samples, evenly spaced over the data set.
        seed: of everything random.
        device: ``auto`` or a device as torch writes it.
        dtype: of the model.
        batch_size: None finds one.
        num_workers: processes that decode images; None chooses.
        decode_seeds: how often each image is decoded, by a decoder that draws noise.
        overwrite: what to do about a run that exists already.
        keep_images: keep the pictures of every sample, not of the worst and best alone.
        strict: stop at the first failed sample or unavailable metric.
        metrics: in place of the suite's.
        command: the command line, for the record.
    """

    out: Path = Path("results")
    data_root: Path | None = None
    limit: int | None = None
    seed: int = 0
    device: str = "auto"
    dtype: str = "float32"
    batch_size: int | None = None
    num_workers: int | None = None
    decode_seeds: int = 1
    overwrite: Overwrite = "never"
    keep_images: bool = False
    strict: bool = False
    metrics: tuple[str, ...] = ()
    command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A run with every name resolved and every input checked, before any work.

    Attributes:
        suite: what is asked.
        protocol: its preprocessing.
        model_name: the model, as the record names it.
        spec: its card.
        model_options: every option of the model.
        dataset: the data.
        items: the samples selected.
        has_images: False where the samples are prompts alone.
        options: how to run.
        device: where, as torch writes it.
        metrics: the metrics asked for, by name.
        start: loads the model; returns batches → candidates.
        weights: registry name of each of the model's weights → SHA-256.
        left_out: samples known beforehand to be unusable (``score``: files that do not pair; images
            without a caption that are to be drawn).
    """

    suite: Suite
    protocol: Protocol
    model_name: str
    spec: ModelSpec
    model_options: dict[str, OptionValue]
    dataset: Dataset
    has_images: bool
    items: Sequence[Item]
    options: RunOptions
    device: str
    metrics: Mapping[str, MetricSpec]
    start: Callable[[Clock], Candidates]
    weights: Mapping[str, str]
    left_out: tuple[Failure, ...] = ()

    def samples(self) -> Sequence[Item]:
        """The items, each as often as the suite asks: image k of prompt p is keyed ``p#k``."""
        count = self.suite.images_per_prompt
        if count == 1:
            return self.items
        numbered = ((item, k) for item in self.items for k in range(count))
        return [replace(item, key=image_key(item.key, k)) for item, k in numbered]

    def expected(self) -> int:
        """Samples of the complete suite."""
        known = {item.key for item in self.dataset.items()}
        known |= {failure.key for failure in self.left_out}
        return (self.suite.num_samples or len(known)) * self.suite.images_per_prompt


def with_prompts(items: Sequence[Item]) -> tuple[Sequence[Item], tuple[Failure, ...]]:
    """The samples that a generator can draw, and those that have neither caption nor label."""
    without = [item for item in items if not item.captions and item.label is None]
    if not without:
        return items, ()
    failures = [Failure(key=i.key, stage="read", reason="it has no caption") for i in without]
    keys = {item.key for item in without}
    return [item for item in items if item.key not in keys], tuple(failures)


def select(items: Sequence[Item], limit: int | None) -> Sequence[Item]:
    """``limit`` samples evenly spaced over the data set, or all of them.

    Evenly spaced, because many data sets are sorted by class.
    """
    if limit is None or limit >= len(items):
        return items
    if limit < 1:
        raise UserError(f"--limit {limit}", "not a positive number", "Give 1 or more.")
    return [items[i * len(items) // limit] for i in range(limit)]

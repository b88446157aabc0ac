"""What a run will do: every name looked up, every input checked, before any work starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from layton_bench.datasets import Dataset, Protocol, files_digest
from layton_bench.errors import UserError, guarded_for_user
from layton_bench.machine import resolve_device, torch_dtype
from layton_bench.metrics import MetricSpec
from layton_bench.models import ModelSpec, OptionValue
from layton_bench.registry import (
    OURS,
    OWN_WEIGHTS,
    Plugins,
    code_of,
    metric_specs,
    model_owner,
    parse_options,
    resolve_model,
)
from layton_bench.run.engine.candidates import ReadyMade
from layton_bench.suite import Suite
from layton_bench.types import Failure, Item, image_key
from layton_bench.weights import WeightsStore

Overwrite = Literal["never", "always", "only-missing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How to run; the suite and the model say what to run.

    Attributes:
        out: results folder.
        data_root: folder of the data sets.
        limit: number of samples to use, evenly spaced over the data set; None uses all.
        seed: seed of everything random.
        device: ``auto`` or a device as torch writes it.
        dtype: dtype of the model.
        batch_size: images per batch; None chooses.
        num_workers: processes that decode images; None chooses.
        decode_seeds: how often each image is decoded, by a decoder that draws noise.
        overwrite: if the run exists: reuse it, redo it, or add missing metrics.
        keep_images: keep the pictures of every sample, not only of the worst and best.
        strict: stop at the first failed sample or unavailable metric.
        metrics: metrics to compute in place of the suite's.
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
    """A run with every name looked up and every input checked.

    Attributes:
        suite: what the model is asked to do.
        protocol: how images become pixels.
        model_name: the model's name, as the record gives it.
        spec: the model's card and loader.
        model_options: every option of the model.
        dataset: the data.
        has_images: False if the samples are prompts without images.
        items: the selected samples.
        num_available: number of samples in the data set.
        num_unlisted: number of samples in ``left_out`` that the data set does not list.
        notes: what the data set says of itself.
        options: how to run.
        device: where to run, as torch writes it.
        metrics: the metrics to compute, by name.
        weights: registry name of each of the model's weights → SHA-256.
        own_weights: those of the weights that are the user's own, by registry name.
        code: who registered the model, its data and its protocol → the plugin's code.
        metrics_code: metric → its plugin's code.
        left_out: samples that are known to be unusable before the run: files that do not pair,
            images without a caption.
        ready_made: pictures that exist already; no model is loaded then.
    """

    suite: Suite
    protocol: Protocol
    model_name: str
    spec: ModelSpec
    model_options: dict[str, OptionValue]
    dataset: Dataset
    has_images: bool
    items: Sequence[Item]
    num_available: int
    num_unlisted: int
    notes: tuple[str, ...]
    options: RunOptions
    device: str
    metrics: Mapping[str, MetricSpec]
    weights: Mapping[str, str]
    own_weights: tuple[str, ...]
    code: Mapping[str, str]
    metrics_code: Mapping[str, str]
    left_out: tuple[Failure, ...] = ()
    ready_made: ReadyMade | None = None

    def samples(self) -> Sequence[Item]:
        """Return the items, each as often as the suite asks; image k of prompt p is ``p#k``."""
        count = self.suite.images_per_prompt
        if count == 1:
            return self.items
        numbered = ((item, k) for item in self.items for k in range(count))
        return [replace(item, key=image_key(item.key, k)) for item, k in numbered]

    def expected(self) -> int:
        """Return the number of samples of the complete suite."""
        known = self.num_available + self.num_unlisted
        return (self.suite.num_samples or known) * self.suite.images_per_prompt


def make_plan(
    plugins: Plugins,
    suite_name: str,
    model_name: str,
    options: RunOptions,
    *,
    settings: Sequence[str] = (),
) -> Plan:
    """Look up every name and check every input, so that no mistake is found after hours.

    Args:
        plugins: where names are looked up.
        suite_name: suite to run.
        model_name: model to run.
        options: how to run.
        settings: ``name=value`` for the model's own options.

    Raises:
        UserError: an unknown name, a wrong option, missing data or weights.
    """
    suite = plugins.suites[suite_name]
    spec = resolve_model(plugins, model_name, suite)
    model_options = parse_options(spec, settings)
    torch_dtype(options.dtype)
    _check_decode_seeds(options.decode_seeds, spec)
    metrics = metric_specs(plugins, suite, options.metrics)
    dataset = plugins.open_dataset(suite.dataset, options.data_root)
    listed = items_of(dataset)
    items = select(select(listed, suite.num_samples), options.limit)
    left_out: tuple[Failure, ...] = ()
    if suite.kind == "generation":
        items, left_out = with_prompts(items)
        _check_prompts(dataset, items, left_out)
    return Plan(
        suite=suite,
        protocol=plugins.protocols[suite.protocol],
        model_name=spec.card.name,
        spec=spec,
        model_options=model_options,
        dataset=dataset,
        has_images=plugins.datasets[suite.dataset].has_images,
        items=items,
        num_available=len(listed),
        num_unlisted=0,
        notes=notes_of(dataset),
        options=options,
        device=resolve_device(options.device),
        metrics=metrics,
        weights=weight_digests(plugins, spec),
        own_weights=_own_weights(plugins, spec),
        code=code_of_plan(plugins, suite, model_owner(plugins, model_name)),
        metrics_code=code_of_metrics(plugins, metrics),
        left_out=left_out,
    )


def code_of_plan(plugins: Plugins, suite: Suite, *owners: str) -> dict[str, str]:
    """Return the code of the harness, the suite's data and protocol, and of other owners."""
    used = {*owners, plugins.protocols.owners[suite.protocol], OURS}
    if suite.dataset in plugins.datasets.owners:
        used.add(plugins.datasets.owners[suite.dataset])
    return {owner: code_of(plugins, owner) for owner in sorted(used)}


def code_of_metrics(plugins: Plugins, metrics: Mapping[str, MetricSpec]) -> dict[str, str]:
    """Return the code of each metric's plugin, with the user's own weights if it has such."""
    owners = {name: plugins.metric_owner(name) for name in metrics}
    codes = {owner: code_of(plugins, owner) for owner in set(owners.values())}
    own = {name: spec.signature.get(OWN_WEIGHTS, "") for name, spec in metrics.items()}
    return {
        name: ", ".join(filter(None, (codes[owner], own[name]))) for name, owner in owners.items()
    }


def items_of(dataset: Dataset) -> Sequence[Item]:
    """Return a data set's samples; raises UserError if its plugin fails, or gives other things."""
    thing = f"data set '{dataset.name}'"
    with guarded_for_user(thing, "its samples cannot be listed", "Ask the author of its plugin."):
        items = list(dataset.items())
        if not all(isinstance(item, Item) and isinstance(item.key, str) for item in items):
            raise TypeError("its samples are not all Items with a text as key")
    return items


def notes_of(dataset: Dataset) -> tuple[str, ...]:
    """Return what a data set says of itself; raises UserError if its plugin fails."""
    thing = f"data set '{dataset.name}'"
    with guarded_for_user(thing, "its notes cannot be read", "Ask the author of its plugin."):
        return tuple(str(note) for note in getattr(dataset, "notes", ()))


def select(items: Sequence[Item], limit: int | None) -> Sequence[Item]:
    """Return ``limit`` samples evenly spaced over the data set, or all of them.

    They are evenly spaced because many data sets are sorted by class.
    """
    if limit is None or limit >= len(items):
        return items
    if limit < 1:
        raise UserError(f"--limit {limit}", "not a positive number", "Give 1 or more.")
    return [items[i * len(items) // limit] for i in range(limit)]


def with_prompts(items: Sequence[Item]) -> tuple[Sequence[Item], tuple[Failure, ...]]:
    """Return the samples that a generator can draw, and those without caption and label."""
    without = [item for item in items if not item.captions and item.label is None]
    if not without:
        return items, ()
    failures = [Failure(key=i.key, stage="read", reason="it has no caption") for i in without]
    keys = {item.key for item in without}
    return [item for item in items if item.key not in keys], tuple(failures)


def _check_prompts(dataset: Dataset, items: Sequence[Item], left_out: Sequence[Failure]) -> None:
    """Find a data set without any prompt before a model is loaded."""
    if left_out and not items:
        notes = notes_of(dataset)
        raise UserError(
            f"data set '{dataset.name}'",
            "; ".join(("none of its images has a caption to draw", *notes)),
            "Put its captions where docs/data.md says.",
        )


def _check_decode_seeds(count: int, spec: ModelSpec) -> None:
    if count > 1 and not spec.card.is_stochastic:
        raise UserError(
            f"--decode-seeds {count}",
            f"the decoder of '{spec.card.name}' draws no noise, so every seed gives the same",
            "Leave the option out.",
        )


def weight_digests(plugins: Plugins, spec: ModelSpec) -> dict[str, str]:
    """Return the digest of each of the model's weights, and of its other files."""
    store = WeightsStore(plugins.weights.entries)
    digests = {name: store.digest(name) for name in spec.card.weights}
    with guarded_for_user(
        f"model '{spec.card.name}'", "its files cannot be listed", "Ask the plugin's author."
    ):
        files = [Path(path) for path in spec.files()]
    if files:
        digests["files"] = files_digest(files)
    return digests


def _own_weights(plugins: Plugins, spec: ModelSpec) -> tuple[str, ...]:
    store = WeightsStore(plugins.weights.entries)
    return tuple(name for name in spec.card.weights if store.is_own(name))

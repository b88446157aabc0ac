"""One run: resolve the names, check everything, evaluate, write the record.

What `layton-bench run` and `layton-bench score` call; nothing here parses or prints.
"""

from __future__ import annotations

import importlib.util
import logging
import shutil
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

import pandas as pd

from layton_bench import models, provenance
from layton_bench.candidates import Draw, Reconstruct
from layton_bench.clock import Clock
from layton_bench.datasets.base import Dataset
from layton_bench.datasets.fingerprint import duplicates, fingerprint
from layton_bench.devices import resolve_device, starting_batch_size, torch_dtype
from layton_bench.engine import Candidates, Evaluation, evaluate
from layton_bench.errors import LaytonBenchError, MissingWeightsError, UserError
from layton_bench.features import FeatureRunner
from layton_bench.gallery import Gallery
from layton_bench.loader import load, prompt_batches
from layton_bench.metrics.base import Metric, MetricContext, MetricSpec
from layton_bench.models import LoadContext, ModelSpec, OptionValue, Tokenizer
from layton_bench.plugin_manager import Plugins
from layton_bench.record import (
    Completeness,
    DataInfo,
    MetricResult,
    ModelInfo,
    RunRecord,
    Status,
    Timing,
    new_run_folder,
    read_samples,
    write_record,
)
from layton_bench.resolve import resolve_model
from layton_bench.results import StoredRun, find_existing, model_folder, new_run_id, run_key
from layton_bench.seeds import sample_seed
from layton_bench.signature import metric_label, signature
from layton_bench.suite import Suite
from layton_bench.types import ImageBatch, Item, MetricValue
from layton_bench.weights import WeightsStore

_log = logging.getLogger(__name__)

Overwrite = Literal["never", "always", "only-missing"]


class Reporter(Protocol):
    """Told how a run goes on; the command line draws a progress bar from it."""

    def start(self, title: str, total: int) -> None:
        """A pass over ``total`` samples begins."""

    def advance(self, count: int) -> None:
        """That many more samples are dealt with."""

    def finish(self) -> None:
        """The pass is over."""


class Silent:
    """A reporter that tells nobody."""

    def start(self, title: str, total: int) -> None:
        """Ignore."""

    def advance(self, count: int) -> None:
        """Ignore."""

    def finish(self) -> None:
        """Ignore."""


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
        overwrite: what to do about a run that exists already.
        strict: stop at the first failed sample or unavailable metric.
        metrics: in place of the suite's.
        model_options: values for the model's own options.
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
    overwrite: Overwrite = "never"
    strict: bool = False
    metrics: tuple[str, ...] = ()
    model_options: Mapping[str, OptionValue] = field(default_factory=dict)
    command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A run in the results folder, and whether it was there before."""

    run: StoredRun
    is_reused: bool
    lacking: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A run with every name resolved and every input checked, before any work.

    Attributes:
        suite, model_name, spec: what is run on what.
        model_options: every option of the model.
        dataset, items: the data, and the samples selected.
        has_images: False where the samples are prompts alone.
        options: how to run, with the device resolved.
        metrics: the metrics asked for, by name.
        start: loads the model; returns batches → candidates.
    """

    suite: Suite
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


def run(
    plugins: Plugins,
    suite_name: str,
    model_name: str,
    options: RunOptions,
    *,
    settings: Sequence[str] = (),
    reporter: Reporter | None = None,
) -> Outcome:
    """Run a model on a suite and store the record.

    Args:
        plugins: where names are looked up.
        suite_name, model_name: what to run.
        options: how to run.
        settings: ``name=value`` for the model's own options.
        reporter: told how it goes on.

    Raises:
        UserError: anything the user can mend, before work starts wherever that can be known.
    """
    suite = plugins.suites[suite_name]
    spec = resolve_model(plugins, model_name, suite)
    model_options = parse_options(spec, settings)
    device = resolve_device(options.device)
    torch_dtype(options.dtype)
    data = plugins.datasets[suite.dataset]
    dataset = data.open(options.data_root)

    def start(clock: Clock) -> Candidates:
        model = _load_model(plugins, spec, device, options.dtype, model_options)
        seed_of = partial(_seed, suite.name, options.seed)
        if isinstance(model, Tokenizer):
            return Reconstruct(
                model, seed_of=seed_of, rounding=suite.rounding, clock=clock, device=device
            )
        return Draw(
            model, size_px=suite.size_px or 0, seed_of=seed_of, rounding=suite.rounding, clock=clock
        )

    plan = Plan(
        suite=suite, model_name=spec.card.name, spec=spec, model_options=model_options,
        dataset=dataset, has_images=data.has_images,
        items=repeat(select(dataset.items(), options.limit), suite.images_per_prompt),
        options=options, device=device,
        metrics=metric_specs(plugins, suite, options.metrics), start=start,
    )  # fmt: skip
    return execute(plugins, plan, reporter or Silent())


def repeat(items: Sequence[Item], count: int) -> Sequence[Item]:
    """Each sample ``count`` times, image k of prompt p keyed ``p#k``; once leaves keys alone."""
    if count == 1:
        return items
    return [replace(item, key=f"{item.key}#{k}") for item in items for k in range(count)]


def _seed(suite: str, user_seed: int, key: str) -> int:
    return sample_seed(suite, key, user_seed=user_seed)


def execute(plugins: Plugins, plan: Plan, reporter: Reporter) -> Outcome:
    """Evaluate a plan, unless its record exists already, and store the record."""
    out, suite = plan.options.out, plan.suite
    if not plan.items:
        raise UserError(f"data set '{plan.dataset.name}'", "it has no images", "Check its folder.")
    data = DataInfo(name=plan.dataset.name, fingerprint=fingerprint(plan.dataset, plan.items))
    weights = _weights_digests(plugins, plan.spec)
    key = run_key(_inputs(plan, data, weights))
    existing = find_existing(out, suite.name, plan.model_name, key)
    wanted = dict(plan.metrics)
    if existing is not None and plan.options.overwrite != "always":
        wanted = {n: s for n, s in wanted.items() if not _has(existing.record, n)}
        if not wanted or plan.options.overwrite == "never":
            return Outcome(run=existing, is_reused=True, lacking=tuple(wanted))
    metrics, unavailable = _build_metrics(plugins, plan, wanted, data)
    started = datetime.now(UTC)
    clock = Clock(device=plan.device)
    gallery = Gallery(*_ranking(metrics, plan.metrics))
    begin = time.perf_counter()
    done = _evaluate(plugins, plan, metrics, clock, gallery, reporter)
    results = _results(plan, wanted, metrics, unavailable, done)
    record = RunRecord(
        run_id=new_run_id(started),
        run_key=key,
        status=_status(plan, done),
        started=started.isoformat(timespec="seconds"),
        command=plan.options.command,
        suite=suite,
        suite_digest=suite.digest(),
        model=ModelInfo(
            name=plan.model_name, card=plan.spec.card, options=plan.model_options,
            dtype=plan.options.dtype, weights=weights,
        ),
        data=data,
        seed=plan.options.seed,
        completeness=_completeness(plan, done),
        metrics=results,
        bits_per_image=_mean(done.bits.values()),
        timing=_timing(clock, time.perf_counter() - begin, done.batch_size),
        provenance=provenance.collect(plan.device),
    )  # fmt: skip
    samples = _samples(plan.items, metrics, done)
    if existing is not None and plan.options.overwrite == "only-missing":
        record, samples = _merge_into(existing, record, samples, plan.metrics)
    return Outcome(run=_store(out, record, samples, gallery), is_reused=False)


def select(items: Sequence[Item], limit: int | None) -> Sequence[Item]:
    """``limit`` samples evenly spaced over the data set, or all of them.

    Evenly spaced, because many data sets are sorted by class.
    """
    if limit is None or limit >= len(items):
        return items
    if limit < 1:
        raise UserError(f"--limit {limit}", "not a positive number", "Give 1 or more.")
    return [items[i * len(items) // limit] for i in range(limit)]


def metric_specs(plugins: Plugins, suite: Suite, names: Sequence[str]) -> dict[str, MetricSpec]:
    """The metrics asked for, or the suite's own; raises UnknownNameError."""
    specs = (plugins.metric(name) for name in (names or suite.metrics))
    return {spec.name: spec for spec in specs}


def unavailable_reason(plugins: Plugins, spec: MetricSpec) -> str | None:
    """Why a metric cannot be computed here, with the remedy; None where it can."""
    for package, extra in spec.requires.items():
        if importlib.util.find_spec(package) is None:
            return f"package '{package}' is not installed; run pip install 'layton-bench[{extra}]'"
    store = WeightsStore(plugins.weights.entries)
    for name in spec.weights:
        if not store.is_installed(name):
            return f"weights '{name}' not found; run layton-bench weights pull {name}"
    return None


def _inputs(plan: Plan, data: DataInfo, weights: Mapping[str, str]) -> dict[str, object]:
    return {
        "suite": plan.suite.digest(),
        "data": data.fingerprint,
        "model": plan.model_name,
        "options": plan.model_options,
        "dtype": plan.options.dtype,
        "weights": dict(weights),
        "seed": plan.options.seed,
        "limit": plan.options.limit,
    }


def _weights_digests(plugins: Plugins, spec: ModelSpec) -> dict[str, str]:
    store = WeightsStore(plugins.weights.entries)
    return {name: store.digest(name) for name in spec.card.weights}


def _load_model(
    plugins: Plugins,
    spec: ModelSpec,
    device: str,
    dtype: str,
    options: Mapping[str, OptionValue],
) -> Tokenizer | models.Generator:
    store = WeightsStore(plugins.weights.entries)
    context = LoadContext(device=device, dtype=dtype, weights=store.find, options=options)
    try:
        model = spec.load(context)
    except LaytonBenchError:
        raise
    except Exception as error:  # a plugin's loader may raise anything
        raise UserError(
            f"model '{spec.card.name}'",
            f"it failed to load ({type(error).__name__}: {error})",
            "Check its weights, device and dtype.",
        ) from error
    wanted = Tokenizer if spec.card.kind == "tokenizer" else models.Generator
    if not isinstance(model, wanted):
        raise UserError(
            f"model '{spec.card.name}'",
            f"what it loads is no {spec.card.kind}: a method is missing",
            "Ask the plugin's author; docs/plugins.md has the contract.",
        )
    return model


def _build_metrics(
    plugins: Plugins, plan: Plan, wanted: Mapping[str, MetricSpec], data: DataInfo
) -> tuple[dict[str, Metric], dict[str, str]]:
    """Accumulators of what is available, and the reasons for what is not."""
    features = FeatureRunner(plugins, plan, data)
    context = MetricContext(features=features, device=plan.device, seed=plan.options.seed)
    metrics: dict[str, Metric] = {}
    unavailable: dict[str, str] = {}
    for name, spec in wanted.items():
        reason = unavailable_reason(plugins, spec)
        if reason is None:
            try:
                metrics[name] = spec.make(context)
            except (MissingWeightsError, ImportError) as error:
                reason = str(error)
        if reason is not None:
            unavailable[name] = reason
            if plan.options.strict:
                raise UserError(f"metric '{name}'", reason, "Or run without --strict.")
            _log.warning("metric '%s' unavailable: %s", name, reason)
    return metrics, unavailable


def _ranking(
    metrics: Mapping[str, Metric], specs: Mapping[str, MetricSpec]
) -> tuple[str | None, str]:
    """The metric that says which samples are worst: the first with a column of its own."""
    for name, metric in metrics.items():
        if name in metric.per_sample() and specs[name].direction != "none":
            return name, specs[name].direction
    return None, "higher"


def _evaluate(
    plugins: Plugins,
    plan: Plan,
    metrics: Mapping[str, Metric],
    clock: Clock,
    gallery: Gallery,
    reporter: Reporter,
) -> Evaluation:
    options, suite = plan.options, plan.suite
    candidates = plan.start(clock)
    size = options.batch_size or starting_batch_size(plan.device, suite.size_px)
    batches = _batches(plugins, plan, size)
    reporter.start(f"{plan.model_name} on {suite.name}", len(plan.items))
    try:
        with closing(batches):
            return evaluate(
                batches, candidates, metrics, clock=clock, gallery=gallery,
                strict=options.strict, on_progress=reporter.advance,
            )  # fmt: skip
    finally:
        reporter.finish()


def _batches(plugins: Plugins, plan: Plan, batch_size: int) -> Generator[ImageBatch, None, None]:
    if not plan.has_images:
        yield from prompt_batches(plan.items, batch_size=batch_size)
        return
    yield from load(
        plan.dataset,
        plan.items,
        protocol=plugins.protocols[plan.suite.protocol],
        size_px=plan.suite.size_px or 0,
        batch_size=batch_size,
        num_workers=plan.options.num_workers,
    )


def _results(
    plan: Plan,
    wanted: Mapping[str, MetricSpec],
    metrics: Mapping[str, Metric],
    unavailable: Mapping[str, str],
    done: Evaluation,
) -> dict[str, MetricResult]:
    results = {}
    for name, spec in wanted.items():
        reason = unavailable.get(name) or done.broken.get(name)
        value = MetricValue(value=None, n=0)
        if reason is None:
            if "codes" in spec.needs and done.num_tokens is None:
                continue  # the metric does not apply to a model without codes
            value, reason = _compute(metrics[name])
        results[name] = MetricResult(
            label=metric_label(spec, plan.suite.kind), direction=spec.direction, unit=spec.unit,
            digits=spec.digits, value=value.value, low=value.low, high=value.high, std=value.std,
            n=value.n, note=value.note, unavailable=reason,
            signature=signature(spec, plan.suite, value.n),
        )  # fmt: skip
    return results


def _compute(metric: Metric) -> tuple[MetricValue, str | None]:
    """The value, or why there is none; one metric's fault must not lose the others."""
    try:
        return metric.compute(), None
    except Exception as error:  # a plugin's metric may raise anything
        _log.exception("a metric failed to compute")
        return MetricValue(value=None, n=0), f"failed: {type(error).__name__}: {error}"


def _status(plan: Plan, done: Evaluation) -> Status:
    if done.interrupted:
        return "interrupted"
    return "complete" if len(done.keys) == _expected(plan) else "partial"


def _expected(plan: Plan) -> int:
    prompts = plan.suite.num_samples or len(plan.dataset.items())
    return prompts * plan.suite.images_per_prompt


def _completeness(plan: Plan, done: Evaluation) -> Completeness:
    available = len(plan.dataset.items()) * plan.suite.images_per_prompt
    return Completeness(
        expected=_expected(plan),
        selected=len(plan.items),
        effective=len(done.keys),
        limit=plan.options.limit,
        missing=max(0, _expected(plan) - available),
        upscaled=done.upscaled,
        failed=tuple(done.failures),
        duplicates=duplicates(plan.dataset, plan.items),
    )


def _timing(clock: Clock, total: float, batch_size: int) -> Timing:
    seconds = clock.seconds
    return Timing(
        total_seconds=total,
        load_seconds=seconds["load"],
        encode_seconds=seconds["encode"],
        decode_seconds=seconds["decode"],
        metrics_seconds=seconds["metrics"],
        batch_size=batch_size,
    )


def _mean(values: Iterable[float]) -> float | None:
    held = list(values)
    return sum(held) / len(held) if held else None


def _samples(
    items: Sequence[Item], metrics: Mapping[str, Metric], done: Evaluation
) -> pd.DataFrame:
    """One row a sample in data-set order: metric columns, bits, and the failure where one is."""
    columns: dict[str, Mapping[str, float]] = {}
    for name, metric in metrics.items():
        if name not in done.broken:
            columns.update(metric.per_sample())
    failed = {failure.key: f"{failure.stage}: {failure.reason}" for failure in done.failures}
    frame = pd.DataFrame({"key": [item.key for item in items]})
    for name, values in columns.items():
        frame[name] = frame["key"].map(values)
    if done.bits:
        frame["bits"] = frame["key"].map(done.bits)
    frame["failure"] = frame["key"].map(failed)
    return frame


def _has(record: RunRecord, name: str) -> bool:
    result = record.metrics.get(name)
    return result is not None and result.unavailable is None


def _merge_into(
    existing: StoredRun, record: RunRecord, samples: pd.DataFrame, order: Iterable[str]
) -> tuple[RunRecord, pd.DataFrame]:
    """The existing run with the new metrics added; both passes must have seen the same samples."""
    old = read_samples(existing.folder)
    if record.completeness.failed != existing.record.completeness.failed:
        raise UserError(
            f"run {existing.record.run_id}",
            "other samples failed this time, so its values and the new ones do not fit together",
            "Run with --overwrite always.",
        )
    metrics = {**existing.record.metrics, **record.metrics}
    ordered = {name: metrics[name] for name in (*order, *metrics) if name in metrics}
    fresh = samples.drop(columns=[c for c in samples if c in old and c != "key"])
    return record.model_copy(update={"metrics": ordered}), old.merge(fresh, on="key", how="left")


def _store(out: Path, record: RunRecord, samples: pd.DataFrame, gallery: Gallery) -> StoredRun:
    """Write the run's folder, then remove older runs of the same inputs."""
    parent = model_folder(out, record.suite.name, record.model.name)
    final = parent / record.run_id
    with new_run_folder(final) as folder:
        record = record.model_copy(update={"images": gallery.save(folder)})
        write_record(folder, record, samples)
    for path in parent.glob("*/record.json"):
        if path.parent != final and f'"run_key": "{record.run_key}"' in path.read_text():
            shutil.rmtree(path.parent)
    return StoredRun(folder=final, record=record)

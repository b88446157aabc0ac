"""One run, in order: resolve the names, check everything, evaluate, write the record.

What `layton-bench run` and `layton-bench score` call; nothing here parses or prints.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from layton_bench import models
from layton_bench.datasets import (
    Dataset,
    files_digest,
    fingerprint,
    load,
    prompt_batches,
    prompted_fingerprint,
    sample_digests,
)
from layton_bench.errors import LaytonBenchError, UserError
from layton_bench.machine import (
    Clock,
    Reporter,
    Silent,
    allocated_device_mib,
    cache_folder,
    resolve_device,
    starting_batch_size,
    torch_dtype,
)
from layton_bench.metrics import FeatureRunner, Metric, MetricContext, ReferenceCache
from layton_bench.models import LoadContext, ModelSpec, OptionValue, Tokenizer
from layton_bench.records import (
    DataInfo,
    ModelInfo,
    StoredRun,
    Throughput,
    check_writable,
    copy_images,
    find_existing,
    run_key,
    store,
)
from layton_bench.registry import (
    Plugins,
    build_metrics,
    metric_specs,
    parse_options,
    ranking_metric,
    resolve_model,
    unavailable_reason,
    under_decode_seeds,
)
from layton_bench.run.engine.candidates import Draw, Reconstruct, prompts_of
from layton_bench.run.engine.gallery import Gallery, image_spool
from layton_bench.run.engine.loop import Candidates, Evaluation, evaluate
from layton_bench.run.plan import Plan, RunOptions, select, with_prompts
from layton_bench.run.recording import assemble, merge_into, run_inputs
from layton_bench.run.speed.throughput import NUM_PROMPTS, measure_throughput
from layton_bench.seeds import sample_seed
from layton_bench.types import Failure, ImageBatch, Item
from layton_bench.weights import WeightsStore

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A run in the results folder.

    Attributes:
        run: its record and folder.
        is_reused: whether it was there before.
        lacking: metrics asked for that an existing run does not have.
    """

    run: StoredRun
    is_reused: bool = False
    lacking: tuple[str, ...] = ()


def run(
    plugins: Plugins,
    suite_name: str,
    model_name: str,
    options: RunOptions,
    *,
    settings: Sequence[str] = (),
    reporter: Reporter | None = None,
) -> Outcome:
    """Run a model on a suite and store the record: ``make_plan``, then ``execute``."""
    plan = make_plan(plugins, suite_name, model_name, options, settings=settings)
    return execute(plugins, plan, reporter or Silent())


def make_plan(
    plugins: Plugins,
    suite_name: str,
    model_name: str,
    options: RunOptions,
    *,
    settings: Sequence[str] = (),
) -> Plan:
    """Resolve every name and check every input, so that nothing wrong is found after hours.

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
    protocol = plugins.protocols[suite.protocol]
    spec = resolve_model(plugins, model_name, suite)
    model_options = parse_options(spec, settings)
    device = resolve_device(options.device)
    torch_dtype(options.dtype)
    metrics = metric_specs(plugins, suite, options.metrics)
    weights = WeightsStore(plugins.weights.entries)
    data = plugins.datasets[suite.dataset]
    dataset = plugins.open_dataset(suite.dataset, options.data_root)

    def start(clock: Clock) -> Candidates:
        model = load_model(plugins, spec, device, options.dtype, model_options)
        seed_of = partial(sample_seed, suite.name, user_seed=options.seed)
        if isinstance(model, Tokenizer):
            return Reconstruct(
                model, seed_of=seed_of, rounding=suite.rounding, clock=clock, device=device,
                decode_seeds=options.decode_seeds,
            )  # fmt: skip
        size = suite.size_px or next(iter(spec.card.sizes_px), 0)
        return Draw(model, size_px=size, seed_of=seed_of, rounding=suite.rounding, clock=clock)

    if options.decode_seeds > 1 and not spec.card.is_stochastic:
        raise UserError(
            f"--decode-seeds {options.decode_seeds}",
            f"the decoder of '{model_name}' draws no noise, every seed gives the same",
            "Leave it out.",
        )
    items = select(select(dataset.items(), suite.num_samples), options.limit)
    left_out: tuple[Failure, ...] = ()
    if suite.kind == "generation":
        items, left_out = with_prompts(items)
        _check_prompts(dataset, items, left_out)
    digests = {name: weights.digest(name) for name in spec.card.weights}
    if files := spec.files():
        digests["files"] = files_digest(files)
    return Plan(
        suite=suite, protocol=protocol, model_name=spec.card.name, spec=spec,
        model_options=model_options, dataset=dataset, has_images=data.has_images, items=items,
        options=options, device=device, metrics=metrics, start=start,
        weights=digests, left_out=left_out,
    )  # fmt: skip


def execute(plugins: Plugins, plan: Plan, reporter: Reporter) -> Outcome:
    """Evaluate a plan, unless its record exists already, and store the record.

    Raises:
        UserError: there are no images, or none of them could be used; the results folder cannot
            be written, …
        KeyboardInterrupt: Ctrl-C before the first batch was done.
    """
    out, overwrite = plan.options.out, plan.options.overwrite
    _check_items(plan)
    check_writable(out)
    images = fingerprint(plan.dataset, plan.items, reporter=reporter)
    is_drawn = plan.suite.kind == "generation" and plan.has_images
    data = DataInfo(
        name=plan.dataset.name,
        fingerprint=prompted_fingerprint(plan.dataset, plan.items) if is_drawn else images,
        notes=tuple(getattr(plan.dataset, "notes", ())),
    )
    model = ModelInfo(
        name=plan.model_name, card=plan.spec.card, options=plan.model_options,
        changed_options=tuple(
            name for name, value in plan.model_options.items() if value != plan.spec.options[name]
        ),
        dtype=plan.options.dtype, weights=dict(plan.weights),
    )  # fmt: skip
    key = run_key(run_inputs(plan, data, model))
    existing = None
    if overwrite != "always":
        existing = find_existing(out, plan.suite.name, plan.model_name, key)
    wanted, lacks_images = dict(plan.metrics), False
    if existing is not None and plan.options.keep_images:
        lacks_images = len(existing.record.images) < existing.record.completeness.effective
        if lacks_images and overwrite == "only-missing":
            existing = None  # pictures come with a whole pass
    if existing is not None:
        wanted = {
            name: spec
            for name, spec in wanted.items()
            if not existing.record.has(name) and unavailable_reason(plugins, spec) is None
        }
        if not wanted or overwrite == "never":
            lacking = (*wanted, "the pictures of every sample") if lacks_images else tuple(wanted)
            return Outcome(run=existing, is_reused=True, lacking=lacking)

    started, clock = datetime.now(UTC), Clock(device=plan.device)
    find_weights = WeightsStore(plugins.weights.entries).find
    features = FeatureRunner(
        plugins.backbones.entries,
        find_weights,
        device=plan.device,
        cache=ReferenceCache(
            cache_folder() / "features",
            fingerprint=images,
            contents=sample_digests(plan.dataset, plan.items),
            protocol=f"{plan.suite.protocol}:{plan.suite.size_px}",
        ),
    )
    context = MetricContext(
        features=features, device=plan.device, seed=plan.options.seed, weights=find_weights
    )
    metrics, unavailable = build_metrics(plugins, wanted, context, strict=plan.options.strict)
    _refuse_no_metric(plan, metrics, unavailable)
    metrics |= under_decode_seeds(wanted, metrics, context, plan.options.decode_seeds)
    held = allocated_device_mib(plan.device)
    candidates = plan.start(clock)
    if isinstance(candidates, Draw):
        models.check_prompts(candidates.model, prompts_of(plan.items))
    model = model.model_copy(update={"environment": _environment(candidates)})
    throughput = _throughput(plan, candidates, model, held)
    begin = time.perf_counter()
    with image_spool(out, is_wanted=plan.options.keep_images and existing is None) as all_in:
        gallery = Gallery(*ranking_metric(metrics, plan.metrics), all_in=all_in)
        done = _evaluate(plan, candidates, metrics, clock, gallery, reporter)
        _refuse_nothing(done)
        features.save()
        record, samples = assemble(
            plan, done, wanted, metrics, unavailable, model=model, data=data, run_key=key,
            started=started, clock=clock, begin=begin, throughput=throughput,
        )  # fmt: skip
        save_images = gallery.save
        if existing is not None and not done.interrupted:
            record, samples = merge_into(existing, record, samples, plan.metrics)
            save_images = partial(copy_images, existing)
        return Outcome(run=store(out, record, samples, save_images))


def _check_prompts(dataset: Dataset, items: Sequence[Item], left_out: Sequence[Failure]) -> None:
    """A data set without any prompt is found before a model is loaded."""
    if left_out and not items:
        notes = getattr(dataset, "notes", ())
        raise UserError(
            f"data set '{dataset.name}'",
            "; ".join(("none of its images has a caption to be drawn", *notes)),
            "Put its captions where docs/data.md says.",
        )


def _refuse_no_metric(
    plan: Plan, metrics: Mapping[str, Metric], unavailable: Mapping[str, str]
) -> None:
    """Nothing is drawn, which may take hours, when nothing can be said of it."""
    if plan.suite.kind == "generation" and unavailable and not metrics:
        name, reason = next(iter(unavailable.items()))
        raise UserError(
            f"suite '{plan.suite.name}'",
            f"none of its metrics can be computed here ({name}: {reason})",
            "Install what they need; `layton-bench doctor` lists it. Nothing has been drawn.",
        )


def _check_items(plan: Plan) -> None:
    if not plan.items:
        raise UserError(f"data set '{plan.dataset.name}'", "it has no images", "Check its folder.")
    twice = [key for key, count in Counter(item.key for item in plan.items).items() if count > 1]
    if twice:
        raise UserError(
            f"data set '{plan.dataset.name}'",
            f"{len(twice)} of its keys stand for several samples ('{twice[0]}', say)",
            "Ask the author of its plugin: keys must be unique.",
        )


def _refuse_nothing(done: Evaluation) -> None:
    """A pass without one usable sample is no run."""
    if done.keys:
        return
    if done.interrupted:
        raise KeyboardInterrupt
    first = done.failures[0]
    raise UserError(
        "the run",
        f"none of {len(done.failures)} samples could be used"
        f" ('{first.key}', {first.stage}: {first.reason})",
        "Check the data and the model.",
    )


def load_model(
    plugins: Plugins,
    spec: ModelSpec,
    device: str,
    dtype: str,
    options: Mapping[str, OptionValue],
) -> Tokenizer | models.Generator:
    """Load a model; raises UserError naming it, whatever the plugin raises."""
    weights = WeightsStore(plugins.weights.entries)
    context = LoadContext(device=device, dtype=dtype, weights=weights.find, options=options)
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


def _environment(candidates: Candidates) -> dict[str, str]:
    """Versions that a model in an environment of its own tells."""
    return dict(getattr(getattr(candidates, "model", None), "environment", {}))


def _throughput(
    plan: Plan, candidates: Candidates, model: ModelInfo, held_mib: float
) -> Throughput | None:
    """A generator's speed; None for anything else."""
    if not isinstance(candidates, Draw):
        return None
    _log.info("measuring how fast %s draws", plan.model_name)
    return measure_throughput(
        candidates.model, prompts_of(select(plan.items, NUM_PROMPTS)), candidates.seed_of,
        device=plan.device, num_images=len(plan.samples()), held_mib=held_mib,
        nfe=None if model.changed_options else model.card.nfe,
    )  # fmt: skip


def _evaluate(
    plan: Plan,
    candidates: Candidates,
    metrics: Mapping[str, Metric],
    clock: Clock,
    gallery: Gallery,
    reporter: Reporter,
) -> Evaluation:
    options, suite = plan.options, plan.suite
    size = options.batch_size or starting_batch_size(plan.device, suite.size_px)
    reporter.start(f"{plan.model_name} on {suite.name}", len(plan.samples()))
    try:
        with closing(_batches(plan, size)) as batches:
            return evaluate(
                batches, candidates, metrics, clock=clock, gallery=gallery,
                strict=options.strict, on_progress=reporter.advance,
            )  # fmt: skip
    finally:
        reporter.finish()


def _batches(plan: Plan, batch_size: int) -> Generator[ImageBatch, None, None]:
    if not plan.has_images:
        yield from prompt_batches(plan.samples(), batch_size=batch_size)
        return
    yield from load(
        plan.dataset,
        plan.samples(),
        protocol=plan.protocol,
        size_px=plan.suite.size_px,
        batch_size=batch_size,
        num_workers=plan.options.num_workers,
    )

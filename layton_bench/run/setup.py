"""What a run works with: its metrics, its candidates, and the pass over its samples.

``run``, ``score``, ``sweep`` and ``explain-gap`` all set up here.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from layton_bench import models
from layton_bench.datasets import load, prompt_batches
from layton_bench.errors import UserError, guarded_for_user
from layton_bench.machine import (
    Clock,
    Reporter,
    allocated_device_mib,
    cache_folder,
    starting_batch_size,
)
from layton_bench.metrics import (
    CheckedMetric,
    FeatureRunner,
    Metric,
    MetricContext,
    MetricSpec,
    ReferenceCache,
)
from layton_bench.models import Tokenizer, check_prompts
from layton_bench.records import Throughput
from layton_bench.registry import Plugins, build_metrics, load_model
from layton_bench.run.engine.candidates import (
    Candidates,
    Draw,
    ReadyMadeCandidates,
    Reconstruct,
    prompts_of,
)
from layton_bench.run.engine.decode_seeds import under_decode_seeds
from layton_bench.run.engine.gallery import Gallery
from layton_bench.run.engine.loop import Evaluation, evaluate
from layton_bench.run.identity import Identity
from layton_bench.run.plan import Plan, select
from layton_bench.run.speed.throughput import NUM_PROMPTS, measure_throughput
from layton_bench.seeds import sample_seed
from layton_bench.types import ImageBatch
from layton_bench.weights import WeightsStore

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a pass over the samples works with.

    Attributes:
        started: when the work began.
        features: runs the backbones; what is new in its cache is saved after the pass.
        metrics: accumulators by name, with one more for each further decode seed.
        unavailable: metric → why it cannot be computed here.
        candidates: batch → what the metrics see.
        clock: takes the time of each phase.
        environment: versions in the model's own environment, for an external model.
        throughput: a generator's speed.
    """

    started: datetime
    features: FeatureRunner
    metrics: Mapping[str, CheckedMetric]
    unavailable: Mapping[str, str]
    candidates: Candidates
    clock: Clock
    environment: Mapping[str, str]
    throughput: Throughput | None


def set_up(
    plugins: Plugins, plan: Plan, identity: Identity, wanted: Mapping[str, MetricSpec]
) -> Setup:
    """Build the metrics, then load the model.

    Raises:
        UserError: a metric is unavailable in strict mode; no metric of a generation suite is
            available; the model does not load or cannot draw the prompts.
    """
    started = datetime.now(UTC)
    features = feature_runner(plugins, plan, identity)
    context = metric_context(plugins, plan, features)
    metrics, unavailable = build_metrics(plugins, wanted, context, strict=plan.options.strict)
    _refuse_no_metric(plan, metrics, unavailable)
    metrics |= under_decode_seeds(wanted, metrics, context, plan.options.decode_seeds)
    clock = Clock(device=plan.device)
    held_mib = allocated_device_mib(plan.device)
    candidates, environment = _candidates(plugins, plan, clock)
    throughput = None
    if isinstance(candidates, Draw):
        check_prompts(candidates.model, prompts_of(plan.items))
        throughput = _throughput(plan, identity, candidates, held_mib)
    return Setup(
        started=started,
        features=features,
        metrics=metrics,
        unavailable=unavailable,
        candidates=candidates,
        clock=clock,
        environment=environment,
        throughput=throughput,
    )


def feature_runner(plugins: Plugins, plan: Plan, identity: Identity) -> FeatureRunner:
    """Return what runs the backbones, with the cache of the references' features."""
    return FeatureRunner(
        plugins.backbones.entries,
        WeightsStore(plugins.weights.entries).find,
        device=plan.device,
        cache=ReferenceCache(
            cache_folder() / "features",
            fingerprint=identity.images,
            contents=identity.references,
            protocol=f"{plan.protocol.id}:{plan.suite.size_px}",
        ),
    )


def metric_context(plugins: Plugins, plan: Plan, features: FeatureRunner) -> MetricContext:
    """Return what the plan's metrics are built from."""
    return MetricContext(
        features=features,
        device=plan.device,
        seed=plan.options.seed,
        weights=WeightsStore(plugins.weights.entries).find,
    )


def candidates_of(plan: Plan, model: Tokenizer | models.Generator, clock: Clock) -> Candidates:
    """Return what reconstructs or draws the plan's samples with a loaded model."""
    suite = plan.suite
    seed_of = partial(sample_seed, suite.name, user_seed=plan.options.seed)
    if isinstance(model, Tokenizer):
        return Reconstruct(
            model,
            seed_of=seed_of,
            rounding=suite.rounding,
            clock=clock,
            device=plan.device,
            decode_seeds=plan.options.decode_seeds,
        )
    side_px = plan.spec.card.side_px(suite.size_px)
    return Draw(model, size_px=side_px, seed_of=seed_of, rounding=suite.rounding, clock=clock)


def evaluate_plan(
    plan: Plan,
    candidates: Candidates,
    metrics: Mapping[str, Metric],
    clock: Clock,
    *,
    gallery: Gallery,
    reporter: Reporter,
) -> Evaluation:
    """Pass once over the plan's samples, with progress."""
    options, suite = plan.options, plan.suite
    size = options.batch_size or starting_batch_size(plan.device, suite.size_px)
    reporter.start(f"{plan.model_name} on {suite.name}, {plan.protocol.id}", len(plan.samples()))
    try:
        with closing(_batches(plan, size)) as batches:
            return evaluate(
                batches,
                candidates,
                metrics,
                clock=clock,
                gallery=gallery,
                strict=options.strict,
                on_progress=reporter.advance,
            )
    finally:
        reporter.finish()


def _candidates(plugins: Plugins, plan: Plan, clock: Clock) -> tuple[Candidates, Mapping[str, str]]:
    """Return the candidates, and the versions that an external model reports."""
    if plan.ready_made is not None:
        return ReadyMadeCandidates(plan.ready_made, clock), {}
    model = load_model(plugins, plan.spec, plan.device, plan.options.dtype, plan.model_options)
    return candidates_of(plan, model, clock), _environment(model)


def _environment(model: object) -> dict[str, str]:
    with guarded_for_user("the model", "its versions cannot be read", "Ask the plugin's author."):
        return {str(name): str(value) for name, value in getattr(model, "environment", {}).items()}


def _throughput(plan: Plan, identity: Identity, draw: Draw, held_mib: float) -> Throughput:
    _log.info("measuring how fast %s draws", plan.model_name)
    return measure_throughput(
        draw.model,
        prompts_of(select(plan.items, NUM_PROMPTS)),
        draw.seed_of,
        device=plan.device,
        num_images=len(plan.samples()),
        held_mib=held_mib,
        nfe=None if identity.model.changed_options else plan.spec.card.nfe,
    )


def _refuse_no_metric(
    plan: Plan, metrics: Mapping[str, Metric], unavailable: Mapping[str, str]
) -> None:
    """Draw nothing, which may take hours, if no metric can judge it."""
    if plan.suite.kind == "generation" and unavailable and not metrics:
        name, reason = next(iter(unavailable.items()))
        raise UserError(
            f"suite '{plan.suite.name}'",
            f"none of its metrics can be computed here ({name}: {reason})",
            "Install what they need; `layton-bench doctor` lists it. Nothing was drawn.",
        )


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

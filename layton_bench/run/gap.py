"""Which way of measuring reaches a published number?

The same model is scored under every crop × rounding rule × variant of the metric that published
scripts use. Each combination is compared with the number, the nearest first. A crop changes what
the model sees and costs a pass; rounding rules and variants share the pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from layton_bench.datasets import Protocol
from layton_bench.errors import CtrlC, UserError
from layton_bench.images import ROUNDING_RULES, RoundingRule, to_uint8
from layton_bench.machine import Clock, Reporter, Silent
from layton_bench.metrics import CheckedMetric, MetricContext, MetricSpec, Viewed
from layton_bench.models import Generator, Tokenizer
from layton_bench.registry import (
    Plugins,
    computed,
    load_model,
    make_metric,
    unavailable_reason,
)
from layton_bench.run.engine.gallery import Gallery
from layton_bench.run.identity import Identity, identify
from layton_bench.run.plan import Plan, RunOptions, make_plan
from layton_bench.run.published import SCRIPTS, VARIANTS, paper_metric
from layton_bench.run.setup import candidates_of, evaluate_plan, feature_runner, metric_context
from layton_bench.types import MetricValue, ScoredBatch

_CROPS_LEFT_OUT = ("native",)

Values = dict[tuple[str, RoundingRule, str], MetricValue]
"""Crop, rounding rule and variant → what they give."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """One way of measuring and what it gives.

    Attributes:
        protocol: the crop.
        rounding: from float to uint8.
        metric: the variant.
        value: what it gives; None if it is not available, with the reason in ``note``.
        gap: value − published number.
        scripts: published scripts that measure so.
        note: what a reader must know beside the value.
    """

    protocol: str
    rounding: RoundingRule
    metric: str
    value: float | None
    gap: float | None
    scripts: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Every combination for one published number, nearest first."""

    metric: str
    reported: float
    n: int
    combinations: tuple[Combination, ...]


def explain_gap(
    plugins: Plugins,
    suite_name: str,
    model_name: str,
    reported: Mapping[str, float],
    options: RunOptions,
    *,
    settings: Sequence[str] = (),
    statistics: Sequence[Path] = (),
    reporter: Reporter | None = None,
) -> list[Explanation]:
    """Score a tokenizer under every combination, and compare each with published numbers.

    Args:
        plugins: where names are looked up.
        suite_name: gives the data set and the size; its own protocol is one among the others.
        model_name: a tokenizer.
        reported: metric as papers name it → published number.
        options: how to run; ``metrics`` and ``overwrite`` are not used.
        settings: ``name=value`` for the model's own options.
        statistics: other reference sets of FID, as ``.npz`` files (a training set's, ADM's
            reference batches): each is one more variant.
        reporter: shows the progress of each pass.

    Raises:
        UserError: unknown names; missing data; a metric without known variants; a suite for
            generators.
    """
    reporter = reporter or Silent()
    wanted = {paper_metric(name): value for name, value in reported.items()}
    specs = {
        metric: [plugins.metric(name) for name in _variants(metric, statistics)]
        for metric in wanted
    }
    plan = make_plan(plugins, suite_name, model_name, options, settings=settings)
    if plan.suite.kind != "reconstruction":
        raise UserError(
            f"suite '{suite_name}'",
            "its images are drawn, not reconstructed",
            "Name a suite for tokenizers.",
        )
    identity = identify(plan, reporter)
    model = load_model(plugins, plan.spec, plan.device, options.dtype, plan.model_options)
    variants = {spec.name: spec for group in specs.values() for spec in group}
    values: Values = {}
    for crop in plugins.protocols.entries.values():
        if crop.name not in _CROPS_LEFT_OUT:
            values |= _pass(plugins, plan, identity, model, crop, variants, reporter)
    return [
        _explain(metric, number, [spec.name for spec in specs[metric]], values)
        for metric, number in wanted.items()
    ]


def _pass(
    plugins: Plugins,
    plan: Plan,
    identity: Identity,
    model: Tokenizer | Generator,
    crop: Protocol,
    variants: Mapping[str, MetricSpec],
    reporter: Reporter,
) -> Values:
    """Return every rounding rule and variant under one crop."""
    plan = replace(plan, protocol=crop)
    features, clock = feature_runner(plugins, plan, identity), Clock(device=plan.device)
    missing = {
        name: reason
        for name, spec in variants.items()
        if (reason := unavailable_reason(plugins, spec)) is not None
    }
    available = {name: spec for name, spec in variants.items() if name not in missing}
    metrics = _metrics(available, metric_context(plugins, plan, features))
    done = evaluate_plan(
        plan,
        candidates_of(plan, model, clock),
        {_shown(*key): metric for key, metric in metrics.items()},
        clock,
        gallery=Gallery(None),
        reporter=reporter,
    )
    if done.interrupted:
        raise CtrlC
    features.save()
    values: Values = {}
    for (rule, name), metric in metrics.items():
        reason = done.broken.get(_shown(rule, name))
        values[crop.id, rule, name] = _unknown(reason) if reason else _computed(metric)
    for name, reason in missing.items():
        for rule in ROUNDING_RULES:
            values[crop.id, rule, name] = _unknown(f"unavailable: {reason}")
    return values


def _shown(rule: RoundingRule, variant: str) -> str:
    return f"{variant}, {rule}"


def _metrics(
    specs: Mapping[str, MetricSpec], context: MetricContext
) -> dict[tuple[RoundingRule, str], CheckedMetric]:
    return {
        (rule, name): CheckedMetric(Viewed(make_metric(spec, context), partial(rerounded, rule)))
        for name, spec in specs.items()
        for rule in ROUNDING_RULES
    }


def _computed(metric: CheckedMetric) -> MetricValue:
    found = computed(metric)
    return found.value if found.reason is None else _unknown(found.reason)


def _unknown(reason: str) -> MetricValue:
    return MetricValue(value=None, n=0, note=reason)


def rerounded(rounding: RoundingRule, batch: ScoredBatch) -> ScoredBatch:
    """Return the batch with the model's floats rounded by another rule; once per batch and rule."""

    def make() -> ScoredBatch:
        assert batch.decoded is not None, "a model was run"
        return replace(
            batch,
            candidates=to_uint8(batch.decoded.float(), rounding).cpu(),
            memo={},
        )

    return batch.shared(("rounded", rounding), make)


def _variants(metric: str, statistics: Sequence[Path]) -> tuple[str, ...]:
    """Variants of a metric; FID has one more of each convention for every file of statistics."""
    own = VARIANTS[metric]
    if metric != "fid":
        return own
    return (*own, *(f"{name}@{path}" for path in statistics for name in own))


def _explain(
    metric: str,
    reported: float,
    variants: Sequence[str],
    values: Mapping[tuple[str, RoundingRule, str], MetricValue],
) -> Explanation:
    chosen = {key: v for key, v in values.items() if key[2] in variants}
    made = [_combination(metric, reported, *key, value) for key, value in chosen.items()]
    made.sort(key=lambda c: (c.gap is None, abs(c.gap or 0.0)))
    n = max((value.n for value in chosen.values()), default=0)
    return Explanation(metric=metric, reported=reported, n=n, combinations=tuple(made))


def _combination(
    metric: str,
    reported: float,
    protocol: str,
    rounding: RoundingRule,
    variant: str,
    value: MetricValue,
) -> Combination:
    scripts = tuple(
        s.name for s in SCRIPTS
        if (s.protocol, s.rounding, s.variants.get(metric)) == (protocol, rounding, variant)
    )  # fmt: skip
    gap = None if value.value is None else value.value - reported
    return Combination(
        protocol=protocol, rounding=rounding, metric=variant, value=value.value, gap=gap,
        scripts=scripts, note=value.note,
    )  # fmt: skip

"""From a finished pass to a run record and its table of samples."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from layton_bench.datasets import duplicates
from layton_bench.machine import Clock, collect
from layton_bench.metrics import Explains, Metric, MetricSpec, influence_column
from layton_bench.records import (
    Completeness,
    MetricResult,
    RunRecord,
    Status,
    Timing,
    metric_label,
    new_run_id,
    signature,
)
from layton_bench.registry import computed
from layton_bench.run.engine.decode_seeds import seed_spread
from layton_bench.run.engine.loop import Evaluation
from layton_bench.run.identity import Identity
from layton_bench.run.plan import Plan
from layton_bench.run.setup import Setup
from layton_bench.types import MetricValue

if TYPE_CHECKING:
    import pandas as pd


def record_of(
    plan: Plan,
    identity: Identity,
    wanted: Mapping[str, MetricSpec],
    setup: Setup,
    done: Evaluation,
) -> tuple[RunRecord, pd.DataFrame]:
    """Compute the metrics, and return the record of a pass and its table of samples."""
    begin = time.perf_counter()
    results, influences = _results(plan, wanted, setup, done)
    computing_seconds = time.perf_counter() - begin
    record = RunRecord(
        run_id=new_run_id(setup.started),
        run_key=identity.key,
        status=_status(plan, done),
        started=setup.started.isoformat(timespec="seconds"),
        command=plan.options.command,
        suite=plan.suite,
        suite_digest=plan.suite.digest(),
        model=identity.model.model_copy(update={"environment": dict(setup.environment)}),
        data=identity.data,
        seed=plan.options.seed,
        completeness=_completeness(plan, done),
        metrics=results,
        not_applicable=tuple(name for name in wanted if name not in results),
        bits_per_image=_mean(done.bits.values()),
        timing=_timing(setup.clock, done.seconds + computing_seconds, done.batch_size),
        throughput=setup.throughput,
        provenance=collect(plan.device),
    )
    return record, _samples(plan, setup.metrics, done, influences)


def _results(
    plan: Plan, wanted: Mapping[str, MetricSpec], setup: Setup, done: Evaluation
) -> tuple[dict[str, MetricResult], dict[str, Mapping[str, float]]]:
    """Return each metric's result, and each sample's influence on metrics of sets."""
    results: dict[str, MetricResult] = {}
    influences: dict[str, Mapping[str, float]] = {}
    for name, spec in wanted.items():
        reason = setup.unavailable.get(name) or done.broken.get(name)
        value = MetricValue(value=None, n=0)
        if reason is None:
            if not _applies(spec, done):
                continue
            value, reason = computed(setup.metrics[name])
        results[name] = MetricResult(
            label=metric_label(spec, plan.suite.kind), direction=spec.direction, unit=spec.unit,
            digits=spec.digits, value=value.value, low=value.low, high=value.high, std=value.std,
            n=value.n, note=value.note, unavailable=reason,
            signature=signature(spec, plan.suite, value.n),
            decode_seeds=seed_spread(name, value, setup.metrics, plan.options.decode_seeds),
        )  # fmt: skip
        if value.influence:
            influences[name] = value.influence
    return results, influences


def _applies(spec: MetricSpec, done: Evaluation) -> bool:
    """Return whether the model has what the metric measures (a codec has no codebook)."""
    if "codebook" in spec.needs and done.num_tokens is None:
        return False
    return "codes" not in spec.needs or bool(done.bits)


def _status(plan: Plan, done: Evaluation) -> Status:
    if done.interrupted:
        return "interrupted"
    return "complete" if len(done.keys) == plan.expected() else "partial"


def _completeness(plan: Plan, done: Evaluation) -> Completeness:
    available = len(plan.dataset.items()) * plan.suite.images_per_prompt
    position = {item.key: index for index, item in enumerate(plan.samples())}
    return Completeness(
        expected=plan.expected(),
        selected=len(plan.samples()),
        effective=len(done.keys),
        limit=plan.options.limit,
        missing=max(0, plan.expected() - available),
        upscaled=done.upscaled,
        failed=(*plan.left_out, *sorted(done.failures, key=lambda f: position[f.key])),
        duplicates=duplicates(plan.dataset, plan.items),
    )


def _timing(clock: Clock, total: float, batch_size: int) -> Timing:
    seconds = clock.seconds
    return Timing(
        total_seconds=total,
        load_seconds=seconds["load"],
        encode_seconds=seconds["encode"],
        decode_seconds=seconds["decode"] + seconds["generate"],
        metrics_seconds=seconds["metrics"],
        batch_size=batch_size,
        encode_seconds_per_image=clock.seconds_per_image("encode"),
        decode_seconds_per_image=(
            clock.seconds_per_image("decode") or clock.seconds_per_image("generate")
        ),
        encode_flops_per_image=clock.flops.get("encode") or None,
        decode_flops_per_image=clock.flops.get("decode") or clock.flops.get("generate") or None,
    )


def _mean(values: Iterable[float]) -> float | None:
    held = list(values)
    return sum(held) / len(held) if held else None


def _samples(
    plan: Plan,
    metrics: Mapping[str, Metric],
    done: Evaluation,
    influences: Mapping[str, Mapping[str, float]],
) -> pd.DataFrame:
    """Return one row per sample, in data-set order.

    Columns are the metrics' values, influences on metrics of sets, bits, and the failure.
    """
    import pandas as pd

    columns: dict[str, Mapping[str, float] | Mapping[str, str]] = {}
    for name, metric in metrics.items():
        if name not in done.broken:
            columns.update(metric.per_sample())
            columns.update(metric.per_sample_texts() if isinstance(metric, Explains) else {})
    columns |= {influence_column(name): values for name, values in influences.items()}
    failed = {failure.key: f"{failure.stage}: {failure.reason}" for failure in done.failures}
    frame = pd.DataFrame({"key": [item.key for item in plan.samples()]})
    for name, values in columns.items():
        frame[name] = frame["key"].map(values)
    if done.bits:
        frame["bits"] = frame["key"].map(done.bits)
    frame["failure"] = frame["key"].map(failed)
    return frame

"""From a finished pass to a run record and its per-sample table."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from layton_bench.datasets import duplicates
from layton_bench.errors import UserError
from layton_bench.machine import Clock, collect
from layton_bench.metrics import Explains, Metric, MetricSpec, Viewed, influence_column
from layton_bench.records import (
    Completeness,
    DataInfo,
    MetricResult,
    ModelInfo,
    RunRecord,
    SeedSpread,
    Status,
    StoredRun,
    Throughput,
    Timing,
    metric_label,
    new_run_id,
    read_samples,
    signature,
)
from layton_bench.registry import seed_name
from layton_bench.run.engine.loop import Evaluation
from layton_bench.run.plan import Plan
from layton_bench.types import Failure, Item, MetricValue

if TYPE_CHECKING:
    import pandas as pd

_log = logging.getLogger(__name__)


def run_inputs(plan: Plan, data: DataInfo, model: ModelInfo) -> dict[str, Any]:
    """Everything that decides a run's values, as JSON: equal inputs are the same run."""
    return {
        "suite": plan.suite.digest(),
        "data": data.fingerprint,
        "count": len(plan.items),
        "model": model.name,
        "options": model.options,
        "dtype": model.dtype,
        "weights": model.weights,
        "seed": plan.options.seed,
        "decode_seeds": plan.options.decode_seeds,
    }


def assemble(
    plan: Plan,
    done: Evaluation,
    wanted: Mapping[str, MetricSpec],
    metrics: Mapping[str, Metric],
    unavailable: Mapping[str, str],
    *,
    model: ModelInfo,
    data: DataInfo,
    run_key: str,
    started: datetime,
    clock: Clock,
    begin: float,
    throughput: Throughput | None,
) -> tuple[RunRecord, pd.DataFrame]:
    """The record of a pass and its table of samples.

    Metrics are computed here, so ``begin`` is when the pass began.
    """
    results, influences = _results(plan, wanted, metrics, unavailable, done)
    record = RunRecord(
        run_id=new_run_id(started),
        run_key=run_key,
        status=_status(plan, done),
        started=started.isoformat(timespec="seconds"),
        command=plan.options.command,
        suite=plan.suite,
        suite_digest=plan.suite.digest(),
        model=model,
        data=data,
        seed=plan.options.seed,
        completeness=_completeness(plan, done),
        metrics=results,
        not_applicable=tuple(name for name in wanted if name not in results),
        bits_per_image=_mean(done.bits.values()),
        timing=_timing(clock, time.perf_counter() - begin, done.batch_size),
        throughput=throughput,
        provenance=collect(plan.device),
    )
    return record, samples_frame(plan.samples(), metrics, done, influences)


def _results(
    plan: Plan,
    wanted: Mapping[str, MetricSpec],
    metrics: Mapping[str, Metric],
    unavailable: Mapping[str, str],
    done: Evaluation,
) -> tuple[dict[str, MetricResult], dict[str, Mapping[str, float]]]:
    """Each metric's result, and of metrics of sets the influence of each sample."""
    results: dict[str, MetricResult] = {}
    influences: dict[str, Mapping[str, float]] = {}
    for name, spec in wanted.items():
        reason = unavailable.get(name) or done.broken.get(name)
        value = MetricValue(value=None, n=0)
        if reason is None:
            if not _applies(spec, done):
                continue
            value, reason = _compute(metrics[name])
        results[name] = MetricResult(
            label=metric_label(spec, plan.suite.kind), direction=spec.direction, unit=spec.unit,
            digits=spec.digits, value=value.value, low=value.low, high=value.high, std=value.std,
            n=value.n, note=value.note, unavailable=reason,
            signature=signature(spec, plan.suite, value.n),
            decode_seeds=_seed_spread(name, value, metrics, plan.options.decode_seeds),
        )  # fmt: skip
        if value.influence:
            influences[name] = value.influence
    return results, influences


def _seed_spread(
    name: str, first: MetricValue, metrics: Mapping[str, Metric], decode_seeds: int
) -> SeedSpread | None:
    """The metric's value under each decode seed, and how far single images move."""
    others = [metrics.get(seed_name(name, number)) for number in range(1, decode_seeds)]
    if not others or None in others:
        return None
    made = [first, *(_compute(metric)[0] for metric in others if metric is not None)]
    values = [value.value for value in made if value.value is not None]
    if len(values) < decode_seeds:
        return None
    columns = [metrics[name].per_sample().get(name, {})]
    columns += [m.metric.per_sample().get(name, {}) for m in others if isinstance(m, Viewed)]
    variances = [
        float(np.var([column[key] for column in columns], ddof=1))
        for key in columns[0]
        if all(math.isfinite(column.get(key, math.nan)) for column in columns)
    ]
    return SeedSpread(
        values=tuple(values),
        mean=float(np.mean(values)),
        std=float(np.std(values, ddof=1)),
        image_variance=float(np.mean(variances)) if variances else None,
    )


def _applies(spec: MetricSpec, done: Evaluation) -> bool:
    """Whether the model gave what the metric is about (a codec has codes but no codebook)."""
    if "codebook" in spec.needs and done.num_tokens is None:
        return False
    return "codes" not in spec.needs or bool(done.bits)


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


def samples_frame(
    items: Sequence[Item],
    metrics: Mapping[str, Metric],
    done: Evaluation,
    influences: Mapping[str, Mapping[str, float]],
) -> pd.DataFrame:
    """One row a sample in data-set order.

    Metric columns, influences on metrics of sets, bits, and the failure where there is one.
    """
    import pandas as pd

    columns: dict[str, Mapping[str, float] | Mapping[str, str]] = {}
    for name, metric in metrics.items():
        if name not in done.broken:
            columns.update(metric.per_sample())
            columns.update(metric.per_sample_texts() if isinstance(metric, Explains) else {})
    columns |= {influence_column(name): values for name, values in influences.items()}
    failed = {failure.key: f"{failure.stage}: {failure.reason}" for failure in done.failures}
    frame = pd.DataFrame({"key": [item.key for item in items]})
    for name, values in columns.items():
        frame[name] = frame["key"].map(values)
    if done.bits:
        frame["bits"] = frame["key"].map(done.bits)
    frame["failure"] = frame["key"].map(failed)
    return frame


def merge_into(
    existing: StoredRun, record: RunRecord, samples: pd.DataFrame, order: Iterable[str]
) -> tuple[RunRecord, pd.DataFrame]:
    """The existing run with the new metrics added.

    Raises:
        UserError: the two passes have not seen the same samples.
    """
    before = existing.record
    old = read_samples(existing.folder, before)
    if _keys(record.completeness.failed) != _keys(before.completeness.failed):
        raise UserError(
            f"run {before.run_id}",
            "other samples failed this time, so its values and the new ones do not fit together",
            "Run with --overwrite always.",
        )
    _tell_changes(before, record)
    metrics = {**before.metrics, **record.metrics}
    ordered = {name: metrics[name] for name in (*order, *metrics) if name in metrics}
    not_applicable = dict.fromkeys((*before.not_applicable, *record.not_applicable))
    fresh = samples.drop(columns=[c for c in samples if c in old and c != "key"])
    changes = {"metrics": ordered, "not_applicable": tuple(not_applicable)}
    return record.model_copy(update=changes), old.merge(fresh, on="key", how="left")


def _keys(failures: Iterable[Failure]) -> set[str]:
    return {failure.key for failure in failures}


def _tell_changes(before: RunRecord, now: RunRecord) -> None:
    """Name what may keep the values of two passes from fitting together."""
    then, today = before.provenance, now.provenance
    names = {**then.packages, **today.packages}
    changed = [n for n in names if then.packages.get(n) != today.packages.get(n)]
    if then.device_name != today.device_name:
        changed.append(f"the device ({then.device_name})")
    if changed:
        _log.warning(
            "%s: changed since its first metrics were computed: %s; --overwrite always computes"
            " all of them again",
            now.model.name,
            ", ".join(changed),
        )

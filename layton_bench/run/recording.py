"""From a finished pass to a run record and its table of samples."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layton_bench.datasets import duplicates
from layton_bench.errors import PluginError, guarded, shown
from layton_bench.machine import Clock, collect, deferred_interrupt
from layton_bench.metrics import MetricSpec, influence_column
from layton_bench.models import TellsNotes
from layton_bench.records import (
    CANDIDATE_DIGEST,
    REFERENCE_DIGEST,
    Completeness,
    DataInfo,
    MetricResult,
    RunRecord,
    Status,
    Timing,
    metric_label,
    new_run_id,
    signature,
)
from layton_bench.registry import Computed, computed
from layton_bench.run.engine.candidates import Candidates
from layton_bench.run.engine.decode_seeds import seed_spread
from layton_bench.run.engine.loop import Evaluation
from layton_bench.run.identity import Identity
from layton_bench.run.plan import Plan
from layton_bench.run.setup import Setup
from layton_bench.types import MetricValue

if TYPE_CHECKING:
    import pandas as pd

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A run that is not stored yet.

    Attributes:
        record: its record.
        samples: one row per sample.
        is_stopped: whether Ctrl-C or SIGTERM asked to stop, in the pass or afterwards.
    """

    record: RunRecord
    samples: pd.DataFrame
    is_stopped: bool


def record_of(
    plan: Plan,
    identity: Identity,
    wanted: Mapping[str, MetricSpec],
    setup: Setup,
    done: Evaluation,
) -> Recorded:
    """Compute the metrics, and return the record of a pass and its table of samples.

    The pass may have taken hours, so the first Ctrl-C waits for the metrics. The second leaves out
    those that are not computed yet.
    """
    begin = time.perf_counter()
    with deferred_interrupt("the metrics are computed") as interrupted:
        found, is_cut = _computed(wanted, setup, done)
    results = {name: _result(plan, setup, wanted[name], made) for name, made in found.items()}
    computing_seconds = time.perf_counter() - begin
    record = RunRecord(
        run_id=new_run_id(setup.started),
        run_key=identity.key,
        inputs=identity.inputs,
        status="interrupted" if is_cut else _status(plan, done),
        started=setup.started.isoformat(timespec="seconds"),
        command=plan.options.command,
        suite=plan.suite,
        suite_digest=plan.suite.digest(),
        model=identity.model.model_copy(update={"environment": dict(setup.environment)}),
        data=_with_notes(identity.data, setup.candidates),
        seed=plan.options.seed,
        completeness=_completeness(plan, done),
        metrics=results,
        not_applicable=tuple(name for name in wanted if name not in results),
        bits_per_image=_mean(done.bits.values()),
        timing=_timing(setup.clock, done.seconds + computing_seconds, done.batch_size),
        throughput=setup.throughput,
        provenance=collect(plan.device),
    )
    return Recorded(
        record=record,
        samples=_samples(plan, identity, found, done),
        is_stopped=done.interrupted or interrupted(),
    )


def _with_notes(data: DataInfo, candidates: Candidates) -> DataInfo:
    """Add the notes of a model on its results; a model that fails to tell them has none."""
    model = getattr(candidates, "model", None)
    if not isinstance(model, TellsNotes):
        return data
    try:
        with guarded():
            notes = tuple(shown(str(note)) for note in model.notes())
    except PluginError as error:
        _log.warning("the model's notes cannot be read (%s)", error)
        return data
    return data.model_copy(update={"notes": (*data.notes, *notes)})


def _computed(
    wanted: Mapping[str, MetricSpec], setup: Setup, done: Evaluation
) -> tuple[dict[str, Computed], bool]:
    """Compute each metric that applies; also return whether Ctrl-C cut the work short."""
    found: dict[str, Computed] = {}
    nothing, is_cut = MetricValue(value=None, n=0), False
    for name, spec in wanted.items():
        reason = setup.unavailable.get(name) or done.broken.get(name)
        if reason is None and not _applies(spec, done):
            continue
        try:
            if reason is None and not is_cut:
                found[name] = computed(setup.metrics[name])
                continue
        except KeyboardInterrupt:
            is_cut = True
        found[name] = Computed(value=nothing, reason=reason or "interrupted by Ctrl-C")
    return found, is_cut


def _result(plan: Plan, setup: Setup, spec: MetricSpec, found: Computed) -> MetricResult:
    value = found.value
    return MetricResult(
        label=metric_label(spec, plan.suite.kind), direction=spec.direction, unit=spec.unit,
        digits=spec.digits, value=value.value, low=value.low, high=value.high, std=value.std,
        n=value.n, note=value.note, unavailable=found.reason,
        signature=signature(spec, plan.suite, value.n), code=plan.metrics_code[spec.name],
        decode_seeds=seed_spread(spec.name, value, setup.metrics, plan.options.decode_seeds),
    )  # fmt: skip


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
    available = plan.num_available * plan.suite.images_per_prompt
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
    plan: Plan, identity: Identity, found: Mapping[str, Computed], done: Evaluation
) -> pd.DataFrame:
    """Return one row per sample, in data-set order.

    Columns are digests, the metrics' values, influences on metrics of sets, bits, the failure.
    """
    import pandas as pd

    frame = pd.DataFrame({"key": [item.key for item in plan.samples()]})
    columns: dict[str, Mapping[str, float] | Mapping[str, str]] = {
        REFERENCE_DIGEST: identity.references
    }
    if identity.candidates:
        columns[CANDIDATE_DIGEST] = identity.candidates
    for made in found.values():
        columns |= made.columns
    for name, made in found.items():
        if made.value.influence:
            columns[influence_column(name)] = made.value.influence
    if done.bits:
        columns["bits"] = done.bits
    columns["failure"] = {f.key: f"{f.stage}: {f.reason}" for f in done.failures}
    for name, values in columns.items():
        frame[name] = frame["key"].map(values)
    return frame

"""What is left to do when the same run exists already, and how new metrics join it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layton_bench.errors import UserError
from layton_bench.metrics import MetricSpec
from layton_bench.records import RunRecord, StoredRun, find_existing, read_samples
from layton_bench.registry import Plugins, available
from layton_bench.run.identity import Identity
from layton_bench.run.plan import Plan
from layton_bench.types import Failure

if TYPE_CHECKING:
    import pandas as pd

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Todo:
    """What a plan asks for that no record holds yet.

    Attributes:
        wanted: metrics to compute, by name.
        existing: the finished run of the same inputs; None to start anew.
        lacking: what the existing run lacks and will not be computed now.
    """

    wanted: Mapping[str, MetricSpec]
    existing: StoredRun | None = None
    lacking: tuple[str, ...] = ()


def find_todo(plugins: Plugins, plan: Plan, identity: Identity) -> Todo:
    """Look for a finished run of the same inputs, and return what is left to do.

    Raises:
        UserError: in strict mode, if the run has failed samples, or lacks a metric that cannot be
            computed here.
    """
    options = plan.options
    if options.overwrite == "always":
        return Todo(wanted=plan.metrics)
    existing = find_existing(options.out, plan.suite.name, plan.model_name, identity.key)
    if existing is None or _is_stale(plan, existing.record):
        return Todo(wanted=plan.metrics)
    lacks_images = options.keep_images and (
        len(existing.record.images) < existing.record.completeness.effective
    )
    if lacks_images and options.overwrite == "only-missing":
        return Todo(wanted=plan.metrics)  # pictures need a whole pass
    lacking = {n: spec for n, spec in plan.metrics.items() if not existing.record.has(n)}
    missing = available(plugins, lacking, strict=options.strict)
    _refuse_failures(existing.record, strict=options.strict)
    if missing and options.overwrite == "only-missing":
        return Todo(wanted=missing, existing=existing)
    pictures = ("the pictures of every sample",) if lacks_images else ()
    return Todo(wanted={}, existing=existing, lacking=(*missing, *pictures))


def _is_stale(plan: Plan, record: RunRecord) -> bool:
    """Return whether other code than today's computed one of the metrics."""
    return any(
        record.metrics[name].code != code
        for name, code in plan.metrics_code.items()
        if name in record.metrics and record.metrics[name].unavailable is None
    )


def _refuse_failures(record: RunRecord, *, strict: bool) -> None:
    if strict and record.completeness.failed:
        first = record.completeness.failed[0]
        raise UserError(
            f"sample '{first.key}'",
            f"it failed in run {record.run_id}, which exists already: {first.reason}"
            f" (stage: {first.stage})",
            "Fix it, or run without --strict to leave it out.",
        )


def merge_into(
    existing: StoredRun, record: RunRecord, samples: pd.DataFrame, order: Iterable[str]
) -> tuple[RunRecord, pd.DataFrame]:
    """Return the existing run with the new metrics added.

    Raises:
        UserError: other samples failed in the two passes.
    """
    before = existing.record
    old = read_samples(existing.folder, before)
    if _keys(record.completeness.failed) != _keys(before.completeness.failed):
        raise UserError(
            f"run {before.run_id}",
            "other samples failed this time, so the old and the new values do not fit together",
            "Run with --overwrite always.",
        )
    _warn_of_changes(before, record)
    metrics = {**before.metrics, **record.metrics}
    ordered = {name: metrics[name] for name in (*order, *metrics) if name in metrics}
    not_applicable = dict.fromkeys((*before.not_applicable, *record.not_applicable))
    fresh = samples.drop(columns=[c for c in samples if c in old and c != "key"])
    changes = {"metrics": ordered, "not_applicable": tuple(not_applicable)}
    return record.model_copy(update=changes), old.merge(fresh, on="key", how="left")


def _keys(failures: Iterable[Failure]) -> set[str]:
    return {failure.key for failure in failures}


def _warn_of_changes(before: RunRecord, now: RunRecord) -> None:
    """Name what may keep the values of two passes from fitting together.

    Code and versions of packages are the same: they belong to the run's inputs.
    """
    then, today = before.provenance, now.provenance
    if (then.device_name, then.threads) != (today.device_name, today.threads):
        _log.warning(
            "%s: its first metrics were computed on %s with %d threads;"
            " --overwrite always computes all metrics again",
            now.model.name,
            then.device_name,
            then.threads,
        )

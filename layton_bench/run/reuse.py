"""What is left to do when the same run exists already, and how new metrics join it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layton_bench.errors import UserError
from layton_bench.metrics import MetricSpec
from layton_bench.records import RunRecord, StoredRun, find_existing, read_samples
from layton_bench.registry import Plugins, unavailable_reason
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
    """Look for a finished run of the same inputs, and return what is left to do."""
    options = plan.options
    if options.overwrite == "always":
        return Todo(wanted=plan.metrics)
    existing = find_existing(options.out, plan.suite.name, plan.model_name, identity.key)
    if existing is None:
        return Todo(wanted=plan.metrics)
    lacks_images = options.keep_images and (
        len(existing.record.images) < existing.record.completeness.effective
    )
    if lacks_images and options.overwrite == "only-missing":
        return Todo(wanted=plan.metrics)  # pictures need a whole pass
    missing = {
        name: spec
        for name, spec in plan.metrics.items()
        if not existing.record.has(name) and unavailable_reason(plugins, spec) is None
    }
    if missing and options.overwrite == "only-missing":
        return Todo(wanted=missing, existing=existing)
    pictures = ("the pictures of every sample",) if lacks_images else ()
    return Todo(wanted={}, existing=existing, lacking=(*missing, *pictures))


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
    """Name what may keep the values of two passes from fitting together."""
    then, today = before.provenance, now.provenance
    names = {**then.packages, **today.packages}
    changed = [n for n in names if then.packages.get(n) != today.packages.get(n)]
    if then.device_name != today.device_name:
        changed.append(f"the device ({then.device_name})")
    if changed:
        _log.warning(
            "%s: changed since its first metrics were computed: %s;"
            " --overwrite always computes all metrics again",
            now.model.name,
            ", ".join(changed),
        )

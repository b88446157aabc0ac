"""Select the runs and metrics that a leaderboard shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from layton_bench.errors import UnknownNameError, UserError
from layton_bench.records import RunRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What to show. An empty selection shows everything.

    Attributes:
        models: model names or patterns with ``*``, ``?`` and ``[…]``.
        metrics: columns, in this order.
        max_bits: maximum bits per image. It leaves out models without a rate.
        only_complete: leave out runs that lack samples of the suite.
    """

    models: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    max_bits: float | None = None
    only_complete: bool = False


def select(records: Sequence[RunRecord], selection: Selection) -> list[RunRecord]:
    """Return the selected records, each with only the selected metrics.

    Raises:
        UserError: no record matches a pattern, or has a metric.
    """
    _check_models(records, selection.models)
    _check_metrics(records, selection.metrics)
    return [_narrow(record, selection.metrics) for record in records if _is_in(record, selection)]


def _is_in(record: RunRecord, selection: Selection) -> bool:
    if selection.models and not any(_matches(record, m) for m in selection.models):
        return False
    if selection.only_complete and not record.is_complete:
        return False
    bits = record.bits_per_image
    return selection.max_bits is None or (bits is not None and bits <= selection.max_bits)


def _matches(record: RunRecord, pattern: str) -> bool:
    return fnmatchcase(record.model.name, pattern)


def _narrow(record: RunRecord, metrics: tuple[str, ...]) -> RunRecord:
    if not metrics:
        return record
    kept = {name: record.metrics[name] for name in metrics if name in record.metrics}
    return record.model_copy(update={"metrics": kept})


def _check_models(records: Sequence[RunRecord], patterns: tuple[str, ...]) -> None:
    for pattern in patterns:
        if not any(_matches(record, pattern) for record in records):
            known = {record.model.name for record in records}
            raise UnknownNameError("measured model", pattern, known, listing="list runs")


def _check_metrics(records: Sequence[RunRecord], metrics: tuple[str, ...]) -> None:
    known = {name for record in records for name in record.metrics}
    for name in metrics:
        if name not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise UserError(f"metric '{name}'", "no run has it", f"Use one of {listed}.")

"""Divide runs into boards: tables whose values are comparable.

All runs of a board have the same basis (records/comparable.py). A value whose signature differs
from the rest of its column is marked † and not ranked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from layton_bench.errors import UserError
from layton_bench.metrics import Direction, badness
from layton_bench.records import (
    RunRecord,
    StoredRun,
    basis,
    distinct_names,
    format_value,
    heading,
    marks,
    number,
)

OTHER_SIGNATURE = "†"
BITS = "bits/image"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A metric's column. Only values with its signature are ranked."""

    name: str
    heading: str
    direction: Direction
    digits: int
    signature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """Comparable runs in one table.

    Attributes:
        title: suite, samples and data in words.
        records: the runs, best first.
        columns: the metrics, in the suite's order.
        ranked_by: column that the runs are sorted by; None if no column can be ranked.
        stored: by run id, where a run's samples are. Ranks compare them in pairs.
        names: the shown names of the runs. No two are equal.
    """

    title: str
    records: tuple[RunRecord, ...]
    columns: tuple[Column, ...]
    ranked_by: Column | None = None
    stored: Mapping[str, StoredRun] = field(default_factory=dict)
    names: tuple[str, ...] = ()

    def name(self, record: RunRecord) -> str:
        """Return the shown name of one of the board's runs."""
        return next(n for r, n in zip(self.records, self.names, strict=True) if r is record)


def boards(
    records: Iterable[RunRecord], *, sort_by: str | None = None, stored: Iterable[StoredRun] = ()
) -> list[Board]:
    """Divide records into boards. The board with the most samples comes first.

    Args:
        records: the runs.
        sort_by: metric to sort and rank by; the first that can be ranked by default.
        stored: the same runs, or some of them, as they were read. Without its samples, a run is
            ranked by its interval.

    Raises:
        UserError: ``sort_by`` names a metric that no record has.
    """
    groups: dict[Hashable, list[RunRecord]] = {}
    for record in records:
        groups.setdefault(basis(record), []).append(record)
    if sort_by is not None:
        _check_sort(sort_by, groups.values())
    by_id = {run.record.run_id: run for run in stored}
    made = [_board(group, sort_by, by_id) for group in groups.values()]
    return sorted(
        made,
        key=lambda b: (
            -b.records[0].completeness.effective, b.title, b.records[0].suite_digest,
            b.records[0].model.name,
        ),
    )  # fmt: skip


def _check_sort(name: str, groups: Iterable[Sequence[RunRecord]]) -> None:
    known = {metric for group in groups for record in group for metric in record.metrics}
    if name not in known:
        raise UserError(
            f"--sort {name}", "no run has that metric", f"Use one of {', '.join(sorted(known))}."
        )


def _board(
    records: Sequence[RunRecord], sort_by: str | None, stored: Mapping[str, StoredRun]
) -> Board:
    ordered = sorted(records, key=lambda r: (r.model.name, r.run_id))
    columns = _columns(ordered)
    by = next((c for c in columns if c.name == sort_by), None) or next(
        (c for c in columns if c.direction != "none" and c.signature), None
    )
    if by is not None:
        # missing and incomparable values come last; equal values stay sorted by name
        ordered.sort(key=lambda r: _rank_key(r, by))
    return Board(
        title=_title(ordered[0]), records=tuple(ordered), columns=columns, ranked_by=by,
        stored=stored,
        names=tuple(distinct_names(ordered)),
    )  # fmt: skip


def _rank_key(record: RunRecord, column: Column) -> tuple[bool, float]:
    value = ranked_value(record, column)
    return (value is None, 0.0 if value is None else badness(value, column.direction))


def ranked_value(record: RunRecord, column: Column) -> float | None:
    """Return a record's value in a column; None if it is missing or has another signature."""
    result = record.metrics.get(column.name)
    if result is None or result.signature != column.signature:
        return None
    return number(result)


def _columns(records: Sequence[RunRecord]) -> tuple[Column, ...]:
    """Return the metrics that at least one record has a value for."""
    names = dict.fromkeys(
        name
        for record in records
        for name, result in record.metrics.items()
        if number(result) is not None
    )
    return tuple(_column(name, records) for name in names)


def _column(name: str, records: Sequence[RunRecord]) -> Column:
    results = [r.metrics[name] for r in records if name in r.metrics]
    valued = [r.signature for r in results if number(r) is not None]
    first = results[0]
    return Column(
        name=name,
        heading=heading(first),
        direction=first.direction,
        digits=first.digits,
        # the most common one; of equally common ones, that of the first name
        signature=Counter(valued).most_common(1)[0][0] if valued else "",
    )


def _title(record: RunRecord) -> str:
    done = record.completeness
    part = "" if done.effective == done.expected else f" of {done.expected:,}"
    data = record.data.fingerprint[:12]
    return (
        f"{record.suite.name} v{record.suite.version}: {done.effective:,}{part} images,"
        f" {record.suite.protocol}, rounding {record.suite.rounding}, data {data}"
    )


def is_best(board: Board, column: Column, record: RunRecord) -> bool:
    """Whether a cell shows the best of several ranked values. Values that look equal tie."""
    value = ranked_value(record, column)
    others = [v for r in board.records if (v := ranked_value(r, column)) is not None]
    if value is None or column.direction == "none" or len(others) < 2:
        return False
    return _shown(value, column) == min(_shown(other, column) for other in others)


def _shown(value: float, column: Column) -> float:
    return badness(round(value, column.digits), column.direction)


def cells(
    board: Board, emphasis: Callable[[str], str], *, with_intervals: bool = True
) -> list[list[str]]:
    """Return the board's rows as text: model, bits per image, then each metric.

    Args:
        board: the board.
        emphasis: marks the best value of each column.
        with_intervals: whether intervals follow the values.
    """

    def cell(record: RunRecord, column: Column) -> str:
        result = record.metrics.get(column.name)
        text = format_value(result, with_interval=with_intervals)
        if number(result) is not None and ranked_value(record, column) is None:
            text += OTHER_SIGNATURE
        return emphasis(text) if is_best(board, column, record) else text

    rows = []
    for record in board.records:
        name = board.name(record) + "".join(f" ⚠ {mark}" for mark in marks(record))
        bits = "" if record.bits_per_image is None else f"{record.bits_per_image:,.0f}"
        rows.append([name, bits, *(cell(record, column) for column in board.columns)])
    return rows


def headings(board: Board) -> list[str]:
    """Return the column headings with units and arrows."""
    return ["Model", BITS, *(column.heading for column in board.columns)]


def signatures(board: Board) -> list[str]:
    """Return the signature of each column's ranked values."""
    return [column.signature for column in board.columns if column.signature]


def notes(board: Board) -> list[str]:
    """Return the footnotes: differing signatures, notes, unavailable metrics."""
    lines = []
    ranked = {column.name: column.signature for column in board.columns}
    for record in board.records:
        for name, result in record.metrics.items():
            where = f"{board.name(record)}, {result.label}"
            if result.value is not None and number(result) is None:
                lines.append(f"{where}: the value is not a number")
            elif result.value is not None and result.signature != ranked[name]:
                lines.append(f"{OTHER_SIGNATURE} {where}: not ranked, {result.signature}")
            if result.note:
                lines.append(f"{where}: {result.note}")
            if result.unavailable:
                lines.append(f"{where}: unavailable: {result.unavailable}")
    return lines

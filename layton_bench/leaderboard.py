"""Records → tables. Values of different signatures are never ranked together.

Runs are first divided into boards: one for each combination of suite, data contents, samples and
dtype of the data path. Inside a board, a cell whose metric signature differs from its column's
is shown with a dagger and takes no part in the ranking.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from layton_bench.errors import UserError
from layton_bench.metrics.base import Direction, badness
from layton_bench.record import MetricResult, RunRecord

Format = Literal["md", "csv", "json"]

ARROWS: dict[Direction, str] = {"higher": "↑", "lower": "↓", "zero": "→0", "none": ""}
OTHER_SIGNATURE = "†"
BITS = "bits/image"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A metric's column: its heading, direction and the one signature that is ranked."""

    name: str
    heading: str
    direction: Direction
    digits: int
    signature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """Runs whose values may stand in one table.

    Attributes:
        title: suite, samples and data in words.
        records: best first by the first column that can be ranked.
        columns: the metrics, in the suite's order.
    """

    title: str
    records: tuple[RunRecord, ...]
    columns: tuple[Column, ...]


def boards(records: Iterable[RunRecord], *, sort_by: str | None = None) -> list[Board]:
    """Divide records into boards, the largest sample first; order is the same on every call.

    Raises:
        UserError: ``sort_by`` names a metric that no record has.
    """
    groups: dict[tuple[str, str, int], list[RunRecord]] = {}
    for record in records:
        groups.setdefault(_comparable(record), []).append(record)
    if sort_by is not None:
        _check_sort(sort_by, groups.values())
    made = [_board(group, sort_by) for group in groups.values()]
    return sorted(made, key=lambda b: (-b.records[0].completeness.effective, b.title))


def _comparable(record: RunRecord) -> tuple[str, str, int]:
    """What must agree for two runs to stand in one table."""
    return record.suite_digest, record.data.fingerprint, record.completeness.effective


def _check_sort(name: str, groups: Iterable[Sequence[RunRecord]]) -> None:
    known = {metric for group in groups for record in group for metric in record.metrics}
    if name not in known:
        raise UserError(
            f"--sort {name}", "no run has that metric", f"Use one of {', '.join(sorted(known))}."
        )


def _board(records: Sequence[RunRecord], sort_by: str | None) -> Board:
    ordered = sorted(records, key=lambda r: (r.model.name, r.run_id))
    columns = _columns(ordered)
    by = next((c for c in columns if c.name == sort_by), None) or next(
        (c for c in columns if c.direction != "none" and c.signature), None
    )
    if by is not None:
        # missing and incomparable values come last; sorted() keeps ties by name
        ordered.sort(key=lambda r: _rank_key(r, by))
    return Board(title=_title(ordered[0]), records=tuple(ordered), columns=columns)


def _rank_key(record: RunRecord, column: Column) -> tuple[bool, float]:
    value = ranked_value(record, column)
    return (value is None, 0.0 if value is None else badness(value, column.direction))


def ranked_value(record: RunRecord, column: Column) -> float | None:
    """A record's value in a column; None where it has none or one of another signature."""
    result = record.metrics.get(column.name)
    if result is None or result.signature != column.signature:
        return None
    return result.value


def _columns(records: Sequence[RunRecord]) -> tuple[Column, ...]:
    names = dict.fromkeys(name for record in records for name in record.metrics)
    return tuple(_column(name, records) for name in names)


def _column(name: str, records: Sequence[RunRecord]) -> Column:
    results = [r.metrics[name] for r in records if name in r.metrics]
    valued = [r.signature for r in results if r.value is not None]
    first = results[0]
    unit = f" ({first.unit})" if first.unit else ""
    heading = f"{first.label}{unit} {ARROWS[first.direction]}".strip()
    return Column(
        name=name,
        heading=heading,
        direction=first.direction,
        digits=first.digits,
        # the commonest, and of equally common ones the first in the order of names
        signature=Counter(valued).most_common(1)[0][0] if valued else "",
    )


def _title(record: RunRecord) -> str:
    done = record.completeness
    part = "" if done.effective == done.expected else f" of {done.expected:,}"
    data = record.data.fingerprint[:12]
    return (
        f"{record.suite.name} v{record.suite.version}: {done.effective:,}{part} images,"
        f" {record.suite.protocol}, data {data}"
    )


def marks(record: RunRecord) -> list[str]:
    """What a reader must know of a run beside its values."""
    done, found = record.completeness, []
    if record.status == "interrupted":
        found.append(f"interrupted at {done.effective:,} of {done.expected:,}")
    elif record.status == "partial":
        found.append(f"partial: {done.effective:,} of {done.expected:,}")
    if done.failed:
        found.append(f"{len(done.failed)} failed")
    return found


def display_name(record: RunRecord) -> str:
    """The model's title, with the options and dtype that are not its defaults."""
    info = record.model
    extras = [f"{key}={value}" for key, value in info.options.items()]
    extras += [info.dtype] if info.dtype != "float32" else []
    shown = info.card.title or info.name
    return f"{shown} ({', '.join(extras)})" if extras else shown


def format_value(result: MetricResult | None, *, with_interval: bool = True) -> str:
    """A cell's text; an empty one for a metric that does not apply."""
    if result is None:
        return ""
    if result.value is None:
        return "n/a"
    text = f"{result.value:.{result.digits}f}"
    if with_interval and _has_width(result):
        text += f" [{result.low:.{result.digits}f}, {result.high:.{result.digits}f}]"
    return text


def _has_width(result: MetricResult) -> bool:
    """Whether the interval says anything as it is shown (that of a constant does not)."""
    low, high = result.low, result.high
    if low is None or high is None or not math.isfinite(high - low):
        return False
    return round(low, result.digits) != round(high, result.digits)


def best(board: Board, column: Column) -> float | None:
    """The best ranked value of a column as it is shown; None where nothing is ranked."""
    values = [v for r in board.records if (v := ranked_value(r, column)) is not None]
    if column.direction == "none" or len(values) < 2:
        return None
    top: float = min(values, key=lambda value: badness(value, column.direction))
    return round(top, column.digits)


def is_best(board: Board, column: Column, record: RunRecord) -> bool:
    """Whether a cell shows the column's best value; ties are all best."""
    value, top = ranked_value(record, column), best(board, column)
    return value is not None and top is not None and round(value, column.digits) == top


def cells(
    board: Board, emphasis: Callable[[str], str], *, with_intervals: bool = True
) -> list[list[str]]:
    """The board's rows as text: model, bits an image, then each metric.

    Args:
        board: what to show.
        emphasis: wraps the best value of each column.
        with_intervals: whether each value has its interval behind it.
    """
    rows = []
    for record in board.records:
        name = display_name(record) + "".join(f" ⚠ {mark}" for mark in marks(record))
        bits = "" if record.bits_per_image is None else f"{record.bits_per_image:,.0f}"
        rows.append(
            [
                name,
                bits,
                *(_cell(board, c, record, emphasis, with_intervals) for c in board.columns),
            ]
        )
    return rows


def _cell(
    board: Board, column: Column, record: RunRecord, emphasis: Callable[[str], str], interval: bool
) -> str:
    result = record.metrics.get(column.name)
    text = format_value(result, with_interval=interval)
    if result is None or result.value is None:
        return text
    if result.signature != column.signature:
        text += OTHER_SIGNATURE
    return emphasis(text) if is_best(board, column, record) else text


def headings(board: Board) -> list[str]:
    """Column headings with units and arrows."""
    return ["Model", BITS, *(column.heading for column in board.columns)]


def notes(board: Board) -> list[str]:
    """What stands below the table: signatures, other signatures, notes, unavailable metrics."""
    lines = [f"`{c.signature}`" for c in board.columns if c.signature]
    for record in board.records:
        for column in board.columns:
            result = record.metrics.get(column.name)
            if result is None:
                continue
            where = f"{display_name(record)}, {result.label}"
            if result.value is not None and result.signature != column.signature:
                lines.append(f"{OTHER_SIGNATURE} {where}: not ranked, `{result.signature}`")
            if result.note:
                lines.append(f"{where}: {result.note}")
            if result.unavailable:
                lines.append(f"{where}: unavailable: {result.unavailable}")
    return lines


def to_markdown(made: Sequence[Board]) -> str:
    """Boards as Markdown tables, best in bold, signatures and notes below."""
    return "\n\n".join(_markdown(board) for board in made) + "\n" if made else "No runs yet.\n"


def _markdown(board: Board) -> str:
    frame = pd.DataFrame(
        [[_escape(c) for c in row] for row in cells(board, lambda text: f"**{text}**")],
        columns=headings(board),
    )
    alignment = "|:---|" + "---:|" * (len(frame.columns) - 1)
    lines = [f"### {_escape(board.title)}", "", _row(frame.columns), alignment]
    lines += [_row(row) for row in frame.itertuples(index=False, name=None)]
    return "\n".join([*lines, "", *(f"- {note}" for note in notes(board))])


def _row(values: Iterable[Any]) -> str:
    return "| " + " | ".join(map(str, values)) + " |"


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def to_frame(made: Sequence[Board]) -> pd.DataFrame:
    """One row for each model and metric, with everything that a script may want."""
    rows = [
        {
            "suite": record.suite.name,
            "model": record.model.name,
            "options": json.dumps(record.model.options, sort_keys=True),
            "dtype": record.model.dtype,
            "metric": name,
            "value": result.value,
            "low": result.low,
            "high": result.high,
            "n": result.n,
            "direction": result.direction,
            "bits_per_image": record.bits_per_image,
            "status": record.status,
            "failed": len(record.completeness.failed),
            "data": record.data.fingerprint,
            "signature": result.signature,
            "note": result.unavailable and f"unavailable: {result.unavailable}" or result.note,
            "run": record.run_id,
        }
        for board in made
        for record in board.records
        for name, result in record.metrics.items()
    ]
    return pd.DataFrame(rows)


def render(made: Sequence[Board], form: Format) -> str:
    """The boards in one of the formats."""
    if form == "md":
        return to_markdown(made)
    frame = to_frame(made)
    if form == "csv":
        return str(frame.to_csv(index=False))
    return str(frame.to_json(orient="records", indent=2, force_ascii=False)) + "\n"

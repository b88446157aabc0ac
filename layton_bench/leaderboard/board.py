"""Records → tables. Values of different signatures are never ranked together.

Runs are first divided into boards: one for each combination of suite, data contents and samples
that are in the numbers. Inside a board, a cell whose metric signature differs from its column's is
shown with a dagger and takes no part in the ranking.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from layton_bench.errors import UserError
from layton_bench.leaderboard.ranks import rank_column, rank_note
from layton_bench.metrics import Direction, badness
from layton_bench.records import MetricResult, RunRecord, code, escape, table

if TYPE_CHECKING:
    import pandas as pd

Format = Literal["md", "csv", "json"]  # leaderboard_formats.py has more

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
        ranked_by: the column that the records are sorted by; None where none can be ranked.
    """

    title: str
    records: tuple[RunRecord, ...]
    columns: tuple[Column, ...]
    ranked_by: Column | None = None


def boards(records: Iterable[RunRecord], *, sort_by: str | None = None) -> list[Board]:
    """Divide records into boards, the largest sample first; order is the same on every call.

    Raises:
        UserError: ``sort_by`` names a metric that no record has.
    """
    groups: dict[Hashable, list[RunRecord]] = {}
    for record in records:
        groups.setdefault(_comparable(record), []).append(record)
    if sort_by is not None:
        _check_sort(sort_by, groups.values())
    made = [_board(group, sort_by) for group in groups.values()]
    return sorted(
        made,
        key=lambda b: (
            -b.records[0].completeness.effective, b.title, b.records[0].suite_digest,
            b.records[0].model.name,
        ),
    )  # fmt: skip


def _comparable(record: RunRecord) -> Hashable:
    """What must agree for two runs to stand in one table."""
    done = record.completeness
    failed = tuple(sorted(failure.key for failure in done.failed))
    return record.suite_digest, record.data.fingerprint, done.effective, failed


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
    title = _title(ordered[0])
    return Board(title=title, records=tuple(ordered), columns=columns, ranked_by=by)


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
    """Metrics that at least one record has a value of; the others are told of below the table."""
    names = dict.fromkeys(
        name
        for record in records
        for name, result in record.metrics.items()
        if result.value is not None
    )
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
        f" {record.suite.protocol}, rounding {record.suite.rounding}, data {data}"
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
    extras = [f"{key}={info.options[key]}" for key in info.changed_options]
    extras += [info.dtype] if info.dtype != "float32" else []
    shown = info.card.title or info.name
    return f"{shown} ({', '.join(extras)})" if extras else shown


def format_value(result: MetricResult | None, *, with_interval: bool = True) -> str:
    """A cell's text; an empty one for a metric that does not apply."""
    if result is None:
        return ""
    if result.value is None:
        return "n/a"
    text = _decimal(result.value, result.digits)
    if with_interval and _has_width(result):
        low, high = (_decimal(end or 0.0, result.digits) for end in (result.low, result.high))
        text += f" [{low}, {high}]"
    return text


def _decimal(value: float, digits: int) -> str:
    # adding 0 to a rounded value turns -0.0 into 0.0
    return f"{round(value, digits) + 0.0:.{digits}f}"


def _has_width(result: MetricResult) -> bool:
    """Whether the interval says anything as it is shown (that of a constant does not)."""
    low, high = result.low, result.high
    if low is None or high is None or not math.isfinite(high - low):
        return False
    return round(low, result.digits) != round(high, result.digits)


def is_best(board: Board, column: Column, record: RunRecord) -> bool:
    """Whether a cell shows the best of several ranked values; what looks equal is equally good."""
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
    """The board's rows as text: model, bits an image, then each metric.

    Args:
        board: what to show.
        emphasis: wraps the best value of each column.
        with_intervals: whether each value has its interval behind it.
    """

    def cell(record: RunRecord, column: Column) -> str:
        result = record.metrics.get(column.name)
        text = format_value(result, with_interval=with_intervals)
        if result is not None and result.value is not None and result.signature != column.signature:
            text += OTHER_SIGNATURE
        return emphasis(text) if is_best(board, column, record) else text

    rows = []
    for record in board.records:
        name = display_name(record) + "".join(f" ⚠ {mark}" for mark in marks(record))
        bits = "" if record.bits_per_image is None else f"{record.bits_per_image:,.0f}"
        rows.append([name, bits, *(cell(record, column) for column in board.columns)])
    return rows


def headings(board: Board) -> list[str]:
    """Column headings with units and arrows."""
    return ["Model", BITS, *(column.heading for column in board.columns)]


def signatures(board: Board) -> list[str]:
    """The signature of each column's ranked values."""
    return [column.signature for column in board.columns if column.signature]


def notes(board: Board) -> list[str]:
    """What must be read with the values: other signatures, notes, unavailable metrics."""
    lines = []
    ranked = {column.name: column.signature for column in board.columns}
    for record in board.records:
        for name, result in record.metrics.items():
            where = f"{display_name(record)}, {result.label}"
            if result.value is not None and result.signature != ranked[name]:
                lines.append(f"{OTHER_SIGNATURE} {where}: not ranked, {result.signature}")
            if result.note:
                lines.append(f"{where}: {result.note}")
            if result.unavailable:
                lines.append(f"{where}: unavailable: {result.unavailable}")
    return lines


def to_markdown(made: Sequence[Board], *, with_ranks: bool = False) -> str:
    """Boards as Markdown tables, best in bold, signatures and notes below.

    Args:
        made: the boards.
        with_ranks: whether a column of ranks stands before the models (see ``ranks.py``).
    """
    texts = [_markdown(board, with_ranks=with_ranks) for board in made]
    return "\n\n".join(texts) + "\n" if texts else "No runs yet.\n"


def _markdown(board: Board, *, with_ranks: bool) -> str:
    rows = [[escape(n), *v] for n, *v in cells(board, lambda text: f"**{text}**")]
    titles = [escape(heading) for heading in headings(board)]
    if with_ranks:
        titles.insert(0, "Rank")
        rows = [[rank, *row] for rank, row in zip(rank_column(board), rows, strict=True)]
    parts = [
        f"### {escape(board.title)}",
        table(titles, rows, texts=2 if with_ranks else 1),
        rank_note(board) if with_ranks else "",
        "\n".join(
            [
                *(f"- {code(signature)}" for signature in signatures(board)),
                *(f"- {escape(note)}" for note in notes(board)),
            ]
        ),
    ]
    return "\n\n".join(filter(None, parts))


def to_frame(made: Sequence[Board]) -> pd.DataFrame:
    """One row for each model and metric, with everything that a script may want."""
    import pandas as pd

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
            "expected": record.completeness.expected,
            "failed": len(record.completeness.failed),
            "data": record.data.fingerprint,
            "signature": result.signature,
            "note": f"unavailable: {result.unavailable}" if result.unavailable else result.note,
            "run": record.run_id,
        }
        for board in made
        for record in board.records
        for name, result in record.metrics.items()
    ]
    return pd.DataFrame(rows, columns=_FIELDS)


_FIELDS = (
    "suite", "model", "options", "dtype", "metric", "value", "low", "high", "n", "direction",
    "bits_per_image", "status", "expected", "failed", "data", "signature", "note", "run",
)  # fmt: skip


def render(made: Sequence[Board], form: Format) -> str:
    """The boards in one of the formats; in JSON an infinite value is the string "Infinity"."""
    if form == "md":
        return to_markdown(made)
    frame = to_frame(made)
    if form == "csv":
        return str(frame.to_csv(index=False))
    rows = [{k: json_value(v) for k, v in row.items()} for row in frame.to_dict(orient="records")]
    return json.dumps(rows, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def json_value(value: object) -> object:
    """A value as JSON takes it: None for NaN, a string for an infinite one."""
    if not isinstance(value, float) or math.isfinite(value):
        return value
    if math.isnan(value):
        return None
    return "Infinity" if value > 0 else "-Infinity"

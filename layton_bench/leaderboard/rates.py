"""Rate and distortion: the models of a board by bits per image, and the Pareto front per metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layton_bench.leaderboard.board import ranked_value
from layton_bench.metrics import badness
from layton_bench.records import escape, format_value, table

if TYPE_CHECKING:
    from layton_bench.leaderboard.board import Board, Column
    from layton_bench.records import RunRecord

FRONT = "●"
FRONT_NOTE = "Best quality at this bitrate or lower (Pareto front)."


@dataclass(frozen=True, slots=True, kw_only=True)
class RateRow:
    """A model and its rate.

    Attributes:
        record: the run.
        bits: mean bits per image.
        bpp: bits per pixel; None if the images have different sizes.
        front: metrics in which the model is on the Pareto front.
    """

    record: RunRecord
    bits: float
    bpp: float | None
    front: frozenset[str]


def quality_columns(board: Board) -> list[Column]:
    """Return the columns that measure quality."""
    return [c for c in board.columns if c.direction in ("higher", "lower") and c.signature]


def rate_rows(board: Board) -> list[RateRow]:
    """Return the board's models that have a rate, lowest rate first."""
    rated = [(r, r.bits_per_image) for r in board.records if r.bits_per_image]
    fronts = {c.name: front(board, c) for c in quality_columns(board)}
    rows = [
        RateRow(
            record=record,
            bits=bits,
            bpp=bits / record.suite.size_px**2 if record.suite.size_px else None,
            front=frozenset(name for name, ids in fronts.items() if record.run_id in ids),
        )
        for record, bits in rated
    ]
    return sorted(rows, key=lambda row: (row.bits, row.record.model.name))


def front(board: Board, column: Column) -> set[str]:
    """Return the run ids on the Pareto front of bits per image against a column."""
    points = {
        record.run_id: (bits, badness(value, column.direction))
        for record in board.records
        if (bits := record.bits_per_image) and (value := ranked_value(record, column)) is not None
    }
    flags = on_front(list(points.values()))
    return {run_id for run_id, is_on in zip(points, flags, strict=True) if is_on}


def on_front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Whether each point (cost, badness) is on the Pareto front. Smaller is better for both.

    A point is off the front if another point is no worse in both and better in one. Equal points
    are all on the front, or all off it.
    """
    return [not any(_dominates(other, point) for other in points) for point in points]


def _dominates(other: tuple[float, float], point: tuple[float, float]) -> bool:
    return other != point and other[0] <= point[0] and other[1] <= point[1]


def rate_table(board: Board) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows as plain text. A mark precedes values on the front."""
    columns = quality_columns(board)
    headings = ["Model", "bits/image", "bytes/image", "bpp", *(c.heading for c in columns)]
    return headings, [_cells(board, row, columns) for row in rate_rows(board)]


def _cells(board: Board, row: RateRow, columns: list[Column]) -> list[str]:
    def value(column: Column) -> str:
        result = row.record.metrics.get(column.name)
        mark = f"{FRONT} " if column.name in row.front else ""
        return mark + format_value(result, with_interval=False)

    bpp = "" if row.bpp is None else f"{row.bpp:.3f}"
    rates = [f"{row.bits:,.0f}", f"{row.bits / 8:,.0f}", bpp]
    return [board.name(row.record), *rates, *map(value, columns)]


def rate_markdown(board: Board) -> str:
    """Return the table as Markdown; empty for fewer than two models with a rate."""
    headings, rows = rate_table(board)
    if len(rows) < 2:
        return ""
    cells = [[escape(name), *values] for name, *values in rows]
    return (
        f"#### Rate and distortion: {escape(board.title)}\n\n"
        f"{table([escape(h) for h in headings], cells, texts=1)}\n\n"
        f"{FRONT} {FRONT_NOTE}\n"
    )

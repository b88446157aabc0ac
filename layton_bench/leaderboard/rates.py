"""What each bit buys: the models of a board by their rate, and the front in every metric."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layton_bench.leaderboard.board import display_name, format_value, ranked_value
from layton_bench.leaderboard.pareto import on_front
from layton_bench.metrics import badness
from layton_bench.records import escape, table

if TYPE_CHECKING:
    from layton_bench.leaderboard.board import Board, Column
    from layton_bench.records import RunRecord

FRONT = "●"


@dataclass(frozen=True, slots=True, kw_only=True)
class RateRow:
    """A model at its rate.

    Attributes:
        record: the run.
        bits: mean bits an image.
        bpp: bits a pixel; None where the images have sizes of their own.
        front: names of the metrics in which no model of as few bits is as good.
    """

    record: RunRecord
    bits: float
    bpp: float | None
    front: frozenset[str]


def quality_columns(board: Board) -> list[Column]:
    """The columns that say how good a picture is."""
    return [c for c in board.columns if c.direction in ("higher", "lower") and c.signature]


def rate_rows(board: Board) -> list[RateRow]:
    """The board's models that have a rate, cheapest first."""
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
    """Run ids on the Pareto front of bits an image against a column."""
    points = {
        record.run_id: (bits, badness(value, column.direction))
        for record in board.records
        if (bits := record.bits_per_image)
        and (value := ranked_value(record, column)) is not None
        and not math.isnan(value)
    }
    flags = on_front(list(points.values()))
    return {run_id for run_id, is_on in zip(points, flags, strict=True) if is_on}


def rate_table(board: Board) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of plain text; values on the front have a mark before them."""
    columns = quality_columns(board)
    headings = ["Model", "bits/image", "bytes/image", "bpp", *(c.heading for c in columns)]
    return headings, [_cells(row, columns) for row in rate_rows(board)]


def _cells(row: RateRow, columns: list[Column]) -> list[str]:
    def value(column: Column) -> str:
        result = row.record.metrics.get(column.name)
        mark = f"{FRONT} " if column.name in row.front else ""
        return mark + format_value(result, with_interval=False)

    bpp = "" if row.bpp is None else f"{row.bpp:.3f}"
    rates = [f"{row.bits:,.0f}", f"{row.bits / 8:,.0f}", bpp]
    return [display_name(row.record), *rates, *map(value, columns)]


def rate_markdown(board: Board) -> str:
    """The table as Markdown; empty for fewer than two models with a rate."""
    headings, rows = rate_table(board)
    if len(rows) < 2:
        return ""
    cells = [[escape(name), *values] for name, *values in rows]
    return (
        f"#### Rate and distortion: {escape(board.title)}\n\n"
        f"{table([escape(h) for h in headings], cells, texts=1)}\n\n"
        f"{FRONT} no model of as few bits or fewer is as good in that column (Pareto front)\n"
    )

"""A leaderboard for its page: sortable cells, plots, rates, notes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from layton_bench.leaderboard import (
    BITS,
    Board,
    Column,
    is_best,
    notes,
    quality_columns,
    ranked_value,
    ranking,
    rate_table,
    signatures,
)
from layton_bench.records import RunRecord, format_value, marks, number
from layton_bench.report.plots import (
    Bars,
    Measured,
    Point,
    Scatter,
    format_bits,
    format_seconds,
    interval_bars,
    scatter,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A value, its interval, its sort key (None comes last), and whether it is the best."""

    text: str
    interval: str = ""
    order: float | None = None
    is_best: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """A column; ``first`` is the order after the first click."""

    text: str
    first: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A model: the number of its run in the report, its name and its cells."""

    run: int
    name: str
    marks: tuple[str, ...]
    rank: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A plot of one metric; ``left_out`` names models that cannot be drawn, with the reason."""

    name: str
    plot: Scatter | Bars
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardView:
    """Everything that the section of a board shows."""

    number: int
    suite: str
    title: str
    summary: str
    headings: tuple[Heading, ...]
    rows: tuple[Row, ...]
    rank_note: str
    notes: tuple[str, ...]
    signatures: tuple[str, ...]
    intervals: tuple[Figure, ...]
    rates: tuple[Figure, ...]
    speeds: tuple[Figure, ...]
    machines: tuple[str, ...]
    rate_headings: tuple[str, ...]
    rate_rows: tuple[tuple[str, ...], ...]


def view_board(number: int, board: Board, run_number: Callable[[RunRecord], int]) -> BoardView:
    """Return the section of one board. ``run_number`` returns a run's number in the report."""
    suite = board.records[0].suite
    rate_headings, rate_rows = rate_table(board)
    quality, ranked = quality_columns(board), ranking(board)
    speeds = [(c, _seconds_plot(board, c)) for c in quality]
    return BoardView(
        number=number,
        suite=suite.name,
        title=board.title,
        summary=suite.summary,
        headings=_headings(board),
        rows=tuple(
            Row(
                run=run_number(record),
                name=board.name(record),
                marks=tuple(marks(record)),
                rank=rank,
                cells=(*_costs(record), *(_cell(board, c, record) for c in board.columns)),
            )
            for record, rank in zip(board.records, ranked.texts, strict=True)
        ),
        rank_note=ranked.note,
        notes=tuple(notes(board)),
        signatures=tuple(signatures(board)),
        intervals=_figures([(c, _bars(board, c)) for c in board.columns], board),
        rates=_figures([(c, _bits_plot(board, c)) for c in quality], board),
        speeds=_figures(speeds, board),
        machines=tuple(sorted({_machine(record) for record in board.records})),
        rate_headings=tuple(rate_headings),
        rate_rows=tuple(map(tuple, rate_rows)) if len(rate_rows) > 1 else (),
    )


def _headings(board: Board) -> tuple[Heading, ...]:
    metrics = [
        Heading(text=c.heading, first="descending" if c.direction == "higher" else "ascending")
        for c in board.columns
    ]
    costs = [Heading(text=text, first="ascending") for text in (BITS, "s/image")]
    return (*costs, *metrics)


def _costs(record: RunRecord) -> tuple[Cell, Cell]:
    bits, seconds = record.bits_per_image, seconds_per_image(record)
    return (
        Cell(text="" if bits is None else f"{bits:,.0f}", order=bits),
        Cell(text="" if seconds is None else f"{seconds:.3g}", order=seconds),
    )


def seconds_per_image(record: RunRecord) -> float | None:
    """Return a generator's median at batch 1; else encode + decode without the first batch."""
    if record.throughput is not None:
        return record.throughput.seconds_p50
    times = record.timing
    if times.decode_seconds_per_image is None:
        return None
    return times.decode_seconds_per_image + (times.encode_seconds_per_image or 0.0)


def _cell(board: Board, column: Column, record: RunRecord) -> Cell:
    result = record.metrics.get(column.name)
    value = ranked_value(record, column)
    text = format_value(result, with_interval=False)
    interval = format_value(result).removeprefix(text).strip()
    if number(result) is not None and value is None:
        text += "†"
    order = abs(value) if value is not None and column.direction == "zero" else value
    return Cell(text=text, interval=interval, order=order, is_best=is_best(board, column, record))


def _figures(
    plots: list[tuple[Column, Scatter | None]] | list[tuple[Column, Bars | None]], board: Board
) -> tuple[Figure, ...]:
    return tuple(
        Figure(name=column.heading, plot=plot, left_out=_left_out(plot, column, board))
        for column, plot in plots
        if plot is not None
    )


def _left_out(plot: Scatter | Bars, column: Column, board: Board) -> tuple[str, ...]:
    drawn = {m.label for m in (plot.marks if isinstance(plot, Scatter) else plot.bars)}
    return tuple(
        f"{name} ({_why_not(record, column)})"
        for record in board.records
        if (name := board.name(record)) not in drawn
    )


def _why_not(record: RunRecord, column: Column) -> str:
    value = ranked_value(record, column)
    if value is None:
        return "no comparable value"
    return "infinite" if math.isinf(value) else "its cost was not measured"


def _bars(board: Board, column: Column) -> Bars | None:
    if column.direction == "none":
        return None
    rows = []
    for record in board.records:
        value, result = ranked_value(record, column), record.metrics.get(column.name)
        if value is not None and result is not None:
            label, text = board.name(record), format_value(result, with_interval=False)
            rows.append(
                Measured(label=label, text=text, value=value, low=result.low, high=result.high)
            )
    return interval_bars(rows, title=column.heading)


def _bits_plot(board: Board, column: Column) -> Scatter | None:
    points = _points(board, column, lambda record: record.bits_per_image)
    return scatter(
        points, direction=column.direction, x_title="bits per image (logarithmic)",
        y_title=column.heading, format_x=format_bits,
    )  # fmt: skip


def _seconds_plot(board: Board, column: Column) -> Scatter | None:
    return scatter(
        _points(board, column, seconds_per_image), direction=column.direction,
        x_title="seconds per image (logarithmic)",
        y_title=column.heading, format_x=format_seconds,
    )  # fmt: skip


def _points(board: Board, column: Column, cost: Callable[[RunRecord], float | None]) -> list[Point]:
    points = []
    for record in board.records:
        value, x = ranked_value(record, column), cost(record)
        if value is not None and x:
            result = record.metrics[column.name]
            points.append(
                Point(
                    label=board.name(record), family=record.model.card.family,
                    x=x, y=value, low=result.low, high=result.high,
                )
            )  # fmt: skip
    return points


def _machine(record: RunRecord) -> str:
    origin = record.provenance
    return f"{origin.device_name} ({origin.device}, {origin.threads} threads, {record.model.dtype})"

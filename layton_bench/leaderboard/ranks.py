"""Ranks with ties: models whose intervals overlap may share a rank.

A model's rank is 1 + the number of models whose interval is entirely better than its own. A model
never ranks below a model with a worse value, however wide the intervals are. A value without an
interval counts as an interval of width 0.

Overlap of intervals is a cautious test. `layton-bench compare` pairs the samples of two runs, so it
finds smaller differences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from layton_bench.metrics import badness

if TYPE_CHECKING:
    from layton_bench.leaderboard.board import Board, Column
    from layton_bench.records import RunRecord


def ranks(board: Board, column: Column) -> list[int | None]:
    """Return each record's rank in a column; None if it has no ranked value."""
    spans = [_span(record, column) for record in board.records]
    known = [span for span in spans if span is not None]
    beaten = [
        None if span is None else 1 + sum(worst < span.best for _, _, worst in known)
        for span in spans
    ]
    return [
        None
        if span is None
        else min(
            rank
            for rank, other in zip(beaten, spans, strict=True)
            if rank is not None and other is not None and other.value >= span.value
        )
        for span in spans
    ]


class _Span(NamedTuple):
    """A value and the ends of its interval. Smaller is better."""

    best: float
    value: float
    worst: float


def _span(record: RunRecord, column: Column) -> _Span | None:
    result = record.metrics.get(column.name)
    if result is None or result.value is None or result.signature != column.signature:
        return None
    ends = [end for end in (result.low, result.value, result.high) if end is not None]
    bad = [badness(end, column.direction) for end in ends]
    # the interval of a bias contains the best value if it contains 0
    reaches_best = column.direction == "zero" and min(ends) <= 0 <= max(ends)
    return _Span(
        best=0.0 if reaches_best else min(bad),
        value=badness(result.value, column.direction),
        worst=max(bad),
    )


def rank_column(board: Board) -> list[str]:
    """Return the ranks as text, by the column that the board is sorted by. ``=`` marks a tie."""
    if board.ranked_by is None or board.ranked_by.direction == "none":
        return [""] * len(board.records)
    found = ranks(board, board.ranked_by)
    return ["" if r is None else f"{r}=" if found.count(r) > 1 else str(r) for r in found]


def rank_note(board: Board) -> str:
    """Return what the ranks mean; empty if nothing is ranked."""
    if board.ranked_by is None or board.ranked_by.direction == "none":
        return ""
    label = board.ranked_by.heading.rstrip("↑↓→0 ")
    return f"Ranked by {label}. Models whose 95 % intervals overlap may share a rank (=)."

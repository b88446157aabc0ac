"""Ranks with ties: a model is below another only where their intervals say so.

The rank of a model in a column is 1 + the number of models whose interval lies wholly on the better
side of its own, or the rank of a model with a worse value where that is better: a wide interval
never lifts a model above a better one. Models that none is shown to beat are all first; a value
without an interval is an interval of no width. Overlap of intervals is a cautious test for runs
on the same samples: `layton-bench compare`, which pairs them, may tell apart what is tied here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from layton_bench.metrics import badness

if TYPE_CHECKING:
    from layton_bench.leaderboard.board import Board, Column
    from layton_bench.records import RunRecord


def ranks(board: Board, column: Column) -> list[int | None]:
    """Each record's rank in a column; None where it has no value that is ranked."""
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
    """A value and the ends of its interval, smaller is better."""

    best: float
    value: float
    worst: float


def _span(record: RunRecord, column: Column) -> _Span | None:
    result = record.metrics.get(column.name)
    if result is None or result.value is None or result.signature != column.signature:
        return None
    ends = [end for end in (result.low, result.value, result.high) if end is not None]
    bad = [badness(end, column.direction) for end in ends]
    # an interval of a bias that reaches over 0 holds the best value there is
    reaches_best = column.direction == "zero" and min(ends) <= 0 <= max(ends)
    return _Span(
        best=0.0 if reaches_best else min(bad),
        value=badness(result.value, column.direction),
        worst=max(bad),
    )


def rank_column(board: Board) -> list[str]:
    """The ranks by the column that a board is sorted by, as text; ``=`` marks a shared rank."""
    if board.ranked_by is None or board.ranked_by.direction == "none":
        return [""] * len(board.records)
    found = ranks(board, board.ranked_by)
    return ["" if r is None else f"{r}=" if found.count(r) > 1 else str(r) for r in found]


def rank_note(board: Board) -> str:
    """What the ranks mean; empty where nothing is ranked."""
    if board.ranked_by is None or board.ranked_by.direction == "none":
        return ""
    label = board.ranked_by.heading.rstrip("↑↓→0 ")
    return f"Rank by {label}: 1 + the models whose 95% interval is wholly better; = is a tie."

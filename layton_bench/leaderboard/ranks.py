"""Ranks with ties: models that no test tells apart may share a rank.

A model's rank is 1 + the number of models that are shown to be better. Two models whose samples can
be paired are compared as `layton-bench compare` does: one is better if p ≤ 0.05 after Holm's
correction for the number of such pairs. Of two other models, one is better if its 95 % interval is
entirely better; a value without an interval counts as an interval of width 0. A model never ranks
below a model with a worse value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

from layton_bench.compare import holm, mean_difference, pair_samples, paired_values
from layton_bench.errors import NotComparableError, UserError
from layton_bench.leaderboard.board import ranked_value
from layton_bench.metrics import badness, influence_column
from layton_bench.records import REFERENCE_DIGEST, read_samples

if TYPE_CHECKING:
    import pandas as pd

    from layton_bench.leaderboard.board import Board, Column
    from layton_bench.records import MetricResult, RunRecord

SIGNIFICANCE = 0.05


class Ranking(NamedTuple):
    """Ranks of a board's records by the column that it is sorted by.

    Attributes:
        texts: one per record; ``=`` marks a shared rank, a run without a ranked value has none.
        note: what the ranks mean; empty if nothing is ranked.
    """

    texts: list[str]
    note: str


def ranking(board: Board) -> Ranking:
    """Rank the records of a board."""
    column = board.ranked_by
    if column is None or column.direction == "none":
        return Ranking([""] * len(board.records), "")
    found = ranks(board, column)
    texts = [
        "" if r is None else f"{r}=" if found.ranks.count(r) > 1 else str(r) for r in found.ranks
    ]
    return Ranking(texts, _note(column, found))


class Ranks(NamedTuple):
    """Ranks in one column.

    Attributes:
        ranks: one per record, from 1; None if it has no ranked value.
        num_pairs: number of pairs of runs that were compared by their samples.
        num_others: number of pairs that were compared by their intervals.
    """

    ranks: list[int | None]
    num_pairs: int
    num_others: int


def ranks(board: Board, column: Column) -> Ranks:
    """Rank the records of a board in a column."""
    spans = {
        i: _span(record.metrics[column.name], column)
        for i, record in enumerate(board.records)
        if ranked_value(record, column) is not None
    }
    p_values = _p_values(board, column, list(spans))
    adjusted = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    pairs = list(combinations(spans, 2))
    num_better = dict.fromkeys(spans, 0)
    for pair in pairs:
        better, worse = sorted(pair, key=lambda i: spans[i].value)
        is_apart = spans[better].worst < spans[worse].best
        if pair in adjusted:
            is_apart = adjusted[pair] <= SIGNIFICANCE
        num_better[worse] += is_apart
    found = {
        i: 1 + min(num_better[j] for j in spans if spans[j].value >= spans[i].value)
        for i in spans
    }  # fmt: skip
    return Ranks(
        [found.get(i) for i in range(len(board.records))],
        num_pairs=len(p_values),
        num_others=len(pairs) - len(p_values),
    )


class _Span(NamedTuple):
    """A value and the ends of its interval. Smaller is better."""

    best: float
    value: float
    worst: float


def _span(result: MetricResult, column: Column) -> _Span:
    assert result.value is not None
    ends = [
        end
        for end in (result.low, result.value, result.high)
        if end is not None and not math.isnan(end)
    ]
    bad = [badness(end, column.direction) for end in ends]
    # the interval of a bias contains the best value if it contains 0
    reaches_best = column.direction == "zero" and min(ends) <= 0 <= max(ends)
    return _Span(
        best=0.0 if reaches_best else min(bad),
        value=badness(result.value, column.direction),
        worst=max(bad),
    )


def _p_values(board: Board, column: Column, of: Sequence[int]) -> dict[tuple[int, int], float]:
    """Return p of every two records whose samples can be paired, by their positions."""
    tables = {
        i: table for i in of if (table := _samples(board, board.records[i], column)) is not None
    }
    found = {}
    for i, j in combinations(tables, 2):
        first, second = board.records[i], board.records[j]
        results = first.metrics[column.name], second.metrics[column.name]
        with suppress(NotComparableError):
            table = pair_samples(tables[i], tables[j], first)
            pairs = paired_values(column.name, *results, table)
            difference = mean_difference(pairs.first, pairs.second, column.direction)
            if math.isfinite(difference.value):  # the interval of an exact run says more
                found[i, j] = difference.p_value
    return found


def _samples(board: Board, record: RunRecord, column: Column) -> pd.DataFrame | None:
    """Return the columns that pairing needs; None if the samples cannot be read."""
    run = board.stored.get(record.run_id)
    if run is None:
        return None
    try:
        samples = read_samples(run.folder, run.record)
    except UserError:
        return None
    wanted = ("key", REFERENCE_DIGEST, column.name, influence_column(column.name))
    return samples[[name for name in wanted if name in samples]]


def _note(column: Column, found: Ranks) -> str:
    by = f"Ranked by {column.heading.rstrip('↑↓→0 ')}."
    if not found.num_pairs:
        return f"{by} Models whose 95 % intervals overlap may share a rank (=)."
    note = f"{by} Models that a paired test does not tell apart may share a rank (=)."
    if found.num_others:
        num_all = found.num_pairs + found.num_others
        note += (
            f" Of {num_all} pairs of models, {found.num_others} are compared by their 95 %"
            " intervals, because their samples cannot be paired."
        )
    return note

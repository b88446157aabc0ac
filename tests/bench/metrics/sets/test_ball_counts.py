"""Leaving out groups of samples, against computing everything anew without them."""

from __future__ import annotations

import numpy as np
import pytest
from feature_sets import sets_of

from layton_bench.intervals import jackknife_variance
from layton_bench.metrics.sets.ball_counts import BallCounts
from layton_bench.metrics.sets.gram import Gram
from layton_bench.metrics.sets.manifold import (
    _coverage,
    _coverage_of,
    _density,
    _density_of,
    ball_counts,
    nearest,
)

K = 5


def counted(candidates: np.ndarray, references: np.ndarray) -> BallCounts:
    gram = Gram(candidates, references)
    return ball_counts(gram, nearest(gram, "references", K + 2), K)


def anew(candidates: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Candidates in each reference's ball, from all distances."""
    own, across = (
        ((references[:, None] - rows[None]) ** 2).sum(-1) for rows in (references, candidates)
    )
    return (across < np.sort(own, axis=1)[:, [K]]).sum(axis=1)


SIZES = [(50, 50), (90, 60), (12, 9)]


@pytest.mark.parametrize(("n", "m"), SIZES)
@pytest.mark.parametrize("statistic", [_density_of, _coverage_of])
@pytest.mark.parametrize("is_paired", [True, False])
def test_the_variance_is_that_of_computing_anew_without_each_group(
    n: int, m: int, statistic: object, is_paired: bool
) -> None:
    rng = np.random.default_rng(n)
    candidates, references = rng.normal(0.4, 1, (n, 3)), rng.normal(0, 1, (m, 3))
    balls = counted(candidates, references)
    assert balls.value(statistic) == statistic(anew(candidates, references), n)
    groups = min(20, n, m)
    own, theirs = np.arange(n) % groups, np.arange(m) % groups

    def without(*, own_too: bool, theirs_too: bool) -> list[float]:
        found = []
        for group in range(groups):
            first = candidates[own != group] if own_too else candidates
            second = references[theirs != group] if theirs_too else references
            found.append(statistic(anew(first, second), len(first)))
        return found

    if is_paired:
        expected = jackknife_variance(without(own_too=True, theirs_too=True))
    else:
        expected = jackknife_variance(without(own_too=True, theirs_too=False))
        expected += jackknife_variance(without(own_too=False, theirs_too=True))
    assert balls.variance(statistic, is_paired=is_paired) == pytest.approx(expected, rel=1e-12)


def test_a_group_of_neighbours_ends_at_the_last_ball_known() -> None:
    """The nearest of reference 0 are all of its own group: its ball is that of the last known."""
    references = np.concatenate([np.zeros((8, 1)), np.linspace(10, 20, 72)[:, None]])
    references += 1e-3 * np.arange(80)[:, None]
    order = np.empty(80, dtype=int)  # the first eight are 0, 20, 40, 60 of one group, and others
    order[[0, 20, 40, 60, 1, 2, 3, 4]] = np.arange(8)
    order[[i for i in range(80) if i not in (0, 20, 40, 60, 1, 2, 3, 4)]] = np.arange(8, 80)
    balls = counted(np.zeros((80, 1)), references[order])
    level = balls._level(0)
    assert level.max() == 2
    assert np.isfinite(balls.variance(_density_of, is_paired=True))


@pytest.mark.parametrize("is_paired", [True, False])
def test_intervals_hold_where_both_sets_are_drawn_anew(is_paired: bool) -> None:
    """100 seeded repeats; docs/intervals.md has more sizes and kinds."""
    rng = np.random.default_rng(3)
    values = []
    for _ in range(100):
        references = rng.standard_normal((60, 6))
        near = references if is_paired else rng.standard_normal((60, 6)) + 0.3
        rows = near + 0.8 * is_paired * rng.standard_normal((60, 6))
        sets = sets_of(rows, references, is_paired=is_paired)
        values.append((_density(sets), _coverage(sets)))
    for each in zip(*values, strict=True):
        truth = np.mean([v.value for v in each])
        assert sum(v.low <= truth <= v.high for v in each) >= 93


def test_too_few_references_to_leave_some_out_have_no_interval() -> None:
    rng = np.random.default_rng(0)
    for m, has_interval in ((6, False), (7, True)):
        rows = rng.standard_normal((m, 3))
        for metric in (_density, _coverage):
            value = metric(sets_of(rows, rows, is_paired=True))
            assert value.value is not None
            assert (value.low is not None) == has_interval

"""Candidates in the references' balls, counted so that any group of samples can be left out.

Without a group, a reference's ball reaches to its k-th neighbour among those that remain: to its
(k + 1)-th of all where one of the first k is in the group. So candidates are counted by their group
and in several balls of each reference. What a statistic would be without each group follows from
the counts alone, and its variance from that (Tukey 1958). Neighbours of a sample that is left out
are thereby taken into account, which intervals of independent samples ignore. On average this
variance is not below the true one (Efron and Stein 1981).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from layton_bench.intervals import jackknife_variance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layton_bench.metrics.sets.gram import Side

    Counts = NDArray[np.integer[Any]]

Statistic = Callable[["Counts", int], float]
"""Of the candidates in each reference's ball, and the number of candidates."""

MAX_GROUPS = 20
LEVELS = 3
"""Balls of a reference. Three of its nearest are seldom in one of twenty groups."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BallCounts:
    """How many candidates of each group lie in each reference's balls.

    Attributes:
        counts: int (levels, groups, m), in the balls of the k-th neighbour, the (k + 1)-th, ….
        candidate_groups: (n,), the group of each candidate.
        reference_groups: (m,), the group of each reference.
        neighbours: (m, k + levels − 1), indices of each reference's nearest, in order.
        k: neighbours that a ball reaches to.
    """

    counts: Counts
    candidate_groups: NDArray[np.int64]
    reference_groups: NDArray[np.int64]
    neighbours: NDArray[np.int64]
    k: int

    def value(self, statistic: Statistic) -> float:
        """The statistic of all samples."""
        return statistic(self.counts[0].sum(axis=0), len(self.candidate_groups))

    def variance(self, statistic: Statistic, *, is_paired: bool) -> float:
        """Variance of the statistic where both sets are drawn anew; pairs are drawn as one."""
        drawn: list[tuple[Side, ...]] = [("candidates",), ("references",)]
        if is_paired:
            drawn = [("candidates", "references")]
        groups = range(self.num_groups)
        return sum(
            jackknife_variance([self._without(group, sides, statistic) for group in groups])
            for sides in drawn
        )

    @property
    def num_groups(self) -> int:
        """Groups of each set."""
        return int(self.counts.shape[1])

    @property
    def can_leave_out(self) -> bool:
        """Whether each reference keeps k neighbours without any group."""
        m = len(self.reference_groups)
        return m - math.ceil(m / self.num_groups) > self.k

    def _without(self, group: int, sides: tuple[Side, ...], statistic: Statistic) -> float:
        """The statistic without a group of one set or of both."""
        stays = np.ones(len(self.reference_groups), dtype=bool)
        level = np.zeros(len(stays), dtype=np.int64)
        if "references" in sides:
            stays, level = self.reference_groups != group, self._level(group)
        counted = self.counts[level, :, np.arange(len(stays))]  # (m, groups)
        num_candidates = len(self.candidate_groups)
        if "candidates" in sides:
            counted[:, group] = 0
            num_candidates -= int((self.candidate_groups == group).sum())
        return statistic(counted[stays].sum(axis=1), num_candidates)

    def _level(self, group: int) -> NDArray[np.int64]:
        """How many neighbours of the group are nearer than the k-th other one, as far as known."""
        is_other = self.reference_groups[self.neighbours] != group
        is_kth_found = is_other.cumsum(axis=1) >= self.k
        # where too few others are known, the last ball is a little small
        is_kth_found[:, -1] = True
        return np.asarray(is_kth_found.argmax(axis=1) - (self.k - 1))


def groups_of(num_samples: int, num_groups: int) -> NDArray[np.int64]:
    """The group of each sample: in turn, so that neighbours in the order of keys are apart."""
    return np.arange(num_samples) % num_groups

"""Improved precision and recall, density and coverage, from neighbourhoods of features.

The radius of a sample's ball is the distance to its k-th nearest neighbour in its own set.

    precision   share of candidates inside any reference's ball   (Kynkäänniemi et al. 2019)
    recall      share of references inside any candidate's ball
    density     mean number of references' balls around a candidate, over k   (Naeem et al. 2020)
    coverage    share of references whose own ball holds a candidate

Conventions: precision and recall use k = 3 and ``distance ≤ radius`` (torch-fidelity, and the
evaluator of guided-diffusion), density and coverage k = 5 and ``<`` (prdc). All use Inception
features, like guided-diffusion. The first paper, and torch-fidelity by default, use VGG16.

Distances are computed from float64 products of centred rows. If a distance is too close to a radius
for that (duplicates, identical sets), it is computed again from the difference of the two rows. So
ties are decided exactly, and do not depend on blocks or order.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from layton_bench.intervals import students, wilson
from layton_bench.metrics.base import MetricContext, MetricSpec
from layton_bench.metrics.sets.ball_counts import LEVELS, MAX_GROUPS, BallCounts, groups_of
from layton_bench.metrics.sets.feature_sets import FeatureSetMetric, FeatureSets
from layton_bench.metrics.sets.gram import gram_of
from layton_bench.types import MetricValue

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from layton_bench.metrics.sets.ball_counts import Counts
    from layton_bench.metrics.sets.gram import Gram, Side

    Array = NDArray[np.float64]
    Flags = NDArray[np.bool_]

_K_PRECISION = 3
_K_DENSITY = 5
_WANTED = max(_K_PRECISION, _K_DENSITY + LEVELS - 1)
# Products are good to d·2⁻⁵²; this is 20 times that at d = 2,048.
_DOUBT = 1e-11
_SPARE = 4
_EXACT_ROWS = 4096


class Nearest(NamedTuple):
    """Each sample's nearest neighbours in its own set, itself excluded, in order.

    Attributes:
        indices: (n, w).
        squares: squared distances, float64 (n, w).
    """

    indices: NDArray[np.int64]
    squares: Array


class Neighbourhoods(NamedTuple):
    """Which samples lie in which balls, for one k and one comparison.

    Attributes:
        is_precise: (n,), whether a candidate lies in any reference's ball.
        is_recalled: (m,), whether a reference lies in any candidate's ball.
    """

    is_precise: Flags
    is_recalled: Flags


class _Exact:
    """Squared distances from differences of rows, the same bits for the same two rows."""

    def __init__(self, gram: Gram) -> None:
        self._rows = {side: rows.numpy() for side, rows in gram.rows.items()}

    def __call__(
        self, first: Side, i: NDArray[np.int64], second: Side, j: NDArray[np.int64]
    ) -> Array:
        parts = [np.empty(0)]
        for start in range(0, len(i), _EXACT_ROWS):
            part = slice(start, start + _EXACT_ROWS)
            gap = self._rows[first][i[part]] - self._rows[second][j[part]]
            parts.append((gap * gap).sum(axis=1))
        return np.concatenate(parts)


def nearest(gram: Gram, side: Side, count: int) -> Nearest:
    """The ``count`` nearest of each sample, or all others where there are fewer."""
    import torch

    exact = _Exact(gram)
    n = gram.size(side)
    count = min(count, n - 1)
    wanted = min(count + _SPARE, n - 1)
    indices, squares = [], []
    for rows, block in gram.blocks(side, side):
        rough = gram.square_distances(side, side, rows, block)
        rough.diagonal(rows.start).fill_(torch.inf)
        found = rough.topk(wanted, dim=1, largest=False).indices.numpy()
        own = np.repeat(np.arange(rows.start, rows.start + len(found)), wanted)
        distances = exact(side, own, side, found.ravel()).reshape(found.shape)
        order = np.lexsort((found, distances))[:, :count]
        indices.append(np.take_along_axis(found, order, axis=1))
        squares.append(np.take_along_axis(distances, order, axis=1))
    return Nearest(np.concatenate(indices), np.concatenate(squares))


def neighbourhoods(gram: Gram, radii: tuple[Array, Array]) -> Neighbourhoods:
    """Membership of every candidate in every reference's closed ball and the other way round.

    Args:
        gram: of both sets.
        radii: squared, of candidates and of references.
    """
    import torch

    inside_reference, inside_candidate = (_Membership(gram, is_closed=True) for _ in range(2))
    precise, recalled = [], []
    own, theirs = (torch.from_numpy(squared) for squared in radii)
    for rows, block in gram.blocks("candidates", "references"):
        squares = gram.square_distances("candidates", "references", rows, block)
        precise.append(inside_reference(squares, rows, theirs[None, :]).any(1))
        recalled.append(inside_candidate(squares, rows, own[rows, None]).any(0))
    return Neighbourhoods(torch.cat(precise).numpy(), torch.stack(recalled).any(0).numpy())


def ball_counts(gram: Gram, references: Nearest, k: int) -> BallCounts:
    """Candidates in the references' open balls.

    Args:
        gram: of both sets.
        references: their k nearest and a few more.
        k: neighbours that a ball reaches to.
    """
    import torch

    n, m = gram.size("candidates"), gram.size("references")
    num_groups = min(MAX_GROUPS, n, m)
    groups = groups_of(n, num_groups)
    radii = torch.from_numpy(references.squares[:, k - 1 :].T.copy())
    counts = torch.zeros(len(radii), num_groups, m, dtype=torch.int32)
    inside = _Membership(gram, is_closed=False)
    for rows, block in gram.blocks("candidates", "references"):
        squares = gram.square_distances("candidates", "references", rows, block)
        for counted, squared in zip(counts, radii, strict=True):
            in_ball = inside(squares, rows, squared[None, :]).to(torch.int32)
            counted.index_add_(0, torch.from_numpy(groups[rows]), in_ball)
    return BallCounts(
        counts=counts.numpy(),
        candidate_groups=groups,
        reference_groups=groups_of(m, num_groups),
        neighbours=references.indices,
        k=k,
    )


class _Membership:
    """Compares a block of squared distances with squared radii, exactly where it is close."""

    def __init__(self, gram: Gram, is_closed: bool) -> None:
        self._norms = gram.square_norms
        self._exact = _Exact(gram)
        self._is_closed = is_closed

    def __call__(self, squares: Tensor, rows: slice, radii: Tensor) -> Tensor:
        inside = squares <= radii if self._is_closed else squares < radii
        largest = self._norms["candidates"][rows, None] + self._norms["references"].max()
        close = ((squares - radii).abs() <= _DOUBT * largest).nonzero().numpy()
        if len(close):
            i, j = close[:, 0], close[:, 1]
            exact = self._exact("candidates", i + rows.start, "references", j)
            edge = radii.expand(squares.shape).numpy()[i, j]
            decided = exact <= edge if self._is_closed else exact < edge
            inside.numpy()[i, j] = decided
        return inside


def _nearest(sets: FeatureSets, side: Side) -> Nearest:
    """Neighbours for every metric here, found once."""
    return sets.once(("nearest", side), lambda: nearest(gram_of(sets), side, _WANTED))


def _closed_balls(sets: FeatureSets) -> Neighbourhoods:
    def compute() -> Neighbourhoods:
        own, theirs = (_nearest(sets, side).squares for side in ("candidates", "references"))
        return neighbourhoods(
            gram_of(sets), (own[:, _K_PRECISION - 1], theirs[:, _K_PRECISION - 1])
        )

    return sets.once("closed balls", compute)


def _open_balls(sets: FeatureSets) -> BallCounts:
    return sets.once(
        "open balls",
        lambda: ball_counts(gram_of(sets), _nearest(sets, "references"), _K_DENSITY),
    )


def _share(flags: Flags) -> MetricValue:
    """A share of samples with its Wilson interval, given the other set."""
    low, high = wilson(int(flags.sum()), len(flags))
    return MetricValue(value=float(flags.mean()), low=low, high=high, n=len(flags))


def _precision(sets: FeatureSets) -> MetricValue:
    return _share(_closed_balls(sets).is_precise)


def _recall(sets: FeatureSets) -> MetricValue:
    return _share(_closed_balls(sets).is_recalled)


def _density(sets: FeatureSets) -> MetricValue:
    balls = _open_balls(sets)
    n = len(sets.candidates.keys)
    value, low, high = balls.value(_density_of), None, None
    if balls.can_leave_out:
        variance = balls.variance(_density_of, is_paired=sets.is_paired)
        low, high = students(value, variance, balls.num_groups - 1)
        low = max(0.0, low)
    return MetricValue(value=value, low=low, high=high, n=n)


def _coverage(sets: FeatureSets) -> MetricValue:
    balls = _open_balls(sets)
    m = len(sets.references.keys)
    value, low, high = balls.value(_coverage_of), None, None
    if balls.can_leave_out:
        variance = balls.variance(_coverage_of, is_paired=sets.is_paired)
        # Wilson's interval of as many independent references as would have this variance; shares of
        # 0 and 1 have a spread too, so the share is drawn to 1/2 (Agresti and Coull 1998)
        share = (value * m + 2) / (m + 4)
        trials = min(m, share * (1 - share) / variance) if variance > 0 else m
        low, high = wilson(value * trials, trials)
    return MetricValue(value=value, low=low, high=high, n=m)


def _density_of(counts: Counts, num_candidates: int) -> float:
    return float(counts.sum() / (_K_DENSITY * num_candidates))


def _coverage_of(counts: Counts, _: int) -> float:
    return float((counts > 0).mean())


def _make(
    context: MetricContext, *, value: Callable[[FeatureSets], MetricValue], k: int
) -> FeatureSetMetric:
    return FeatureSetMetric(
        context, backbone="inception-tf1", tap="pool3", value=value, min_samples=k + 1
    )


def _spec(
    name: str, summary: str, value: Callable[[FeatureSets], MetricValue], k: int, edge: str
) -> MetricSpec:
    return MetricSpec(
        name=name, label=name, direction="higher", summary=summary, digits=4,
        weights=("inception-fid",), make=partial(_make, value=value, k=k),
        signature={"resize": "tf1", "feat": "inception-tf-2048", "k": str(k), "edge": edge},
    )  # fmt: skip


SPECS = (
    _spec("precision", "share of candidates inside a reference's ball", _precision, 3, "in"),
    _spec("recall", "share of references inside a candidate's ball", _recall, 3, "in"),
    _spec("density", "references' balls around a candidate, mean", _density, 5, "out"),
    _spec("coverage", "share of references whose ball holds a candidate", _coverage, 5, "out"),
)

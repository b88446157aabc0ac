"""Improved precision and recall, density and coverage, from neighbourhoods of features.

A sample's ball reaches to its k-th nearest neighbour in its own set, itself excluded.

    precision   share of candidates inside any reference's ball   (Kynkäänniemi et al. 2019)
    recall      share of references inside any candidate's ball
    density     mean number of references' balls around a candidate, over k   (Naeem et al. 2020)
    coverage    share of references whose own ball holds a candidate

Conventions: precision and recall have k = 3 and ``distance ≤ radius`` (torch-fidelity, and the
evaluator of guided-diffusion), density and coverage k = 5 and ``<`` (prdc). All read Inception
features, as guided-diffusion does; the first paper, and torch-fidelity by default, read VGG16's.

Distances come from float64 products of centred rows. Wherever that leaves open on which side of a
radius a distance lies, duplicates and identical sets among them, it is computed from the
difference itself, so ties are decided exactly and independently of blocks and order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from layton_bench.intervals import mean_interval, wilson
from layton_bench.metrics.base import MetricContext, MetricSpec
from layton_bench.metrics.sets.feature_sets import FeatureSetMetric, FeatureSets
from layton_bench.metrics.sets.kernel import gram_of
from layton_bench.types import MetricValue

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from layton_bench.metrics.sets.gram import Gram, Side

    Array = NDArray[np.float64]
    Flags = NDArray[np.bool_]

_K_PRECISION = 3
_K_DENSITY = 5
# Products are good to d·2⁻⁵²; this is 20 times that at d = 2,048.
_DOUBT = 1e-11
_SPARE = 4
_EXACT_ROWS = 4096


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Neighbourhoods:
    """Which samples lie in which balls, for one k and one comparison.

    Attributes:
        balls_around_candidate: int64 (n,), references' balls that hold each candidate.
        is_recalled: (m,), whether a reference lies in any candidate's ball.
        is_covered: (m,), whether a reference's own ball holds a candidate.
    """

    balls_around_candidate: NDArray[np.int64]
    is_recalled: Flags
    is_covered: Flags


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


def square_radii(gram: Gram, side: Side, ks: tuple[int, ...]) -> dict[int, Array]:
    """By k, the squared distance of each sample to its k-th nearest neighbour, for k below n."""
    import torch

    exact = _Exact(gram)
    n = gram.size(side)
    wanted = min(max(ks) + _SPARE, n - 1)
    found = []
    for rows, block in gram.blocks(side, side):
        squares = gram.square_distances(side, side, rows, block)
        squares.diagonal(rows.start).fill_(torch.inf)
        nearest = squares.topk(wanted, dim=1, largest=False).indices.numpy()
        own = np.repeat(np.arange(rows.start, rows.start + len(nearest)), wanted)
        found.append(np.sort(exact(side, own, side, nearest.ravel()).reshape(nearest.shape)))
    ordered = np.concatenate(found)
    return {k: ordered[:, k - 1] for k in ks}


def neighbourhoods(gram: Gram, radii: tuple[Array, Array], *, is_closed: bool) -> Neighbourhoods:
    """Membership of every candidate in every reference's ball and the other way round.

    Args:
        gram: of both sets.
        radii: squared, of candidates and of references.
        is_closed: whether a distance equal to the radius counts as inside.
    """
    import torch

    inside_reference, inside_candidate = _Membership(gram, is_closed), _Membership(gram, is_closed)
    counts, covered, recalled = [], [], []
    own, theirs = (torch.from_numpy(squared) for squared in radii)
    for rows, block in gram.blocks("candidates", "references"):
        squares = gram.square_distances("candidates", "references", rows, block)
        in_ball = inside_reference(squares, rows, theirs[None, :])
        counts.append(in_ball.sum(1))
        covered.append(in_ball.any(0))
        recalled.append(inside_candidate(squares, rows, own[rows, None]).any(0))
    return Neighbourhoods(
        balls_around_candidate=torch.cat(counts).numpy(),
        is_recalled=torch.stack(recalled).any(0).numpy(),
        is_covered=torch.stack(covered).any(0).numpy(),
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


def _shared_radii(sets: FeatureSets) -> dict[int, tuple[Array, Array]]:
    """Both sets' squared radii for both k, computed once."""

    def compute() -> dict[int, tuple[Array, Array]]:
        fewest = min(len(sets.candidates.keys), len(sets.references.keys))
        ks = tuple(k for k in (_K_PRECISION, _K_DENSITY) if k < fewest)
        gram = gram_of(sets)
        own = square_radii(gram, "candidates", ks)
        theirs = square_radii(gram, "references", ks)
        return {k: (own[k], theirs[k]) for k in ks}

    return sets.once("radii", compute)


def _balls(sets: FeatureSets, k: int, *, is_closed: bool) -> Neighbourhoods:
    return sets.once(
        ("balls", k, is_closed),
        lambda: neighbourhoods(gram_of(sets), _shared_radii(sets)[k], is_closed=is_closed),
    )


def _share(flags: Flags) -> MetricValue:
    """A share of samples with its Wilson interval, given the other set."""
    low, high = wilson(int(flags.sum()), len(flags))
    return MetricValue(value=float(flags.mean()), low=low, high=high, n=len(flags))


def _precision(sets: FeatureSets) -> MetricValue:
    return _share(_balls(sets, _K_PRECISION, is_closed=True).balls_around_candidate > 0)


def _recall(sets: FeatureSets) -> MetricValue:
    return _share(_balls(sets, _K_PRECISION, is_closed=True).is_recalled)


def _density(sets: FeatureSets) -> MetricValue:
    around = _balls(sets, _K_DENSITY, is_closed=False).balls_around_candidate / _K_DENSITY
    low, high = mean_interval(around)
    return MetricValue(value=float(around.mean()), low=low, high=high, n=len(around))


def _coverage(sets: FeatureSets) -> MetricValue:
    return _share(_balls(sets, _K_DENSITY, is_closed=False).is_covered)


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
    _spec("precision", "Share of candidates near the references", _precision, 3, "in"),
    _spec("recall", "Share of references near the candidates", _recall, 3, "in"),
    _spec("density", "References' balls around a candidate", _density, 5, "out"),
    _spec("coverage", "Share of references with a candidate near", _coverage, 5, "out"),
)

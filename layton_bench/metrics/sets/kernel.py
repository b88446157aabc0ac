"""Maximum mean discrepancies (Gretton et al. 2012) of features: KID and CMMD.

``kid`` is KID (Bińkowski et al. 2018) as torch-fidelity computes it: the mean over 100 random
subsets of 1,000, with their standard deviation. ``clean-kid`` is clean-fid's, on its resize and
with its order of draws. ``kid-full`` is the unbiased estimate from all samples. ``cmmd`` is that
of Jayasumana et al. 2024, on CLIP embeddings with a Gaussian kernel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from layton_bench.metrics.base import MetricContext, MetricSpec
from layton_bench.metrics.sets.feature_sets import FeatureSetMetric, FeatureSets
from layton_bench.metrics.sets.gram import Gram
from layton_bench.types import MetricValue

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from layton_bench.metrics.sets.gram import Side

    Array = NDArray[np.float64]

_NUM_SUBSETS = 100
_SUBSET_SIZE = 1000
_CMMD_SIGMA = 10.0
_CMMD_SCALE = 1000.0
Subsets = list[tuple["NDArray[np.intp]", "NDArray[np.intp]"]]
"""Rows of the candidates and of the references in each subset, as many of one as of the other."""
Draw = Callable[[int, int, int], Subsets]
"""(n, m, size) → subsets."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KernelSums:
    """Sums of a kernel over both sets, float64.

    Attributes:
        within: of each candidate with the other candidates, (n,).
        within_references: of each reference with the other references, (m,).
        across: of each candidate with all references, (n,).
        across_references: of each reference with all candidates, (m,).
        own: the kernel of a sample with itself: of candidates and of references.
        pairs: of candidate i with reference i; empty where n ≠ m.
    """

    within: Array
    within_references: Array
    across: Array
    across_references: Array
    own: tuple[Array, Array]
    pairs: Array


def cubic(gram: Gram, first: Side, second: Side, rows: slice, block: Tensor) -> Tensor:
    """KID's kernel (x·y/d + 1)³."""
    return gram.plain(first, second, rows, block).div_(gram.width).add_(1).pow_(3)


def gaussian_gap(gram: Gram, first: Side, second: Side, rows: slice, block: Tensor) -> Tensor:
    """1 − exp(−|x − y|²/2σ²), σ = 10: what CMMD's kernel lacks to 1, to all digits."""
    squares = gram.square_distances(first, second, rows, block)
    return squares.div_(-2 * _CMMD_SIGMA**2).expm1_().neg_()


Kernel = Callable[[Gram, "Side", "Side", slice, "Tensor"], "Tensor"]


def kernel_sums(gram: Gram, kernel: Kernel) -> KernelSums:
    """All sums that estimates from whole sets need, in one pass by blocks."""
    import torch

    across, pairs = [], []
    columns = torch.zeros(gram.size("references"), dtype=torch.float64)
    is_square = gram.size("candidates") == gram.size("references")
    for rows, block in gram.blocks("candidates", "references"):
        values = kernel(gram, "candidates", "references", rows, block)
        across.append(values.sum(1))
        columns += values.sum(0)
        if is_square:
            pairs.append(values.diagonal(rows.start))
    (within, own), (within_references, own_references) = (
        _sums_within(gram, side, kernel) for side in ("candidates", "references")
    )
    return KernelSums(
        within=within, within_references=within_references,
        across=torch.cat(across).numpy(), across_references=columns.numpy(),
        own=(own, own_references),
        pairs=torch.cat(pairs).numpy() if pairs else np.empty(0),
    )  # fmt: skip


def _sums_within(gram: Gram, side: Side, kernel: Kernel) -> tuple[Array, Array]:
    import torch

    sums, own = [], []
    for rows, block in gram.blocks(side, side):
        values = kernel(gram, side, side, rows, block)
        diagonal = values.diagonal(rows.start).clone()
        values.diagonal(rows.start).zero_()  # no difference of large sums
        sums.append(values.sum(1))
        own.append(diagonal)
    return torch.cat(sums).numpy(), torch.cat(own).numpy()


def mmd_unbiased(sums: KernelSums) -> float:
    """U-statistic from all samples: the mean over pairs of different samples within each set."""
    n, m = len(sums.within), len(sums.within_references)
    within = sums.within.sum() / (n * (n - 1))
    within_references = sums.within_references.sum() / (m * (m - 1))
    return float(within + within_references - 2 * sums.across.sum() / (n * m))


def cmmd(sums: KernelSums) -> float:
    """1000·(E k(x,x') + E k(y,y') − 2 E k(x,y)), diagonals included, from sums of 1 − k."""
    n, m = len(sums.within), len(sums.within_references)
    within = sums.within.sum() / n**2 + sums.within_references.sum() / m**2
    return float(_CMMD_SCALE * (2 * sums.across.sum() / (n * m) - within))


def kernel_influences(
    sums: KernelSums, *, is_paired: bool, is_unbiased: bool, scale: float
) -> tuple[Array, Array]:
    """Influence of each candidate (n,) and reference (m,) on the discrepancy, each of mean 0.

    Twice what a sample's mean kernel within its set has over that across the sets. The kernel of a
    pair is in the sums of both, but a pair is one sample: it counts once. For arguments see
    ``jackknife_interval``.
    """
    n, m = len(sums.within), len(sums.within_references)
    less = 1 if is_unbiased else 0
    one = sums.within / (n - less) - sums.across / m
    other = sums.within_references / (m - less) - sums.across_references / n
    if is_paired:
        one = one + sums.pairs / n
    return 2 * scale * (one - one.mean()), 2 * scale * (other - other.mean())


def jackknife_interval(
    sums: KernelSums, estimate: float, *, is_paired: bool, is_unbiased: bool, scale: float
) -> tuple[float, float]:
    """95 % interval from leaving out each sample (Tukey 1958), in pairs where they are paired.

    Args:
        sums: of the kernel, or of 1 − k with ``scale`` negative.
        estimate: the value of all samples.
        is_paired: whether candidate i and reference i go together.
        is_unbiased: divisors n(n − 1) in place of n².
        scale: factor of the estimate.
    """
    n, m = len(sums.within), len(sums.within_references)
    total, total_references = sums.within.sum(), sums.within_references.sum()
    total_across = sums.across.sum()

    def value(a: Array | float, b: Array | float, c: Array | float, n: int, m: int) -> Array:
        p, q = (n * (n - 1), m * (m - 1)) if is_unbiased else (n * n, m * m)
        return np.asarray(scale * (a / p + b / q - 2 * c / (n * m)))

    less = total - 2 * sums.within
    less_references = total_references - 2 * sums.within_references
    if is_paired:
        across = total_across - sums.across - sums.across_references + sums.pairs
        variance = _variance(value(less, less_references, across, n - 1, m - 1))
    else:
        variance = _variance(value(less, total_references, total_across - sums.across, n - 1, m))
        variance += _variance(
            value(total, less_references, total_across - sums.across_references, n, m - 1)
        )
    half = NormalDist().inv_cdf(0.975) * math.sqrt(variance)
    return estimate - half, estimate + half


def _variance(leave_one_out: Array) -> float:
    n = len(leave_one_out)
    return float((n - 1) / n * ((leave_one_out - leave_one_out.mean()) ** 2).sum())


def draw_as_torch_fidelity(n: int, m: int, size: int) -> Subsets:
    """100 subsets from seed 2020, of the candidates first."""
    rng = np.random.RandomState(2020)
    return [
        (rng.choice(n, size, replace=False), rng.choice(m, size, replace=False))
        for _ in range(_NUM_SUBSETS)
    ]


def draw_as_clean_fid(n: int, m: int, size: int) -> Subsets:
    """100 subsets from seed 0, of the references first."""
    rng = np.random.RandomState(0)
    drawn = [
        (rng.choice(m, size, replace=False), rng.choice(n, size, replace=False))
        for _ in range(_NUM_SUBSETS)
    ]
    return [(candidates, references) for references, candidates in drawn]


def subset_sums(
    candidates: NDArray[np.float32], references: NDArray[np.float32],
    subsets: Subsets, gram: Gram | None = None,
) -> Iterator[KernelSums]:  # fmt: skip
    """Sums of KID's kernel over each subset; those of samples with themselves are left out.

    Args:
        candidates: rows (n, d).
        references: rows (m, d).
        subsets: rows of each.
        gram: products of the whole sets where these are small enough to be cheaper.
    """
    if gram is None:
        for x, y in subsets:
            yield kernel_sums(Gram(candidates[x], references[y]), cubic)
        return
    chosen = [_indicators([s[i] for s in subsets], gram.size(_SIDES[i])) for i in (0, 1)]
    (within, _), (within_references, _) = (
        _sums_by_subset(gram, side, side, marks, marks)
        for side, marks in zip(_SIDES, chosen, strict=True)
    )
    across_references, across = _sums_by_subset(gram, *_SIDES, *chosen)
    nothing = np.empty(0)
    for s, (x, y) in enumerate(subsets):
        yield KernelSums(
            within=within[s, x], within_references=within_references[s, y],
            across=across[s, x], across_references=across_references[s, y],
            own=(nothing, nothing), pairs=nothing,
        )  # fmt: skip


def kid_of_subsets(
    candidates: NDArray[np.float32], references: NDArray[np.float32],
    subsets: Subsets, gram: Gram | None = None,
) -> Array:  # fmt: skip
    """Unbiased KID of each subset, float64; for arguments see ``subset_sums``."""
    return np.array([mmd_unbiased(s) for s in subset_sums(candidates, references, subsets, gram)])


def kid_influences(
    sums: Iterable[KernelSums], subsets: Subsets, n: int, m: int
) -> tuple[Array, Array]:
    """Influences of n candidates and of m references on the mean over fixed subsets.

    A sample counts as often as it was drawn, so that the noise of the draw is in their spread.
    """
    totals = (np.zeros(n), np.zeros(m))
    for found, rows in zip(sums, subsets, strict=True):
        parts = kernel_influences(found, is_paired=False, is_unbiased=True, scale=1)
        for total, part, chosen in zip(totals, parts, rows, strict=True):
            total[chosen] += part * len(total) / len(part)
    return totals[0] / len(subsets), totals[1] / len(subsets)


_SIDES: tuple[Side, Side] = ("candidates", "references")


def _indicators(subsets: list[NDArray[np.intp]], n: int) -> Tensor:
    """(subsets, n), 1 where the row belongs to the subset."""
    import torch

    marks = torch.zeros(len(subsets), n, dtype=torch.float64)
    for number, subset in enumerate(subsets):
        marks[number, torch.from_numpy(subset)] = 1
    return marks


def _sums_by_subset(
    gram: Gram, first: Side, second: Side, left: Tensor, right: Tensor
) -> tuple[Array, Array]:
    """Σ k of every sample with each subset's samples of the other side, without itself.

    Returns:
        Of the second side with subsets of the first, (S, m); of the first with the second's,
        (S, n), which is the same where both sides are one.
    """
    import torch

    of_second = torch.zeros(len(left), gram.size(second), dtype=torch.float64)
    of_first = torch.zeros(len(right), gram.size(first), dtype=torch.float64)
    for rows, block in gram.blocks(first, second):
        values = cubic(gram, first, second, rows, block)
        if first == second:
            values.diagonal(rows.start).zero_()
        else:
            of_first[:, rows] = right @ values.T
        of_second += left[:, rows] @ values
    return of_second.numpy(), (of_second if first == second else of_first).numpy()


def _kid(sets: FeatureSets, *, draw: Draw) -> MetricValue:
    n, m = len(sets.candidates.keys), len(sets.references.keys)
    size = min(_SUBSET_SIZE, n, m)
    is_cheaper_whole = n * m <= _NUM_SUBSETS * size**2
    subsets = draw(n, m, size)
    sums = list(subset_sums(
        sets.candidates.rows, sets.references.rows, subsets,
        gram_of(sets) if is_cheaper_whole else None,
    ))  # fmt: skip
    values = np.array([mmd_unbiased(one) for one in sums])
    parts = kid_influences(sums, subsets, n, m)
    if size == n == m:  # every subset is the whole, and pairs lie together
        parts = _influences_of_whole(sets)
    note = "" if size == _SUBSET_SIZE else f"subsets of {size}, fewer than {_SUBSET_SIZE:,}"
    return MetricValue(
        value=float(values.mean()), std=float(values.std()), n=n, note=note,
        influence=sets.influence(*parts),
    )  # fmt: skip


def _whole_sums(sets: FeatureSets) -> KernelSums:
    return sets.once("cubic sums", lambda: kernel_sums(gram_of(sets), cubic))


def _influences_of_whole(sets: FeatureSets) -> tuple[Array, Array]:
    return kernel_influences(_whole_sums(sets), is_paired=sets.is_paired, is_unbiased=True, scale=1)


def _kid_full(sets: FeatureSets) -> MetricValue:
    sums = _whole_sums(sets)
    value = mmd_unbiased(sums)
    low = high = None
    if min(len(sums.within), len(sums.within_references)) > 2:
        low, high = jackknife_interval(
            sums, value, is_paired=sets.is_paired, is_unbiased=True, scale=1
        )
    return MetricValue(
        value=value, low=low, high=high, n=len(sums.within),
        influence=sets.influence(*_influences_of_whole(sets)),
    )  # fmt: skip


def _cmmd(sets: FeatureSets) -> MetricValue:
    rows = (_unit(sets.candidates.rows), _unit(sets.references.rows))
    sums = kernel_sums(Gram(*rows), gaussian_gap)
    value = cmmd(sums)
    low, high = jackknife_interval(
        sums, value, is_paired=sets.is_paired, is_unbiased=False, scale=-_CMMD_SCALE
    )
    parts = kernel_influences(sums, is_paired=sets.is_paired, is_unbiased=False, scale=-_CMMD_SCALE)
    return MetricValue(
        value=value, low=low, high=high, n=len(sums.within), influence=sets.influence(*parts)
    )


def _unit(rows: NDArray[np.float32]) -> Array:
    """Rows of length 1; a row of zeros stays one."""
    wide = rows.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.asarray(wide / np.where(lengths > 0, lengths, 1))


def gram_of(sets: FeatureSets) -> Gram:
    """The products of both sets, computed once for every metric."""
    return sets.once("gram", lambda: Gram(sets.candidates.rows, sets.references.rows))


def _make(
    context: MetricContext, *, backbone: str, tap: str, value: Callable[[FeatureSets], MetricValue]
) -> FeatureSetMetric:
    return FeatureSetMetric(context, backbone=backbone, tap=tap, value=value)


_SUBSETS = {"feat": "inception-tf-2048", "kernel": "poly3", "subsets": "100x1000"}

SPECS = (
    MetricSpec(
        name="kid", label="KID", direction="lower", digits=5, weights=("inception-fid",),
        summary="Kernel Inception distance, mean ± std over 100 subsets (torch-fidelity)",
        signature={"resize": "tf1", **_SUBSETS, "draw": "torch-fidelity"},
        make=partial(_make, backbone="inception-tf1", tap="pool3",
                     value=partial(_kid, draw=draw_as_torch_fidelity)),
    ),
    MetricSpec(
        name="clean-kid", label="clean-KID", direction="lower", digits=5,
        weights=("inception-fid",),
        summary="Kernel Inception distance as clean-fid resizes and draws",
        signature={"resize": "pil-bicubic", **_SUBSETS, "draw": "clean-fid"},
        make=partial(_make, backbone="inception-clean", tap="pool3",
                     value=partial(_kid, draw=draw_as_clean_fid)),
    ),
    MetricSpec(
        name="kid-full", label="KID (all pairs)", direction="lower", digits=5,
        weights=("inception-fid",),
        summary="Kernel Inception distance, unbiased estimate from all samples",
        signature={"resize": "tf1", "feat": "inception-tf-2048", "kernel": "poly3",
                   "estimate": "unbiased"},
        make=partial(_make, backbone="inception-tf1", tap="pool3", value=_kid_full),
    ),
    MetricSpec(
        name="cmmd", label="CMMD", direction="lower", digits=4, weights=("clip-vit-l-14-336",),
        summary="CLIP maximum mean discrepancy (Jayasumana et al. 2024)",
        signature={"resize": "pil-bicubic-336", "feat": "clip-vit-l-14-336",
                   "kernel": "rbf10", "scale": "1000"},
        make=partial(_make, backbone="clip-vit-l-14-336", tap="embedding", value=_cmmd),
    ),
)  # fmt: skip

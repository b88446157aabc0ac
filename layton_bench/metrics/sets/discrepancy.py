"""Maximum mean discrepancy (Gretton et al. 2012) of two sets, from sums of a kernel.

    MMD² = E k(x, x') + E k(y, y') − 2 E k(x, y)

Estimates, influences and intervals use the same sums, computed in one pass over blocks.
Everything is in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from layton_bench.metrics.sets.gram import Gram

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from layton_bench.metrics.sets.gram import Side

    Array = NDArray[np.float64]

_CMMD_SIGMA = 10.0
CMMD_SCALE = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KernelSums:
    """Sums of a kernel over both sets, float64.

    Attributes:
        within: each candidate with the other candidates, (n,).
        within_references: each reference with the other references, (m,).
        across: each candidate with all references, (n,).
        across_references: each reference with all candidates, (m,).
        own: each sample with itself: candidates (n,), references (m,).
        pairs: candidate i with reference i, (n,); empty if n ≠ m.
    """

    within: Array
    within_references: Array
    across: Array
    across_references: Array
    own: tuple[Array, Array]
    pairs: Array


def cubic(gram: Gram, first: Side, second: Side, rows: slice, block: Tensor) -> Tensor:
    """Return KID's kernel (x·y/d + 1)³ of a block."""
    return gram.plain(first, second, rows, block).div_(gram.width).add_(1).pow_(3)


def gaussian_gap(gram: Gram, first: Side, second: Side, rows: slice, block: Tensor) -> Tensor:
    """Return 1 − k of CMMD's kernel k = exp(−|x − y|²/2σ²), σ = 10, without loss of digits."""
    squares = gram.square_distances(first, second, rows, block)
    return squares.div_(-2 * _CMMD_SIGMA**2).expm1_().neg_()


Kernel = Callable[[Gram, "Side", "Side", slice, "Tensor"], "Tensor"]


def kernel_sums(gram: Gram, kernel: Kernel) -> KernelSums:
    """Return all sums that estimates from whole sets need, in one pass over blocks."""
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
    """Return the U-statistic of all samples: within each set, pairs of different samples only."""
    n, m = len(sums.within), len(sums.within_references)
    within = sums.within.sum() / (n * (n - 1))
    within_references = sums.within_references.sum() / (m * (m - 1))
    return float(within + within_references - 2 * sums.across.sum() / (n * m))


def cmmd(sums: KernelSums) -> float:
    """Return 1000·(E k(x,x') + E k(y,y') − 2 E k(x,y)), diagonals included, from sums of 1 − k."""
    n, m = len(sums.within), len(sums.within_references)
    within = sums.within.sum() / n**2 + sums.within_references.sum() / m**2
    return float(CMMD_SCALE * (2 * sums.across.sum() / (n * m) - within))


def kernel_influences(
    sums: KernelSums, *, is_paired: bool, is_unbiased: bool, scale: float
) -> tuple[Array, Array]:
    """Return the influence of each candidate (n,) and reference (m,), each with mean 0.

    It is twice the difference of a sample's mean kernel within its set and across the sets. The
    kernel of a pair is in the sums of both, but a pair is one sample and counts once. For arguments
    see ``jackknife_interval``.
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
    """Return the 95 % interval of the jackknife (Tukey 1958): each sample left out in turn.

    Args:
        sums: sums of the kernel; or of 1 − k, with a negative ``scale``.
        estimate: the value of all samples.
        is_paired: whether candidate i and reference i belong together, and are left out together.
        is_unbiased: divisors n(n − 1) instead of n².
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

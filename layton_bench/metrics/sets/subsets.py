"""KID as a mean over random subsets, drawn as torch-fidelity or as clean-fid draws them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from layton_bench.metrics.sets.discrepancy import (
    KernelSums,
    cubic,
    kernel_influences,
    kernel_sums,
    mmd_unbiased,
)
from layton_bench.metrics.sets.gram import Gram

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from layton_bench.metrics.sets.gram import Side

    Array = NDArray[np.float64]

NUM_SUBSETS = 100
SUBSET_SIZE = 1000
Subsets = list[tuple["NDArray[np.intp]", "NDArray[np.intp]"]]
"""Rows of the candidates and of the references in each subset, as many of one as of the other."""

Draw = Callable[[int, int, int], Subsets]
"""(n, m, size) → subsets."""


def draw_as_torch_fidelity(n: int, m: int, size: int) -> Subsets:
    """100 subsets from seed 2020, of the candidates first."""
    rng = np.random.RandomState(2020)
    return [
        (rng.choice(n, size, replace=False), rng.choice(m, size, replace=False))
        for _ in range(NUM_SUBSETS)
    ]


def draw_as_clean_fid(n: int, m: int, size: int) -> Subsets:
    """100 subsets from seed 0, of the references first."""
    rng = np.random.RandomState(0)
    drawn = [
        (rng.choice(m, size, replace=False), rng.choice(n, size, replace=False))
        for _ in range(NUM_SUBSETS)
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

"""KID as a mean over random subsets, drawn like torch-fidelity or like clean-fid."""

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
"""For each subset, row numbers of its candidates and of its references, equally many."""

Draw = Callable[[int, int, int], Subsets]
"""(n, m, size) → subsets."""


def draw_as_torch_fidelity(n: int, m: int, size: int) -> Subsets:
    """Draw 100 subsets from seed 2020, candidates first."""
    rng = np.random.RandomState(2020)
    return [
        (rng.choice(n, size, replace=False), rng.choice(m, size, replace=False))
        for _ in range(NUM_SUBSETS)
    ]


def draw_as_clean_fid(n: int, m: int, size: int) -> Subsets:
    """Draw 100 subsets from seed 0, references first."""
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
    """Yield sums of KID's kernel over each subset, without those of samples with themselves.

    Args:
        candidates: rows float32 (n, d).
        references: rows float32 (m, d).
        subsets: row numbers of each subset.
        gram: products of the whole sets. Give them if they take less time than those of subsets.
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
    """Return the unbiased KID of each subset, float64 (S,). For arguments see ``subset_sums``."""
    return np.array([mmd_unbiased(s) for s in subset_sums(candidates, references, subsets, gram)])


def kid_influences(
    sums: Iterable[KernelSums], subsets: Subsets, n: int, m: int
) -> tuple[Array, Array]:
    """Return influences of candidates (n,) and references (m,) on the mean over fixed subsets.

    A sample counts as often as it was drawn, so their spread includes the noise of the draw.
    """
    totals = (np.zeros(n), np.zeros(m))
    for found, rows in zip(sums, subsets, strict=True):
        parts = kernel_influences(found, is_paired=False, is_unbiased=True, scale=1)
        for total, part, chosen in zip(totals, parts, rows, strict=True):
            total[chosen] += part * len(total) / len(part)
    return totals[0] / len(subsets), totals[1] / len(subsets)


_SIDES: tuple[Side, Side] = ("candidates", "references")


def _indicators(subsets: list[NDArray[np.intp]], n: int) -> Tensor:
    """Return (subsets, n): 1 if the row belongs to the subset, otherwise 0."""
    import torch

    marks = torch.zeros(len(subsets), n, dtype=torch.float64)
    for number, subset in enumerate(subsets):
        marks[number, torch.from_numpy(subset)] = 1
    return marks


def _sums_by_subset(
    gram: Gram, first: Side, second: Side, left: Tensor, right: Tensor
) -> tuple[Array, Array]:
    """Sum the kernel of each sample with each subset of the other side, without itself.

    Returns:
        Sums of the second side's samples with subsets of the first, (S, m), and of the first side's
        samples with subsets of the second, (S, n). They are equal if both sides are the same.
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

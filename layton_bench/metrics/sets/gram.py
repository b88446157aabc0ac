"""Inner products of two sets of features, computed once for all metrics that read them.

Before multiplication, the mean of both sets is subtracted from the rows, in float64. Distances then
keep their digits if features share a large offset. With x' = x − c, the plain inner products are
x·y = x'·y' + x'·c + c·y' + c·c.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from layton_bench.metrics.sets.feature_sets import FeatureSets

Side = Literal["candidates", "references"]
# Matrices of sets up to this size are kept (3 · 210 MB in float64). Larger ones come in blocks.
_HELD_ROWS = 5120
_BLOCK_ELEMENTS = 1 << 25


class Gram:
    """Inner products between and within two sets of rows.

    Args:
        candidates: rows (n, d) of any floating dtype.
        references: rows (m, d).
    """

    def __init__(
        self,
        candidates: NDArray[np.floating],
        references: NDArray[np.floating],
    ) -> None:
        import torch

        n, m = len(candidates), len(references)
        centre = (
            candidates.sum(axis=0, dtype=np.float64) + references.sum(axis=0, dtype=np.float64)
        ) / (n + m)
        self.width = len(centre)
        self.rows: dict[Side, Tensor] = {
            "candidates": torch.from_numpy(candidates - centre),
            "references": torch.from_numpy(references - centre),
        }
        self.square_norms = {side: (rows**2).sum(1) for side, rows in self.rows.items()}
        """|x − c|² of each row, float64 (n,) and (m,)."""
        # x·c − |c|²/2, so that x·y is the centred product and one such part of each row
        middle = torch.from_numpy(centre)
        half = middle @ middle / 2
        self._offsets = {side: rows @ middle + half for side, rows in self.rows.items()}
        self._held: dict[tuple[Side, Side], Tensor] = {}

    def size(self, side: Side) -> int:
        """Return the number of rows of a set."""
        return len(self.rows[side])

    def blocks(self, first: Side, second: Side) -> Iterator[tuple[slice, Tensor]]:
        """Yield blocks of rows of the centred products, float64 (b, m). Do not change them."""
        if max(self.size(first), self.size(second)) <= _HELD_ROWS:
            yield slice(0, self.size(first)), self._whole(first, second)
            return
        step = max(1, _BLOCK_ELEMENTS // self.size(second))
        for start in range(0, self.size(first), step):
            rows = slice(start, start + step)
            yield rows, self.rows[first][rows] @ self.rows[second].T

    def plain(self, first: Side, second: Side, rows: slice, block: Tensor) -> Tensor:
        """Return the inner products x·y of the rows of a block, not centred, (b, m)."""
        return block + self._offsets[first][rows, None] + self._offsets[second]

    def square_distances(self, first: Side, second: Side, rows: slice, block: Tensor) -> Tensor:
        """Return |x − y|² of a block, (b, m), at least 0.

        The error is about 1e-12 of |x|² + |y|², so ties cannot be decided with it.
        """
        norms = self.square_norms[first][rows, None] + self.square_norms[second]
        return norms.sub_(block, alpha=2).clamp_(min=0)

    def _whole(self, first: Side, second: Side) -> Tensor:
        if (second, first) in self._held:
            return self._held[second, first].T
        if (first, second) not in self._held:
            self._held[first, second] = self.rows[first] @ self.rows[second].T
        return self._held[first, second]


def gram_of(sets: FeatureSets) -> Gram:
    """Return the products of both sets, computed once for all metrics."""
    return sets.once("gram", lambda: Gram(sets.candidates.rows, sets.references.rows))

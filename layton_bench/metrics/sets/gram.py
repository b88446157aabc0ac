"""Inner products of two sets of features, computed once for every metric that reads them.

Rows are centred on the mean of both sets before they are multiplied, in float64: distances then
keep their digits where features share a large offset, and the plain inner products follow from
x·y = x'·y' + x'·c + c·y' + c·c with x' = x − c.
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
# Matrices of sets up to this size are held (3 · 210 MB in float64), larger ones come by blocks.
_HELD_ROWS = 5120
_BLOCK_ELEMENTS = 1 << 25


class Gram:
    """Inner products between and within two sets of rows.

    Args:
        candidates: (n, d), any floating type.
        references: (m, d).
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
        """|x − c|² of each row."""
        # x·c − |c|²/2, so that x·y is the centred product and one such part of each row
        middle = torch.from_numpy(centre)
        half = middle @ middle / 2
        self._offsets = {side: rows @ middle + half for side, rows in self.rows.items()}
        self._held: dict[tuple[Side, Side], Tensor] = {}

    def size(self, side: Side) -> int:
        """Rows of that set."""
        return len(self.rows[side])

    def blocks(self, first: Side, second: Side) -> Iterator[tuple[slice, Tensor]]:
        """Blocks of rows of the centred products (n, m), float64; not to be changed."""
        if max(self.size(first), self.size(second)) <= _HELD_ROWS:
            yield slice(0, self.size(first)), self._whole(first, second)
            return
        step = max(1, _BLOCK_ELEMENTS // self.size(second))
        for start in range(0, self.size(first), step):
            rows = slice(start, start + step)
            yield rows, self.rows[first][rows] @ self.rows[second].T

    def plain(self, first: Side, second: Side, rows: slice, block: Tensor) -> Tensor:
        """The inner products x·y of a block's uncentred rows."""
        return block + self._offsets[first][rows, None] + self._offsets[second]

    def square_distances(self, first: Side, second: Side, rows: slice, block: Tensor) -> Tensor:
        """|x − y|² of a block, not below 0; good to 1e-12 of |x|² + |y|², not for ties."""
        norms = self.square_norms[first][rows, None] + self.square_norms[second]
        return norms.sub_(block, alpha=2).clamp_(min=0)

    def _whole(self, first: Side, second: Side) -> Tensor:
        if (second, first) in self._held:
            return self._held[second, first].T
        if (first, second) not in self._held:
            self._held[first, second] = self.rows[first] @ self.rows[second].T
        return self._held[first, second]


def gram_of(sets: FeatureSets) -> Gram:
    """The products of both sets, computed once for every metric."""
    return sets.once("gram", lambda: Gram(sets.candidates.rows, sets.references.rows))

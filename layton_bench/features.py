"""Runs every needed backbone once a batch; on-disk cache of reference features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from layton_bench.types import ScoredBatch


class Features(Protocol):
    """Where metrics get the features of a batch, each backbone run once however many ask."""

    def candidates(self, batch: ScoredBatch, backbone: str, tap: str) -> Tensor:
        """Features of the candidates, float32 (B, …)."""

    def references(self, batch: ScoredBatch, backbone: str, tap: str) -> Tensor:
        """Features of the paired references, from the cache where it has them."""

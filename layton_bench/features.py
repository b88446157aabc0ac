"""Runs every needed backbone once a batch; on-disk cache of reference features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from layton_bench.backbones import Backbone, BackboneSpec
from layton_bench.types import ScoredBatch

if TYPE_CHECKING:
    from torch import Tensor


class Features(Protocol):
    """Where metrics get the features of a batch, each backbone run once however many ask."""

    def candidates(self, batch: ScoredBatch, backbone: str, tap: str) -> Tensor:
        """Features of the candidates, float32 (B, …)."""

    def references(self, batch: ScoredBatch, backbone: str, tap: str) -> Tensor:
        """Features of the paired references, from the cache where it has them."""


class FeatureRunner:
    """Runs each backbone once a batch, however many metrics ask for its taps.

    Args:
        backbones: the registered ones, by name.
        find: finds installed weights by registry name.
        device: where backbones run.
        reference_key: what decides the references' pixels (data fingerprint, protocol, size).
    """

    def __init__(
        self,
        backbones: Mapping[str, BackboneSpec],
        find: Callable[[str], Path],
        *,
        device: str,
        reference_key: str,
    ) -> None:
        self._specs = backbones
        self._find = find
        self._device = device
        self.reference_key = reference_key
        self._loaded: dict[str, Backbone] = {}

    def candidates(self, batch: ScoredBatch, backbone: str, tap: str) -> Tensor:
        """Features of the candidates, float32 (B, …)."""
        taps = batch.shared(("candidates", backbone), lambda: self._run(backbone, batch.candidates))
        return taps[tap]

    def references(self, batch: ScoredBatch, backbone: str, tap: str) -> Tensor:
        """Features of the paired references, float32 (B, …)."""
        taps = batch.shared(
            ("references", backbone), lambda: self._run(backbone, batch.paired_references())
        )
        return taps[tap]

    def _run(self, name: str, images: Tensor) -> Mapping[str, Tensor]:
        if name not in self._loaded:
            self._loaded[name] = self._specs[name].load(self._find, self._device)
        return self._loaded[name](images.to(self._device))

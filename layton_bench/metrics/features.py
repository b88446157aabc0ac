"""Runs each backbone once per batch, and keeps features by sample.

Features are float32 rows (n, D) on the CPU. The rows of a batch are in memory once: all metrics
that read them hold the same ``FeatureChunk``. ``once`` does the same for what several metrics
compute from the same rows. Memory grows by 4·D bytes per sample and tap. The 2,048 features of FID
take 8 KiB per sample, 410 MB for 50,000 samples.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from layton_bench.errors import ModelOutputError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from layton_bench.metrics.backbones import Backbone, BackboneSpec
    from layton_bench.metrics.reference_cache import ReferenceCache
    from layton_bench.types import ScoredBatch

T = TypeVar("T")
_serials = itertools.count()
# Images in one pass of a backbone. Larger passes are not faster and need more memory.
_PASS_IMAGES = 32


_serials_of_arrays: dict[int, tuple[weakref.ref[NDArray[np.float32]], int]] = {}


def serial_of(rows: NDArray[np.float32]) -> int:
    """Return a number that is the same for the same array, as long as the array lives.

    Metrics that are loaded from one file share its arrays. By this number they know it.
    """
    known = _serials_of_arrays.get(id(rows))
    if known is not None and known[0]() is rows:
        return known[1]
    number = id(rows)
    reference = weakref.ref(rows, lambda _: _serials_of_arrays.pop(number, None))
    _serials_of_arrays[number] = (reference, next(_serials))
    return _serials_of_arrays[number][1]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FeatureChunk:
    """Features of some samples.

    Attributes:
        keys: one per row, without repetition.
        rows: float32 (n, D), read-only.
        serial: different for every chunk. It identifies the contents.
    """

    keys: tuple[str, ...]
    rows: NDArray[np.float32]
    serial: int = field(default_factory=lambda: next(_serials))

    def __post_init__(self) -> None:
        """Make the rows read-only, because several metrics share them."""
        if self.rows.ndim != 2 or len(self.keys) != len(self.rows):
            raise ValueError(f"{len(self.keys)} keys for rows of shape {self.rows.shape}")
        self.rows.flags.writeable = False


class FeatureRows:
    """Features of a growing set of samples. If a sample comes twice, its last row counts."""

    def __init__(self, chunks: Iterable[FeatureChunk] = ()) -> None:
        self._chunks = list(chunks)

    def add(self, chunk: FeatureChunk) -> None:
        """Add samples."""
        self._chunks.append(chunk)

    def merge(self, other: FeatureRows) -> None:
        """Add another set's samples. Their rows are shared, not copied."""
        self._chunks += other._chunks

    @property
    def identity(self) -> tuple[int, ...]:
        """Serials of the chunks: equal for two sets that hold the same chunks in the same order."""
        return tuple(chunk.serial for chunk in self._chunks)

    def collect(self) -> FeatureChunk:
        """Return all samples as one chunk, sorted by key."""
        where = {
            key: (number, row)
            for number, chunk in enumerate(self._chunks)
            for row, key in enumerate(chunk.keys)
        }
        keys = sorted(where)
        width = next((chunk.rows.shape[1] for chunk in self._chunks if chunk.keys), 0)
        rows = np.empty((len(keys), width), dtype=np.float32)
        for target, key in enumerate(keys):
            number, row = where[key]
            rows[target] = self._chunks[number].rows[row]
        return FeatureChunk(keys=tuple(keys), rows=rows)


class Features(Protocol):
    """Gives metrics their features. Each backbone runs once per batch."""

    def candidates(self, batch: ScoredBatch, backbone: str, tap: str) -> FeatureChunk:
        """Return features of the candidates."""

    def references(self, batch: ScoredBatch, backbone: str, tap: str) -> FeatureChunk:
        """Return features of the paired references, from the cache if they are there."""

    def once(self, name: Hashable, sets: Sequence[FeatureRows], compute: Callable[[], T]) -> T:
        """Return the result of ``compute``; compute it once for each name and sets."""


class FeatureRunner:
    """Loads each backbone when it is first used, and runs it once per batch.

    Args:
        backbones: name → spec.
        find: name of weights → installed file or folder. Raises MissingWeightsError.
        device: where backbones run, in torch's notation.
        cache: keeps features of references between runs. None keeps nothing.
    """

    def __init__(
        self,
        backbones: Mapping[str, BackboneSpec],
        find: Callable[[str], Path],
        *,
        device: str = "cpu",
        cache: ReferenceCache | None = None,
    ) -> None:
        self._specs = backbones
        self._find = find
        self._device = device
        self._cache = cache
        self._loaded: dict[str, Backbone] = {}
        self._once: dict[Hashable, object] = {}

    def candidates(self, batch: ScoredBatch, backbone: str, tap: str) -> FeatureChunk:
        """Return features of the candidates. Raise ModelOutputError if one is not finite."""
        found = batch.shared(
            ("features", "candidates", backbone),
            lambda: self._run(backbone, batch.keys, batch.candidates),
        )
        return batch.shared(
            ("rows", "candidates", backbone, tap),
            lambda: FeatureChunk(keys=batch.keys, rows=found[tap]),
        )

    def references(self, batch: ScoredBatch, backbone: str, tap: str) -> FeatureChunk:
        """Return features of the references. Raise ModelOutputError if one is not finite."""

        def look_up() -> FeatureChunk:
            if self._cache is not None:
                kept = self._cache.get(self._cache_key(backbone, tap), batch.keys)
                if kept is not None:
                    return FeatureChunk(keys=batch.keys, rows=kept)
            found = batch.shared(
                ("features", "references", backbone),
                lambda: self._run(backbone, batch.keys, batch.paired_references()),
            )
            if self._cache is not None:
                self._cache.put(self._cache_key(backbone, tap), batch.keys, found[tap])
            return FeatureChunk(keys=batch.keys, rows=found[tap])

        return batch.shared(("rows", "references", backbone, tap), look_up)

    def once(self, name: Hashable, sets: Sequence[FeatureRows], compute: Callable[[], T]) -> T:
        """Return the result of ``compute``, which is kept as long as this runner."""
        key = (name, tuple(rows.identity for rows in sets))
        if key not in self._once:
            self._once[key] = compute()
        value: T = self._once[key]  # type: ignore[assignment]
        return value

    def save(self) -> None:
        """Write new features of references to the cache. Call it once, after the run."""
        if self._cache is not None:
            self._cache.save()

    def _run(
        self, name: str, keys: Sequence[str], images: Tensor
    ) -> Mapping[str, NDArray[np.float32]]:
        """Return tap → float32 rows (B, D), computed in passes of at most 32 images."""
        import torch

        if name not in self._loaded:
            self._loaded[name] = self._specs[name].load(self._find, self._device)
        passes = [self._loaded[name](part) for part in torch.split(images, _PASS_IMAGES)]
        found = {
            tap: np.concatenate([p[tap].flatten(1).float().cpu().numpy() for p in passes])
            for tap in passes[0]
        }
        for tap, rows in found.items():
            bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
            if len(bad):
                reason = f"backbone '{name}' returned {tap} that is not finite for '{keys[bad[0]]}'"
                raise ModelOutputError(reason)
        return found

    def _cache_key(self, backbone: str, tap: str) -> tuple[str, ...]:
        """Return backbone, version, tap and the digests of its weights."""
        from layton_bench.weights import digest_of

        def digest() -> tuple[str, ...]:
            return tuple(digest_of(self._find(name)) for name in self._specs[backbone].weights)

        weights = self.once(("digest", backbone), (), digest)
        return (backbone, str(self._specs[backbone].version), tap, *weights)

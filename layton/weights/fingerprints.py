"""Which model does a file belong to? Published checkpoints by a digest of their keys and shapes.

`fingerprints.json` holds one digest per state-dict layout, and the names of the models with that
layout. (LlamaGen's class- and text-conditional tokenizers share one.) It answers one question: if a
file does not fit the requested model, which model does it fit?

`codebook_digest` answers another: do the codes of two models mean the same? `content_digest` tells
two folders of the same name apart.
"""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["codebook_digest", "content_digest", "fingerprint", "recognise"]

_BLOCKS, _BLOCK_BYTES = 256, 1 << 17  # of each file; smaller files are read whole

_NOT_COUNTED = ("codebook_used",)  # last parts of keys: statistics that may be missing
_LOSSES = "loss."  # prefix of the discriminator in Lightning checkpoints


def fingerprint(shapes: Mapping[str, Sequence[int]]) -> str:
    """16 hex digits: SHA-256 over the sorted lines "key d0,d1,…"."""
    lines = sorted(
        f"{key} {','.join(map(str, shape))}"
        for key, shape in shapes.items()
        if not key.startswith(_LOSSES) and key.rpartition(".")[2] not in _NOT_COUNTED
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def codebook_digest(codebook: NDArray[Any]) -> str:
    """16 hex digits: SHA-256 over code vectors (K, D) in float16, in which they may be kept."""
    return hashlib.sha256(codebook.astype("<f2").tobytes()).hexdigest()[:16]


def recognise(state: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Names of the published models with exactly these keys and shapes; none if unknown."""
    table: dict[str, list[str]] = json.loads(
        (files("layton.weights") / "fingerprints.json").read_text(encoding="utf-8")
    )
    return tuple(table.get(fingerprint({k: v.shape for k, v in state.items()}), ()))


def content_digest(files: Iterable[Path]) -> str:
    """6 hex digits: SHA-256 over the files' names, sizes and contents.

    Of files above 32 MiB, evenly spaced blocks are read, so that a folder of many GB takes little
    time. Fine-tuned weights differ nearly everywhere. The digest is for names: it cannot prove that
    two large files are equal.
    """
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        starts = range(0, max(size, 1), max(size // _BLOCKS, _BLOCK_BYTES))
        with path.open("rb") as file:
            for start in starts:
                file.seek(start)
                digest.update(file.read(_BLOCK_BYTES))
            file.seek(max(0, size - _BLOCK_BYTES))
            digest.update(file.read(_BLOCK_BYTES))
    return digest.hexdigest()[:6]

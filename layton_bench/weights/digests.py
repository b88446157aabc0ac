"""SHA-256 of files and folders."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from layton_bench.machine import open_regular


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in lower-case hex."""
    with open_regular(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_of(path: Path) -> str:
    """Return the SHA-256 of weights: of a file, or of all files in a folder but hidden ones."""
    if path.is_file():
        return sha256_of(path)
    files = [p for p in path.rglob("*") if p.is_file() and not p.name.startswith(".")]
    return joined_digest({p.relative_to(path).as_posix(): sha256_of(p) for p in files})


def joined_digest(digests: Mapping[str, str]) -> str:
    """Return one digest for several files: of their lines "digest  name", sorted by name."""
    lines = "\n".join(f"{digests[name]}  {name}" for name in sorted(digests))
    return hashlib.sha256(lines.encode()).hexdigest()

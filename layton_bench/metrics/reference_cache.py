"""Features of reference images, kept on disk between runs.

There is one safetensors file for each data fingerprint, preprocessing protocol, backbone, version,
digest of the weights and tap. It holds the rows, the digests of their images and a checksum. A file
is replaced as a whole, under a lock, together with rows that another run has added in the meantime.
A damaged file is reported once and replaced.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from layton_bench.datasets import UNREADABLE
from layton_bench.machine import write_whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float32]

# files of an older version have rows by name; nothing reads them
_ROWS = "rows by content"

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Table:
    """Rows by digest of the sample's content: those from disk, and new ones."""

    index: dict[str, int]
    rows: Rows | None
    fresh: dict[str, Rows] = field(default_factory=dict)


class ReferenceCache:
    """Kept features of one data set under one preprocessing protocol.

    A row belongs to a content, not to a name. If two files of a data set exchange their names, the
    fingerprint of the whole is the same, and each sample still gets its own features.

    Args:
        folder: where the files are. It is created when the first file is written.
        fingerprint: of the data set's contents.
        protocol: name, version and size of the preprocessing (``canonical@1:256``).
        contents: sample key → digest of the sample's bytes. Other samples are not kept.
    """

    def __init__(
        self, folder: Path, *, fingerprint: str, protocol: str, contents: Mapping[str, str]
    ) -> None:
        self._folder = folder
        self._data = (_ROWS, fingerprint, protocol)
        self._contents = {key: d for key, d in contents.items() if d != UNREADABLE}
        self._tables: dict[tuple[str, ...], _Table] = {}

    def get(self, key: tuple[str, ...], samples: Sequence[str]) -> Rows | None:
        """Return rows float32 (n, D) of these samples, or None if one of them is missing.

        Args:
            key: backbone, version, tap and digests of the weights.
            samples: sample keys.
        """
        table = self._table(key)
        contents = [self._contents.get(sample, "") for sample in samples]
        if table.rows is None or any(content not in table.index for content in contents):
            return None
        kept: Rows = table.rows[[table.index[content] for content in contents]]
        return kept

    def put(self, key: tuple[str, ...], samples: Sequence[str], rows: Rows) -> None:
        """Keep rows. ``save`` writes them to disk."""
        fresh = self._table(key).fresh
        for sample, row in zip(samples, rows, strict=True):
            if sample in self._contents:
                fresh[self._contents[sample]] = row

    def save(self) -> None:
        """Write new rows. If that is not possible, log a warning."""
        for key, table in self._tables.items():
            if not table.fresh:
                continue
            try:
                self._write(key, table.fresh)
            except OSError as error:
                _log.warning("features of references cannot be kept: %s", error)
                return
            table.fresh = {}

    def path(self, key: tuple[str, ...]) -> Path:
        """Return the file of these features."""
        name = hashlib.sha256("\n".join((*self._data, *key)).encode()).hexdigest()
        return self._folder / f"{key[0]}-{name[:32]}.safetensors"

    def _table(self, key: tuple[str, ...]) -> _Table:
        if key not in self._tables:
            index, rows = _read(self.path(key))
            self._tables[key] = _Table(index=index, rows=rows)
        return self._tables[key]

    def _write(self, key: tuple[str, ...], fresh: dict[str, Rows]) -> None:
        from filelock import FileLock
        from safetensors.numpy import save

        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            index, kept = _read(path)  # another run may have written since
            table = {sample: kept[row] for sample, row in index.items() if kept is not None} | fresh
            rows = np.stack([table[sample] for sample in table])
            content = {
                "samples": json.dumps(list(table)), "sha256": _checksum(list(table), rows),
                "of": json.dumps([*self._data, *key]),
            }  # fmt: skip
            write_whole(path, save({"rows": rows}, metadata=content))


def _read(path: Path) -> tuple[dict[str, int], Rows | None]:
    """Return sample → row number, and the rows; nothing if there is no usable file."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return {}, None
    try:
        with safe_open(path, framework="numpy") as file:
            content: dict[str, Any] = file.metadata() or {}
            rows: Rows = file.get_tensor("rows")
        samples: list[str] = json.loads(content["samples"])
        if content["sha256"] != _checksum(samples, rows):
            raise ValueError("its checksum does not match")
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        _log.warning("features in %s are damaged (%s); they will be computed again", path, error)
        path.unlink(missing_ok=True)
        return {}, None
    return {sample: row for row, sample in enumerate(samples)}, rows


def _checksum(samples: Sequence[str], rows: Rows) -> str:
    digest = hashlib.sha256(json.dumps(list(samples)).encode())
    digest.update(np.ascontiguousarray(rows).tobytes())
    return digest.hexdigest()

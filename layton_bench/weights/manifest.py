"""What is installed of an entry: digest, size and time of each file, written by the store.

``<root>/<name>/.installed.json`` lists the installed files. ``<root>/<name>.pins.json`` keeps the
digest of what was first installed under each name, also after the folder is deleted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from layton_bench.errors import MissingWeightsError, UserError
from layton_bench.machine import read_json, write_whole
from layton_bench.weights.digests import sha256_of


class Manifest:
    """Installed files of one entry.

    Args:
        root: folder of all installed weights.
        name: the entry.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.folder = root / name
        self._name = name
        self._path = self.folder / ".installed.json"
        self._pins_path = root / f"{name}.pins.json"

    def __bool__(self) -> bool:
        """Return whether any file is installed."""
        return bool(self._records())

    def has(self, path: str) -> bool:
        """Return whether a file is installed and has the size that was verified."""
        record = self._records().get(path)
        return record is not None and _size(self.folder / path) == record.get("size")

    def is_sound(self, path: str) -> bool:
        """Return whether a file is installed and still has its digest; reads the file."""
        record = self._records().get(path)
        target = self.folder / path
        if record is None or not target.is_file():
            return False
        return sha256_of(target) == record.get("sha256")

    def digests(self) -> dict[str, str]:
        """Return the digest of each installed file.

        A file whose size or time has changed since it was verified is read again.

        Raises:
            MissingWeightsError: a file has changed since it was installed.
        """
        return {path: self._checked(path, record) for path, record in self._records().items()}

    def is_own(self, path: str) -> bool:
        """Return whether a file is the user's own, not known to be the published one."""
        return self._records().get(path, {}).get("is_own") is True

    def pin(self, path: str) -> str | None:
        """Return the digest of what was first installed under that name."""
        found = _read(self._pins_path).get(path)
        return found if isinstance(found, str) else None

    def enter(self, path: str, source_sha256: str, *, is_own: bool = False) -> None:
        """Add a file, as the last step of its installation: without it the file does not count.

        Args:
            path: the file.
            source_sha256: digest of what it was made from, which later downloads must have too.
            is_own: whether it is the user's own; then nothing is expected of downloads.
        """
        target = self.folder / path
        stat = target.stat()
        record = {
            "sha256": sha256_of(target), "size": stat.st_size, "mtime_ns": stat.st_mtime_ns,
            "is_own": is_own,
        }  # fmt: skip
        if not is_own:
            _write(self._pins_path, _read(self._pins_path) | {path: source_sha256})
        _write(self._path, self._records() | {path: record})

    def _records(self) -> dict[str, dict[str, Any]]:
        records = _read(self._path).items()
        return {path: record for path, record in records if isinstance(record, dict)}

    def _checked(self, path: str, record: Mapping[str, Any]) -> str:
        target = self.folder / path
        stat = target.stat()
        digest = str(record.get("sha256"))
        is_unchanged = (stat.st_size, stat.st_mtime_ns) == (
            record.get("size"), record.get("mtime_ns"),
        )  # fmt: skip
        if not is_unchanged and sha256_of(target) != digest:
            raise MissingWeightsError(
                f"weights '{self._name}'",
                f"{path} has changed since it was installed",
                f"Delete {target} and run layton-bench weights pull {self._name}.",
            )
        return digest


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _read(path: Path) -> dict[str, Any]:
    """Return the object in a file; an empty one if the file is missing or damaged."""
    try:
        loaded = read_json(path)
    except UserError:
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _write(path: Path, content: Mapping[str, Any]) -> None:
    write_whole(path, json.dumps(content, indent=1, sort_keys=True) + "\n")

"""What is known about weights before they are installed: address, digest, size, licence."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_NAME = re.compile(r"[a-z0-9][a-z0-9._+-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsFile:
    """One file of an entry.

    Attributes:
        path: name inside the entry's folder, with forward slashes.
        url: http(s) address, or ``hub://owner/repo/revision/path`` on the Hugging Face hub. Empty
            if the weights have no public address: then only ``add`` can install them.
        sha256: digest, or its first eight or more digits if the publisher gives only these, in the
            file's name (torch hub does). None if no digest is published.
        size_bytes: None if not known.
    """

    path: str
    url: str
    sha256: str | None = None
    size_bytes: int | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a path that leaves the entry's folder."""
        parts = PurePosixPath(self.path).parts
        if not parts or self.path.startswith("/") or ".." in parts or "\\" in self.path:
            raise ValueError(f"not a path inside an entry: {self.path!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsEntry:
    """Weights of one network, and where to get them.

    Attributes:
        name: name that metrics and models use (``inception-fid``).
        files: one or more. ``find`` returns the path of a single file, or the folder of several.
        licence: licence of the weights, as SPDX identifier if there is one.
        used_by: metrics and models that need the weights.
        summary: one line for ``weights list``.
        needs: other entries that are used with it; ``weights pull`` fetches them too.
        instead: what to use if no file is published, as a sentence.
        check: raises UserError for a file that the user adds and that is not of this network.
    """

    name: str
    files: tuple[WeightsFile, ...]
    licence: str
    used_by: tuple[str, ...] = ()
    summary: str = ""
    needs: tuple[str, ...] = ()
    instead: str = ""
    check: Callable[[Path], None] | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a name that is not a folder name, or if there are no files."""
        if not _NAME.fullmatch(self.name) or not self.files:
            raise ValueError(f"not a weights entry: {self.name!r} with {len(self.files)} files")

    @property
    def size_bytes(self) -> int | None:
        """Total size of all files; None if one is not known."""
        sizes = [file.size_bytes for file in self.files]
        return None if None in sizes else sum(size or 0 for size in sizes)


def hub_file(
    repo: str, path: str, *, revision: str = "main", sha256: str | None = None,
    size_bytes: int | None = None, save_as: str = "",
) -> WeightsFile:  # fmt: skip
    """Return a file of a Hugging Face repository; ``save_as`` is its own name by default."""
    return WeightsFile(
        path=save_as or PurePosixPath(path).name, url=f"hub://{repo}/{revision}/{path}",
        sha256=sha256, size_bytes=size_bytes,
    )  # fmt: skip

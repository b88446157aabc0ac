"""Where the files of a tar archive are, so that each can be read at once, without unpacking.

Only headers are read. Read are ordinary and sparse files, hard and symbolic links to members, and
archives that were joined end to end. Whatever else looks like a picture is listed with the reason
why it is left out.
"""

from __future__ import annotations

import posixpath
import stat
import tarfile
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

from layton.errors import ImageError
from layton.images.finding import is_hidden, is_image_name
from layton.images.reading import MAX_FILE_BYTES

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Archive", "Span", "read_index", "read_span"]

# GNU tar pads to 10 KiB, and to 512 KiB at most as it is used
_MOST_PADDING = 16 << 20
_MOST_NAME_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Span:
    """Where a member's bytes are.

    Attributes:
        offset: of its data in the archive.
        size: of the file.
        parts: of a sparse file: (position in the file, bytes) of all that is not zero.
    """

    offset: int
    size: int
    parts: tuple[tuple[int, int], ...] | None = None


@dataclass(slots=True)
class Archive:
    """The members of an archive.

    Attributes:
        spans: name → place, in the order of the archive. Names have no ``./`` and no first slash.
        left_out: name → reason.
        damage: what is wrong with the archive as a whole; empty if nothing is.
    """

    spans: dict[str, Span] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    damage: str = ""


def read_index(path: Path) -> Archive:
    """Read the headers of an uncompressed archive. Hidden members do not count.

    Raises:
        ImageError: there is no such file, it is no regular file, or it cannot be read.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ImageError(str(path), "it is not a regular file", "Leave it out.")
        with path.open("rb") as file:
            return _Index(file).archive
    except FileNotFoundError:
        raise ImageError(str(path), "there is no such file", "Check the path.") from None
    except OSError as error:
        reason = f"it cannot be read: {error.strerror or error}"
        raise ImageError(str(path), reason, "Check the file.") from None


def read_span(path: Path, span: Span) -> bytes:
    """Return a member's bytes.

    Raises:
        ImageError: the archive cannot be read, or ends before the member does.
    """
    try:
        with path.open("rb") as file:
            file.seek(span.offset)
            if span.parts is None:
                return _exactly(file, span.size)
            content = bytearray(span.size)
            for position, size in span.parts:
                content[position : position + size] = _exactly(file, size)
            return bytes(content)
    except OSError as error:
        reason = f"cannot be read: {error.strerror or error}"
        raise ImageError(str(path), reason, "Check the file.") from None


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        reason = f"cut short: the archive holds {len(data)} of {size} bytes"
        raise ImageError("archive", reason, "Fetch the archive again.")
    return data


class _Info(tarfile.TarInfo):
    """A header whose sizes are checked before anything is read for it."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        is_about_next = self.type in (
            tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE,
            tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE,
        )  # fmt: skip
        if self.size < 0 or (is_about_next and self.size > _MOST_NAME_BYTES):
            raise tarfile.HeaderError(f"a header gives the size {self.size}")
        info: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
        return info


class _Index:
    """The reading of one archive."""

    def __init__(self, file: BinaryIO) -> None:
        self.archive = Archive()
        self._file = file
        self._spans: dict[str, Span] = {}
        self._links: dict[str, str] = {}
        self._order: dict[str, None] = {}
        start: int | None = 0
        while start is not None:
            start = self._read_from(start)
        self._follow_links()

    def _read_from(self, start: int) -> int | None:
        """Read one archive; return where another begins behind it."""
        end = start
        try:
            self._file.seek(start)
            with tarfile.open(fileobj=self._file, mode="r:", tarinfo=_Info) as archive:
                for member in archive:
                    if member.size < 0 or archive.offset <= end:
                        raise tarfile.HeaderError("its members go round in a circle")
                    end = archive.offset
                    self._add(member)
                end = archive.offset
        except Exception as error:  # damaged headers raise many kinds
            self.archive.damage = str(error) or type(error).__name__
            return None
        following = self._skip_zeros(end)
        if following == end:
            self.archive.damage = "it has no end mark"
            return None
        return following

    def _skip_zeros(self, start: int) -> int | None:
        """Return the first block from ``start`` on that is not zero; None where the file ends."""
        position = start
        while position - start < _MOST_PADDING:
            self._file.seek(position)
            block = self._file.read(tarfile.BLOCKSIZE)
            if not block:
                return None if position > start else start
            if block.strip(b"\0"):
                return position
            position += tarfile.BLOCKSIZE
        return None

    def _add(self, member: tarfile.TarInfo) -> None:
        """Note where a member is, where it links to, or why it is left out."""
        name = posixpath.normpath(member.name.lstrip("/"))
        if member.isdir() or any(is_hidden(part) and part != ".." for part in name.split("/")):
            return
        if name in self._spans or name in self._links:
            # as when the archive is unpacked, a later member replaces an earlier one
            self._leave_out(name, "another member of the same name follows")
            self._spans.pop(name, None)
            self._links.pop(name, None)
        self._order[name] = None
        if ".." in PurePosixPath(member.name).parts:
            self._leave_out(name, "its name leads out of the archive's folder")
        elif member.islnk():
            self._links[name] = posixpath.normpath(member.linkname.lstrip("/"))
        elif member.issym():
            target = posixpath.join(posixpath.dirname(name), member.linkname)
            self._links[name] = posixpath.normpath(target)
        elif not member.isreg():
            self._leave_out(name, "it is neither a file nor a link")
        elif member.size > MAX_FILE_BYTES:
            self._leave_out(name, f"it is too large: {member.size:,} bytes")
        elif (parts := _parts(member)) is None:
            self._leave_out(name, "its sparse parts do not fit its size")
        else:
            is_sparse = member.sparse is not None
            self._spans[name] = Span(member.offset_data, member.size, parts if is_sparse else None)

    def _leave_out(self, name: str, reason: str) -> None:
        if is_image_name(PurePosixPath(name).name):
            self.archive.left_out[name] = reason

    def _follow_links(self) -> None:
        for name in self._order:
            target, passed = name, set[str]()
            while target in self._links and target not in passed:
                passed.add(target)
                target = self._links[target]
            if target in self._spans:
                self.archive.spans[name] = self._spans[target]
            elif name in self._links:
                self._leave_out(name, f"it links to {target}, which is not in the archive")


def _parts(member: tarfile.TarInfo) -> tuple[tuple[int, int], ...] | None:
    """The parts of a sparse file, () for an ordinary one, None for parts that cannot be."""
    listed: Any = member.sparse or ()
    parts = tuple((position, size) for position, size in listed if size)
    end = 0
    for position, size in parts:
        if position < end or size < 0:
            return None
        end = position + size
    return parts if end <= member.size else None

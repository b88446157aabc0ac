"""Whether a file is the weights it should be: by its digest, or by the structure of its format."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

from layton_bench.errors import MissingWeightsError
from layton_bench.weights.checkpoint import is_safetensors
from layton_bench.weights.digests import sha256_of

_HEAD_BYTES = 1024
_MAX_HEADER_BYTES = 100_000_000
"""Limit of the safetensors format itself."""

_WHOLE_DIGEST = 64


def checked_digest(
    path: Path,
    *,
    name: str,
    source: str,
    sha256: str | None,
    remedy: str,
    may_be_another: bool = False,
) -> str:
    """Return the SHA-256 of a file; what is not the expected file is refused.

    Args:
        path: the file.
        name: name it is installed under; its suffix says which format it must have.
        source: where it is from, for messages.
        sha256: expected digest, or its first digits; None if not known.
        remedy: what the user can do if it is refused.
        may_be_another: accept another digest, if the file is of the format.

    Raises:
        MissingWeightsError: another digest. If no whole digest is known: not of the format.
    """
    digest = sha256_of(path)
    is_expected = sha256 is not None and digest.startswith(sha256)
    if sha256 is not None and not is_expected and not may_be_another:
        raise MissingWeightsError(source, f"its SHA-256 is {digest}, expected {sha256}", remedy)
    if not is_expected or len(sha256 or "") < _WHOLE_DIGEST:
        problem = format_problem(path, name)
        if problem:
            raise MissingWeightsError(source, problem, remedy)
    return digest


def format_problem(path: Path, name: str) -> str:
    """Return why a file is not of the format that its name says; "" if it is."""
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    if not head:
        return "it is empty"
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html", b"<?xml")):
        return "it is a web page, not weights"
    if head.startswith(b"version https://git-lfs"):
        return "it is a pointer of git-lfs, not the file itself"
    suffix = Path(name).suffix.lower()
    is_right, of_format = _FORMATS.get(suffix, (lambda _: True, ""))
    return "" if is_right(path) else f"it is not {of_format}"


def _is_whole_safetensors(path: Path) -> bool:
    """Return whether header and size agree."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        prefix = stream.read(8)
        if len(prefix) < 8:
            return False
        (length,) = struct.unpack("<Q", prefix)
        if length > min(_MAX_HEADER_BYTES, size - 8):
            return False
        try:
            header = json.loads(stream.read(length))
            tensors = {k: v for k, v in header.items() if k != "__metadata__"}
            ends = [int(tensor["data_offsets"][1]) for tensor in tensors.values()]
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
            return False
    return max([0, *ends]) == size - 8 - int(length)


def _is_torch(path: Path) -> bool:
    """Return whether it is a torch file: a zip archive, a pickle, or safetensors in its place."""
    with path.open("rb") as stream:
        start = stream.read(2)
    is_pickle = start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    return is_pickle or _is_zip(path) or (is_safetensors(path) and _is_whole_safetensors(path))


def _is_zip(path: Path) -> bool:
    """Return whether it is a zip archive; its directory is at the end, so it is complete."""
    return zipfile.is_zipfile(path)


def _is_matlab(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(8).startswith((b"MATLAB", b"\x89HDF"))


def _is_json(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_bytes()), dict | list)
    except (ValueError, RecursionError):
        return False


def _is_text(path: Path) -> bool:
    try:
        path.read_bytes().decode()
    except UnicodeDecodeError:
        return False
    return True


_Check = tuple[Callable[[Path], bool], str]
_TORCH: _Check = (_is_torch, "a whole file of torch (a zip archive or a pickle)")
_ZIP: _Check = (_is_zip, "a whole zip archive")
_FORMATS: dict[str, _Check] = {
    ".safetensors": (_is_whole_safetensors, "a whole safetensors file"),
    ".pth": _TORCH, ".pt": _TORCH, ".ckpt": _TORCH, ".bin": _TORCH,
    ".zip": _ZIP, ".npz": _ZIP,
    ".mat": (_is_matlab, "a MATLAB file"),
    ".json": (_is_json, "JSON"),
    ".txt": (_is_text, "UTF-8 text"),
}  # fmt: skip
"""Suffix → test, and what the file should be."""

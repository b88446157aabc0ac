"""From names of files to keys of samples, and sentences about the files that are left out."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath


def readable(name: str) -> str:
    """Return a name as text that every file and terminal can hold, in one spelling.

    Some systems store é as one character and some as two (Unicode's NFC and NFD): it becomes one.
    A byte that is no UTF-8, as in names from older systems, becomes ``%E9``.
    """
    if not name.isascii():
        name = "".join(_percent(c) if 0xD800 <= ord(c) <= 0xDFFF else c for c in name)
    return unicodedata.normalize("NFC", name)


def _percent(surrogate: str) -> str:
    # Python keeps the byte 0xE9 of a name as the character U+DCE9
    code = ord(surrogate)
    return f"%{code - 0xDC00:02X}" if 0xDC80 <= code <= 0xDCFF else f"%u{code:04X}"


def natural_key(text: str) -> tuple[tuple[tuple[int, str], ...], str]:
    """Sorting key in which runs of digits count as numbers; ties are broken by the text itself."""
    parts = re.split(r"([0-9]+)", text)
    pieces = (_number(part) if i % 2 else (-1, part) for i, part in enumerate(parts))
    return tuple(pieces), text


def _number(digits: str) -> tuple[int, str]:
    # of two numbers the one with more digits is larger; int() refuses numbers of 5,000 digits
    value = digits.lstrip("0")
    return len(value), value


def stem_of(path: str) -> str:
    """Return the key of a relative path: without extension, in one spelling."""
    return readable(str(PurePosixPath(path).with_suffix("")))


def unique_keys(paths: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Return keys of relative paths: without extension, unless that would make two the same.

    Returns:
        The keys in order, and a note if several files have one name.
    """
    stems = [stem_of(path) for path in paths]
    twice = repeated(stems)
    keys = [readable(path) if s in twice else s for path, s in zip(paths, stems, strict=True)]
    same = repeated(keys)  # the same letters, stored in two ways
    keys = [_as_stored(path) if k in same else k for path, k in zip(paths, keys, strict=True)]
    if not twice:
        return keys, ()
    return keys, (f"several files are named {and_more(list(twice))}: each keeps its extension",)


def _as_stored(path: str) -> str:
    return "".join(c if c.isascii() else f"%{byte:02X}" for c in path for byte in _bytes(c))


def _bytes(character: str) -> bytes:
    return character.encode("utf-8", "surrogateescape")


def repeated(names: Iterable[str]) -> dict[str, int]:
    """Return the names that occur more than once and how often, in order of first appearance."""
    return {name: count for name, count in Counter(names).items() if count > 1}


def left_out_notes(where: str, left_out: Mapping[str, str]) -> list[str]:
    """Return a sentence for each reason why files of a folder or archive are left out."""
    names: dict[str, list[str]] = defaultdict(list)
    for name, reason in left_out.items():
        names[reason].append(readable(name))
    return [f"{readable(where)}: {and_more(n)} left out: {why}" for why, n in names.items()]


def and_more(names: Sequence[str]) -> str:
    """Return the first name and the number of the others."""
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1:,} more"

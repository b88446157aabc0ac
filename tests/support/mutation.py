"""Seeded damage to the bytes of a file, and values that no file should hold."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

SEED = 20261130

_EXTREMES = (b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80")

HOSTILE: tuple[Any, ...] = (
    None, True, -1, 0, 10**400, 1e308, float("nan"), float("inf"), "", "\0", "\ud800", "x" * 10**5,
    "../../etc/passwd", "<script>alert(1)</script>", "\x1b[31m", "=1+1", [], {}, [[]], {"a": {}},
    ["x"] * 1000,
)  # fmt: skip
"""Values put in place of others in JSON."""


def damaged(data: bytes, name: str, count: int) -> Iterator[bytes]:
    """Yield ``count`` damaged copies of a file; the same for the same name and count or more."""
    for number in range(count):
        rng = np.random.default_rng([SEED, zlib.crc32(name.encode()), number])
        copy = bytearray(data)
        for _ in range(int(rng.integers(1, 4))):
            copy = _DAMAGES[int(rng.integers(len(_DAMAGES)))](copy, rng)
        yield bytes(copy)


def replaced(value: Any, name: str, count: int) -> Iterator[Any]:
    """Yield copies of a JSON value in which one value is replaced by a hostile one, or missing."""
    places = list(_places(value))
    for number in range(count):
        rng = np.random.default_rng([SEED, zlib.crc32(name.encode()), number])
        place = places[int(rng.integers(len(places)))]
        hostile = HOSTILE[int(rng.integers(len(HOSTILE)))]
        yield _with(value, place, hostile, is_missing=bool(rng.random() < 0.1))


def _cut(copy: bytearray, rng: np.random.Generator) -> bytearray:
    return copy[: int(rng.integers(len(copy) + 1))]


def _flip(copy: bytearray, rng: np.random.Generator) -> bytearray:
    for _ in range(int(rng.integers(1, 9))):
        if copy:
            copy[int(rng.integers(len(copy)))] ^= 1 << int(rng.integers(8))
    return copy


def _overwrite(copy: bytearray, rng: np.random.Generator) -> bytearray:
    start, size = _piece(copy, rng)
    copy[start : start + size] = rng.bytes(size) if rng.random() < 0.5 else bytes(size)
    return copy


def _extreme(copy: bytearray, rng: np.random.Generator) -> bytearray:
    start = int(rng.integers(max(1, len(copy) - 3)))
    copy[start : start + 4] = _EXTREMES[int(rng.integers(len(_EXTREMES)))]
    return copy


def _remove(copy: bytearray, rng: np.random.Generator) -> bytearray:
    start, size = _piece(copy, rng)
    del copy[start : start + size]
    return copy


def _repeat(copy: bytearray, rng: np.random.Generator) -> bytearray:
    start, size = _piece(copy, rng)
    copy[start:start] = copy[start : start + size] * int(rng.integers(1, 4))
    return copy


def _insert(copy: bytearray, rng: np.random.Generator) -> bytearray:
    start = int(rng.integers(len(copy) + 1))
    copy[start:start] = rng.bytes(int(rng.integers(1, 64)))
    return copy


def _digits(copy: bytearray, rng: np.random.Generator) -> bytearray:
    """Change numbers that are written in digits, as tar headers and JSON have them."""
    places = [i for i, byte in enumerate(copy) if 48 <= byte <= 57]
    for _ in range(min(len(places), 4)):
        copy[places[int(rng.integers(len(places)))]] = int(rng.choice(list(b"0179-9e.")))
    return copy


_DAMAGES = (_cut, _flip, _overwrite, _extreme, _remove, _repeat, _insert, _digits)


def _piece(copy: bytearray, rng: np.random.Generator) -> tuple[int, int]:
    start = int(rng.integers(len(copy) + 1))
    return start, min(len(copy) - start, int(rng.integers(1, 600)))


def _places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if at:
        yield at
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _places(inner, (*at, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _places(inner, (*at, number))


def _with(value: Any, at: tuple[Any, ...], hostile: Any, *, is_missing: bool) -> Any:
    if not at:
        return hostile
    copy = dict(value) if isinstance(value, dict) else list(value)
    if is_missing and len(at) == 1:
        del copy[at[0]]
    else:
        copy[at[0]] = _with(copy[at[0]], at[1:], hostile, is_missing=is_missing)
    return copy

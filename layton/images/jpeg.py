"""Tell whether a JPEG file holds its whole picture.

libjpeg fills what is missing with grey and only warns, and Pillow does not pass the warning on. A
file with half of its data and an end marker is therefore read without a word. The tests here use
what libjpeg does say: it asks for more data as long as no marker follows. (ITU-T T.81 has the
format: B.1.1 markers, B.2 segments, G.1 progressive scans.)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["equal_readings"]

_EOI, _SOS = 0xD9, 0xDA
_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1), 0xC2  # with Huffman codes; SOF0, SOF1, SOF2
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}

# any marker but the restarts, which belong to the data of a scan
_END_OF_SCAN = re.compile(rb"\xff+[\x01-\xcf\xd8-\xfe]")

# libjpeg reads at most 8 bytes ahead. All ones is no code word (T.81, annex C): 8 such bytes hold
# out for two blocks at most. A picture that lacks more is not finished with them.
_AHEAD = b"\xff\x00" * 8

# bits that give other blocks than grey, if the decoder still asks for some
_NOISE = bytes((37 * i + 11) % 251 for i in range(512))


@dataclass(frozen=True, slots=True)
class _Scan:
    """One pass over a part of the picture: components, coefficients first … last, lowest bit."""

    components: tuple[int, ...]
    first: int
    last: int
    low_bit: int


@dataclass(slots=True)
class _Layout:
    """What the segments of a file say.

    Attributes:
        frame: the marker of the frame: which kind of JPEG it is.
        components: those that the frame announces.
        scans: in order.
        end: where the end marker is; -1 where there is none.
    """

    frame: int
    components: tuple[int, ...]
    scans: list[_Scan]
    end: int = -1


def equal_readings(data: bytes) -> Sequence[bytes]:
    """Return files that decode to the same picture if ``data`` is whole.

    The first is to be decoded. If it raises, or another gives other pixels, the file is cut short.
    Files that are no JPEG, or of a rare kind (arithmetic codes, lossless), come back as they are.

    Raises:
        ValueError: whole scans are missing.
    """
    layout = _layout(data) if data.startswith(b"\xff\xd8\xff") else None
    if layout is None or layout.end < 0:
        return (data,)
    if layout.frame in _SEQUENTIAL and len(layout.scans) == 1:
        _require_all_components(layout)
        return (data[: layout.end] + _AHEAD,)
    if layout.frame in _SEQUENTIAL:
        _require_all_components(layout)
    elif layout.frame == _PROGRESSIVE:
        _require_all_bits(layout)
    else:
        return (data,)
    # libjpeg wants the end marker before it starts on several scans
    return data, data[: layout.end] + _noise(data, layout.end) + b"\xff\xd9"


def _noise(data: bytes, end: int) -> bytes:
    """Bits for the rest of a restart interval and of those after it, if one is still open."""
    restart = max(data.rfind(bytes((0xFF, 0xD0 + n)), 0, end) for n in range(8))
    after = data[restart + 1] & 7 if restart >= 0 else 7
    return b"".join(_NOISE + bytes((0xFF, 0xD0 + (after + n) % 8)) for n in range(1, 9))


def _require_all_components(layout: _Layout) -> None:
    if {c for scan in layout.scans for c in scan.components} < set(layout.components):
        raise ValueError("truncated: a colour component is missing")


def _require_all_bits(layout: _Layout) -> None:
    """Refuse a progressive file that does not get to bit 0 of every coefficient."""
    lacking = {(c, k) for c in layout.components for k in range(64)}
    for scan in layout.scans:
        if scan.low_bit == 0:
            lacking -= {(c, k) for c in scan.components for k in range(scan.first, scan.last + 1)}
    if lacking:
        raise ValueError("truncated: the last scans are missing")


def _layout(data: bytes) -> _Layout | None:
    """The parts of a file; None for one that a decoder must judge."""
    layout: _Layout | None = None
    for marker, start, body in _segments(data):
        if marker in _FRAMES:
            if layout is not None or len(body) < 6 or len(body) < 6 + 3 * body[5]:
                return None
            layout = _Layout(marker, tuple(body[6 : 6 + 3 * body[5] : 3]), [])
        elif layout is not None and marker == _SOS:
            count = body[0] if body else 0
            if len(body) < 4 + 2 * count:
                return None
            first, last, bits = body[1 + 2 * count : 4 + 2 * count]
            layout.scans.append(_Scan(tuple(body[1 : 1 + 2 * count : 2]), first, last, bits & 15))
        elif layout is not None and layout.scans and marker == _EOI:
            layout.end = start
        elif marker == _EOI:
            return None
    return layout if layout is not None and layout.scans else None


def _segments(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Marker, its place, and the segment's content, up to the end marker or the end of the data."""
    position = 2
    while (start := data.find(b"\xff", position)) >= 0:
        place = start
        while place < len(data) and data[place] == 0xFF:
            place += 1
        if place >= len(data):
            return
        marker = data[place]
        position = place + 1
        if marker == 0 or marker in _WITHOUT_LENGTH:
            continue
        if marker == _EOI:
            yield marker, start, b""
            return
        length = int.from_bytes(data[position : position + 2], "big")
        yield marker, start, data[position + 2 : position + length]
        position += max(length, 2)
        if marker == _SOS:
            position = _end_of_scan(data, position)


def _end_of_scan(data: bytes, position: int) -> int:
    # the data of a scan hold neither of these two markers; to find them is quick
    end = data.find(b"\xff\xd9", position)
    if end >= 0 and data.find(b"\xff\xda", position, end) < 0:
        return end
    found = _END_OF_SCAN.search(data, position)
    return found.start() if found else len(data)

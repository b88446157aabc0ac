"""Levels of any depth → 8 bits: v of b bits becomes round(255 v / (2^b − 1)), alpha too.

Pillow keeps the high byte of 16-bit colour, which is up to one level less. The low byte is read
in a second pass: the same data, with the order of bytes exchanged.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["load_8_bits"]

_WIDE = ("RGB", "RGBA", "RGBa", "RGBX", "CMYK")
_OTHER_BYTE = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}

_VALUES_AT_A_TIME = 1 << 20

# tags of TIFF 6.0
_BITS, _PHOTOMETRIC, _PLANAR, _SAMPLE_FORMAT = 258, 262, 284, 339
_WHITE_IS_ZERO, _UNSIGNED, _SEPARATE = 0, 1, 2


def load_8_bits(image: Image.Image, reopen: Callable[[], Image.Image]) -> Image.Image:
    """Load a picture with 8 bits for each channel.

    Args:
        image: opened and not loaded yet.
        reopen: opens the same picture again.

    Raises:
        ValueError: its values have no defined range, or it is stored in a way that is not read.
        OSError: the data are damaged.
    """
    _refuse_what_has_no_range(image)
    name, _, packing = _rawmode(image).partition(";")
    if image.mode.startswith("I"):
        return _grey(image, packing)
    if name in _WIDE and packing in _OTHER_BYTE:
        return _colour(image, reopen, name, packing)
    if (name, packing) == ("LA", "16B"):
        return _grey_and_alpha(image)
    image.load()
    if image.mode == "L" and packing in ("2", "4") and "transparency" in image.info:
        # the levels have been scaled by Pillow, the transparent one has not
        image.info["transparency"] *= 255 // (2 ** int(packing) - 1)
    return image


def _refuse_what_has_no_range(image: Image.Image) -> None:
    if image.mode == "F":
        raise ValueError("floating-point pixels have no defined range; save it as 8 or 16 bit")
    if image.format == "TIFF":
        if set(_tag(image, _SAMPLE_FORMAT, _UNSIGNED)) != {_UNSIGNED}:
            raise ValueError("signed pixels have no defined range; save it as 8 or 16 bit")
        bits = max(_tag(image, _BITS, 1))
        if bits > 16:
            raise ValueError(f"{bits}-bit pixels have no defined range; save it as 8 or 16 bit")
        is_separate = _tag(image, _PLANAR, 1) == (_SEPARATE,) and len(image.getbands()) > 1
        if bits == 16 and is_separate:  # Pillow reads other pixels
            raise ValueError("16-bit channels are stored one by one; save it with them interleaved")
    if image.format == "JPEG2000" and image.mode not in ("L", "I;16") and _jpeg2000_bits(image) > 8:
        # OpenJPEG's caller rounds 255.5 and above to 0
        raise ValueError("JPEG 2000 in colour is read with 8 bits only; save it as PNG or TIFF")


def _grey(image: Image.Image, packing: str) -> Image.Image:
    values = _loaded(image)
    largest = 4095 if packing == "12" else 65535
    is_inverted = image.format == "TIFF" and _tag(image, _PHOTOMETRIC, 1) == (_WHITE_IS_ZERO,)

    def rows(part: slice) -> NDArray[np.int64]:
        found = values[part].astype(np.int64)
        return largest - found if is_inverted else found  # Pillow does so for 8 bits

    return _reduced(image, rows, mode="L", largest=largest)


def _colour(
    image: Image.Image, reopen: Callable[[], Image.Image], name: str, packing: str
) -> Image.Image:
    # premultiplied alpha is divided out when all channels have 8 bits
    stored = "RGBA" if name == "RGBa" else name
    low_bytes = reopen()
    _set_rawmode(image, f"{stored};{packing}")
    _set_rawmode(low_bytes, f"{stored};{_OTHER_BYTE[packing]}")
    high, low = _loaded(image), _loaded(low_bytes)
    return _reduced(image, lambda part: 256 * high[part].astype(np.int64) + low[part], mode=name)


def _grey_and_alpha(image: Image.Image) -> Image.Image:
    _set_rawmode(image, "RGBA")  # four bytes for each pixel: level and alpha, high and low
    four = _loaded(image)
    return _reduced(
        image,
        lambda part: 256 * four[part, :, 0::2].astype(np.int64) + four[part, :, 1::2],
        mode="LA",
    )


def _reduced(
    image: Image.Image,
    rows: Callable[[slice], NDArray[np.int64]],
    *,
    mode: str,
    largest: int = 65535,
) -> Image.Image:
    """A picture of 8 bits; transparent where the values are the file's transparent colour.

    Args:
        image: where size, orientation and transparent colour are.
        rows: gives the values 0 … ``largest`` of some rows; whole pictures would take gigabytes.
        mode: of the result.
        largest: the value of white.
    """
    info = dict(image.info)  # the orientation is in there
    key = info.pop("transparency", None)
    levels = bytearray()
    alpha = bytearray()
    step = max(1, _VALUES_AT_A_TIME // image.width)
    for start in range(0, image.height, step):
        values = rows(slice(start, start + step))
        levels += ((255 * values + largest // 2) // largest).astype(np.uint8).tobytes()
        if key is not None:
            equal = values == key
            hidden = equal.all(axis=2) if equal.ndim == 3 else equal
            alpha += np.where(hidden, 0, 255).astype(np.uint8).tobytes()
    result = Image.frombytes(mode, image.size, bytes(levels))
    result.info = info
    if key is not None:
        result.putalpha(Image.frombytes("L", image.size, bytes(alpha)))
    return result


def _tiles(image: Image.Image) -> list[Any]:
    return list(getattr(image, "tile", ()))


def _rawmode(image: Image.Image) -> str:
    """How a pixel is packed in the file, in Pillow's words: ``RGB;16B``."""
    first = next(iter(_tiles(image)), None)
    args = first.args if first is not None else ""
    return str(args[0] if isinstance(args, tuple) and args else args or "")


def _set_rawmode(image: Image.Image, rawmode: str) -> None:
    changed = [
        tile._replace(args=(rawmode, *tile.args[1:]) if isinstance(tile.args, tuple) else rawmode)
        for tile in _tiles(image)
    ]
    image.tile = changed  # type: ignore[attr-defined]


def _loaded(image: Image.Image) -> NDArray[Any]:
    image.load()
    return np.asarray(image)


def _tag(image: Image.Image, number: int, default: int) -> tuple[int, ...]:
    value = image.tag_v2.get(number, default)  # type: ignore[attr-defined]
    return value if isinstance(value, tuple) else (value,)


def _jpeg2000_bits(image: Image.Image) -> int:
    """The most bits of a channel, from the SIZ segment (ISO/IEC 15444-1, A.5.1)."""
    file = image.fp  # type: ignore[attr-defined]
    place = file.tell()
    file.seek(0)
    data = file.read()
    file.seek(place)
    siz = data.find(b"\xff\x4f\xff\x51")
    count = int.from_bytes(data[siz + 40 : siz + 42], "big")
    return max(((data[siz + 42 + 3 * i] & 127) + 1 for i in range(count)), default=8)

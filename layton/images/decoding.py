"""Bytes → RGB picture: 8 bits, upright, over white. docs/data.md has the table.

Colour profiles are not applied, as in the published evaluation scripts; EXIF rotation is.
"""

from __future__ import annotations

import io
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from layton.errors import ImageError
from layton.images.depth import load_8_bits
from layton.images.jpeg import equal_readings

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FORMATS", "MAX_PIXELS", "MAX_SIDE_PX", "decode_rgb"]

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "JPEG2000", "PPM")
"""What is read, whatever the file's name. Pillow knows more; one of them starts Ghostscript."""

_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"II*\0", b"MM\0*", b"RIFF", b"GIF8", b"\0\0\0\x0cjP")

ALPHA_BACKGROUND = (255, 255, 255)
"""What is behind transparent pixels."""

MAX_PIXELS = 89_478_485
"""Pictures with more pixels are refused as decompression bombs (Pillow's own warning limit)."""

MAX_SIDE_PX = 65_535
"""Pictures with a longer side are refused: JPEG has this limit, and no photograph is longer."""


def decode_rgb(data: bytes, *, name: str = "image") -> Image.Image:
    """Decode a picture file to RGB, upright, over white where it is transparent.

    Args:
        data: the whole file.
        name: what an error message calls it.

    Raises:
        ImageError: the file is empty, truncated, not an image, too large, or of a kind that has
            no defined conversion; the reason says which.
    """
    try:
        with _truncation_is_an_error():
            return _decoded(data)
    except UnidentifiedImageError:
        reason = f"{_unknown(data)} (it starts with {data[:8].hex(' ')})"
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        reason = f"too large: more than {MAX_PIXELS:,} pixels"
    except MemoryError:
        reason = "too large: there is not enough memory to decode it"
    except _RefusedError as refused:
        reason = str(refused)
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error, ValueError ...
        reason = f"cannot be decoded: {_one_line(error)}"
    raise ImageError(name, reason, "Leave it out.")


class _RefusedError(Exception):
    """The file is sound, but not a picture that is decoded."""


def _decoded(data: bytes) -> Image.Image:
    if not data:
        raise _RefusedError("the file is empty (0 bytes)")
    _refuse_large(_webp_size(data))
    first, *others = equal_readings(data)
    with _opened(first) as image:
        _refuse_large(image.size)
        loaded = load_8_bits(image, lambda: _opened(first))
        for other in others:
            with _opened(other) as again:
                if again.tobytes() != loaded.tobytes():
                    raise OSError("truncated: the data end before the picture does")
        _turn_upright(loaded)
        return _to_rgb(loaded)


def _opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=FORMATS)


@contextmanager
def _truncation_is_an_error() -> Iterator[None]:
    # Some libraries switch this on for the whole process; half a picture must not be scored.
    if not ImageFile.LOAD_TRUNCATED_IMAGES:
        yield
        return
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = True


def _refuse_large(size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise _RefusedError(f"too large: {width} × {height} is more than {MAX_PIXELS:,} pixels")
    if max(size) > MAX_SIDE_PX:
        raise _RefusedError(
            f"too large: a side of {width} × {height} is over {MAX_SIDE_PX:,} pixels"
        )


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height of a WebP file; (0, 0) for another.

    Pillow allocates the whole picture when it opens one, which is 1 GB for a file of 34 bytes.
    (RFC 9649 has the three forms of header.)
    """
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < 25:
        return 0, 0
    kind, body = data[12:16], data[20:30]
    if kind == b"VP8X":
        return (
            1 + int.from_bytes(body[4:7], "little"),
            1 + int.from_bytes(body[7:10], "little"),
        )
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return (
        int.from_bytes(body[6:8], "little") & 0x3FFF,
        int.from_bytes(body[8:10], "little") & 0x3FFF,
    )


def _turn_upright(image: Image.Image) -> None:
    # a damaged EXIF block says nothing about the picture itself
    with suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        background = Image.new("RGBA", image.size, (*ALPHA_BACKGROUND, 255))
        return Image.alpha_composite(background, image.convert("RGBA")).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _unknown(data: bytes) -> str:
    if data.startswith(_SIGNATURES) or data[4:8] == b"ftyp":
        return "cannot be decoded: damaged, or a kind of its format that is not read"
    return "not an image in any known format"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__

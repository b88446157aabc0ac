"""The image formats: how Pillow writes each at a level, and its smallest file."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

from PIL import Image, features

SaveOptions = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A format, and how Pillow writes it.

    Attributes:
        name: as in the names of models (``jpeg2000``).
        title: as shown in tables.
        pillow: Pillow's name of the format, which also restricts the decoder.
        feature: Pillow's name of the library that it needs.
        qualities: the numbers that ``-q`` accepts.
        quality_meaning: unit of these numbers.
        at_quality: quality → save options.
        levels: steps of the search for a byte budget, from small files to large.
        at_level: level, raw bytes of the picture, budget → save options.
    """

    name: str
    title: str
    pillow: str
    feature: str
    qualities: range
    quality_meaning: str
    at_quality: Callable[[int], SaveOptions]
    levels: range
    at_level: Callable[[int, int, int], SaveOptions]

    def is_available(self) -> bool:
        """Whether this Pillow can write the format."""
        return bool(features.check(self.feature))

    def encoder(self) -> str:
        """Return name and version of the encoder."""
        return f"{self.feature} {features.version(self.feature)}"


def encode_at_quality(picture: Image.Image, form: Format, quality: int) -> bytes:
    """The file of an RGB picture at a quality of ``form.qualities``."""
    return _save(picture, form, form.at_quality(quality))


def encode_at_level(picture: Image.Image, form: Format, level: int, budget: int) -> bytes:
    """The file of an RGB picture at a level of ``form.levels``, aiming at ``budget`` bytes."""
    raw_bytes = picture.width * picture.height * 3
    return _save(picture, form, form.at_level(level, raw_bytes, budget))


def decode(payload: bytes, form: Format) -> Image.Image:
    """Return the RGB picture in a file; the file must have that format."""
    with Image.open(io.BytesIO(payload), formats=[form.pillow]) as picture:
        return picture.convert("RGB")


# JPEG 2000 needs most bit planes for neutral 225; the other formats for a corner of the cube.
_PIXEL_LEVELS = (0, 75, 150, 225, 255)


@cache
def smallest_budget(form: Format) -> int:
    """Return the smallest budget that every picture can meet.

    It is the largest file, at the lowest level, of one pixel of any colour on a grid. Every picture
    fits into that many bytes if it is made small enough. Encoders that aim at a budget get a large
    one here, so they keep the whole pixel.
    """
    colours = [(r, g, b) for r, g, b in product(_PIXEL_LEVELS, repeat=3)]
    pixels = (Image.new("RGB", (1, 1), colour) for colour in colours)
    return max(len(encode_at_level(pixel, form, form.levels[0], 10**6)) for pixel in pixels)


def _save(picture: Image.Image, form: Format, options: SaveOptions) -> bytes:
    if form.pillow == "JPEG2000":
        # OpenJPEG refuses more wavelet levels than halvings of the shorter side
        resolutions = min(6, min(picture.size).bit_length())
        options = {**options, "num_resolutions": resolutions}
    buffer = io.BytesIO()
    picture.save(buffer, format=form.pillow, **options)
    return buffer.getvalue()


# A bare codestream with the 9/7 wavelet. Without our comment, OpenJPEG would write its name and
# version into every file: 32 bytes more.
_JPEG2000: SaveOptions = {"irreversible": True, "no_jp2": True, "comment": " "}
_JPEG2000_STEPS = 64


def _jpeg2000_at_level(level: int, raw_bytes: int, budget: int) -> SaveOptions:
    """Return options for OpenJPEG, which aims at a compression ratio; headers come on top."""
    ratio = max(1.0, raw_bytes * _JPEG2000_STEPS / (budget * level))
    return {**_JPEG2000, "quality_mode": "rates", "quality_layers": [ratio]}


def _by_quality(
    name: str,
    title: str,
    pillow: str,
    feature: str,
    *,
    qualities: range = range(101),
    options: SaveOptions | None = None,
) -> Format:
    """Return a format that meets a budget by a search over its qualities."""
    fixed = options or {}

    def at_quality(quality: int) -> SaveOptions:
        return {"quality": quality, **fixed}

    return Format(
        name=name,
        title=title,
        pillow=pillow,
        feature=feature,
        qualities=qualities,
        quality_meaning="Pillow's quality",
        at_quality=at_quality,
        levels=qualities,
        at_level=lambda level, _raw_bytes, _budget: at_quality(level),
    )


# libjpeg has no quality 0
_JPEG_QUALITIES = range(1, 101)

FORMATS: Mapping[str, Format] = {
    form.name: form
    for form in (
        _by_quality("jpeg", "JPEG", "JPEG", "jpg", qualities=_JPEG_QUALITIES),
        _by_quality(
            "jpeg-optimized",
            "JPEG (optimized)",
            "JPEG",
            "jpg",
            qualities=_JPEG_QUALITIES,
            options={"optimize": True},
        ),
        Format(
            name="jpeg2000",
            title="JPEG 2000",
            pillow="JPEG2000",
            feature="jpg_2000",
            qualities=range(10, 71),
            quality_meaning="PSNR in dB that OpenJPEG aims at",
            at_quality=lambda quality: {
                **_JPEG2000,
                "quality_mode": "dB",
                "quality_layers": [quality],
            },
            levels=range(1, _JPEG2000_STEPS + 1),
            at_level=_jpeg2000_at_level,
        ),
        _by_quality("webp", "WebP", "WEBP", "webp", options={"method": 6}),
        # one thread per image: the images of a batch run in parallel
        _by_quality("avif", "AVIF", "AVIF", "avif", options={"max_threads": 1}),
    )
}

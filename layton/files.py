"""Images and codes on disk, for the command line."""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from layton.errors import CodesError, ImageError
from layton.images import IMAGE_SUFFIXES, decode_rgb, read_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "CodesFile",
    "find_images",
    "read_codes",
    "read_image",
    "unique_names",
    "write_codes",
    "write_image",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class CodesFile:
    """The contents of a codes file.

    Attributes:
        codes: (n, N) int64.
        names: one per image, unique, usable as a file name.
        codebook_size: of the tokenizer that made them.
    """

    codes: Tensor
    names: tuple[str, ...]
    codebook_size: int


def find_images(paths: Iterable[Path]) -> list[Path]:
    """Return the given files, and the images of every given folder, sorted.

    Raises:
        ImageError: a path does not exist, or no image is found.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
        elif path.is_file():
            found.append(path)
        else:
            raise ImageError(str(path), "no such file or folder", "Check the path.")
    if not found:
        raise ImageError("images", "none found", f"Known: {', '.join(sorted(IMAGE_SUFFIXES))}.")
    return found


def read_image(path: Path, side_px: int) -> Tensor:
    """Read an image by the rule of `layton.images`, crop its centre to a square, resize (Lanczos).

    Returns:
        (3, side_px, side_px) float32 in [-1, 1].

    Raises:
        ImageError: no image, or a broken one.
    """
    image = decode_rgb(read_file(path), name=str(path))
    size = (side_px, side_px)
    if image.size != size:
        image = ImageOps.fit(image, size, Image.Resampling.LANCZOS)
    array = np.asarray(image, dtype=np.float32)
    return torch.from_numpy(array / 127.5 - 1.0).permute(2, 0, 1)


def write_image(image: Tensor, path: Path) -> None:
    """Write (3, H, W) in [-1, 1] as a PNG, each value rounded to the nearest of 256."""
    array = ((image.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    Image.fromarray(array.permute(1, 2, 0).cpu().numpy()).save(path)


def unique_names(paths: Sequence[Path]) -> tuple[str, ...]:
    """Return the files' stems, safe as file names; equal ones get a number."""
    return _unique([_safe(path.stem) for path in paths])


def _unique(stems: Sequence[str]) -> tuple[str, ...]:
    totals, seen = Counter(stems), Counter[str]()
    names = []
    for stem in stems:
        seen[stem] += 1
        names.append(stem if totals[stem] == 1 else f"{stem}-{seen[stem]}")
    return tuple(names)


def write_codes(path: Path, content: CodesFile) -> None:
    """Write a compressed npz with `codes`, `names` and `codebook_size`; no pickles."""
    dtype = np.uint16 if content.codebook_size <= 1 << 16 else np.int64
    np.savez_compressed(
        path,
        codes=content.codes.cpu().numpy().astype(dtype),
        names=np.array(content.names),
        codebook_size=np.array(content.codebook_size),
    )


def read_codes(path: Path) -> CodesFile:
    """Read what `write_codes` wrote.

    Raises:
        CodesError: no such file, or another kind of file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            codes, names, size = file["codes"], file["names"], file["codebook_size"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise CodesError(
            str(path), f"is not a codes file ({error})", "Make one with `layton encode`."
        ) from None
    if codes.ndim != 2 or codes.dtype.kind not in "iu" or names.shape != codes.shape[:1]:
        raise CodesError(
            str(path), f"codes {codes.dtype} {codes.shape} for {names.size} names", "Encode again."
        )
    return CodesFile(
        codes=torch.from_numpy(codes.astype(np.int64)),
        names=_unique([_safe(str(name)) for name in names]),
        codebook_size=int(size),
    )


def _safe(name: str) -> str:
    # nothing from a file may lead out of the output folder
    return re.sub(r"[^\w.\- ]", "_", name).lstrip(".") or "image"

"""Images and codes on disk, for the command line."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from layton import images
from layton.errors import CodesError, ImageError, raising

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = [
    "CodesFile",
    "find_images",
    "read_codes",
    "read_image",
    "unique_names",
    "write_codes",
    "write_image",
]

_ENCODE = "Make one with `layton encode`."
_MAX_NAME_BYTES = 200  # file systems allow 255, with number and suffix


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
            found += sorted(_images_below(path))
        elif path.is_file():
            found.append(path)
        else:
            raise ImageError(str(path), "no such file or folder", "Check the path.")
    if not found:
        raise ImageError(
            "images", "none found", f"Known: {', '.join(sorted(images.IMAGE_SUFFIXES))}."
        )
    return found


def _images_below(folder: Path) -> Iterator[Path]:
    found = images.find_images(folder)
    for name, reason in found.left_out.items():
        thing = str(folder / name)
        raise ImageError(thing, f"cannot be read ({reason})", "Check its permissions.")
    yield from (folder / path for path in found.paths)


def read_image(path: Path, side_px: int) -> Tensor:
    """Read an image by the rule of `layton.images`, crop its centre to a square, resize (Lanczos).

    Returns:
        (3, side_px, side_px) float32 in [-1, 1].

    Raises:
        ImageError: no image, or a broken one.
    """
    image = images.decode_rgb(images.read_file(path), name=str(path))
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
    """Number the stems that occur several times; no number gives a name that is taken."""
    counts, numbers = Counter(map(_as_one_file, stems)), Counter[str]()
    taken = {name for name, count in counts.items() if count == 1}

    def numbered(stem: str) -> str:
        while True:
            numbers[_as_one_file(stem)] += 1
            name = f"{stem}-{numbers[_as_one_file(stem)]}"
            if _as_one_file(name) not in taken:
                taken.add(_as_one_file(name))
                return name

    return tuple(stem if counts[_as_one_file(stem)] == 1 else numbered(stem) for stem in stems)


def _as_one_file(name: str) -> str:
    # some file systems take names for one that differ by case or by Unicode's composition
    return unicodedata.normalize("NFC", name).casefold()


def write_codes(path: Path, content: CodesFile) -> None:
    """Write a compressed npz with `codes`, `names` and `codebook_size`; no pickles.

    The file gets exactly this name, and appears whole or not at all.
    """
    dtype = np.uint16 if content.codebook_size <= 1 << 16 else np.int64
    scratch = path.with_name(f".{path.name[: _MAX_NAME_BYTES // 4]}.partial")
    try:
        with scratch.open("wb") as file:  # numpy would append .npz to another name
            np.savez_compressed(
                file,
                codes=content.codes.cpu().numpy().astype(dtype),
                names=np.array(content.names),
                codebook_size=np.array(content.codebook_size),
            )
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def read_codes(path: Path) -> CodesFile:
    """Read what `write_codes` wrote.

    Raises:
        CodesError: no such file, or another kind of file.
    """
    arrays = _arrays(path)
    if missing := [name for name in ("codes", "names", "codebook_size") if name not in arrays]:
        raise _no_codes(path, f"it has no {missing[0]}")
    codes, names, size = arrays["codes"], arrays["names"], arrays["codebook_size"]
    if codes.ndim != 2 or codes.dtype.kind not in "iu" or names.shape != codes.shape[:1]:
        raise CodesError(
            str(path), f"codes {codes.dtype} {codes.shape} for {names.size} names", "Encode again."
        )
    if size.shape or size.dtype.kind not in "iu":
        raise _no_codes(path, "its codebook_size is not a whole number")
    return CodesFile(
        codes=torch.from_numpy(codes.astype(np.int64)),
        names=_unique([_safe(str(name)) for name in names]),
        codebook_size=int(size),
    )


def _arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Return the arrays of an npz file by name."""
    if not path.is_file():
        reason = "it is a folder" if path.is_dir() else "there is no such file"
        raise _no_codes(path, reason)
    damaged = raising(CodesError, str(path), "is not a codes file", _ENCODE)
    with damaged, path.open("rb") as file:
        found = np.load(file, allow_pickle=False)
        if isinstance(found, np.ndarray):
            raise _no_codes(path, "it is a single array (.npy), without names")
        return dict(found.items())


def _no_codes(path: Path, reason: str) -> CodesError:
    return CodesError(str(path), f"is not a codes file ({reason})", _ENCODE)


def _safe(name: str) -> str:
    # nothing from a file may lead out of the output folder, and no name may be too long
    safe = re.sub(r"[^\w.\- ]", "_", name).lstrip(".")
    return safe.encode()[:_MAX_NAME_BYTES].decode(errors="ignore") or "image"

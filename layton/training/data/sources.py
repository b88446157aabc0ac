"""Training samples by number: image folders, WebDataset shards, data sets, extracted tensors.

Every source allows random access, so a step's samples follow from its number. Shards are indexed
once by their headers; a member is then one read.
"""

from __future__ import annotations

import json
import unicodedata
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

from safetensors import safe_open

from layton.errors import ImageError
from layton.images import (
    IMAGE_SUFFIXES,
    Span,
    decode_rgb,
    find_images,
    read_file,
    read_index,
    read_span,
)
from layton.training.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from PIL import Image
    from torch import Tensor

    from layton.training.recipe import SourceRecipe

__all__ = [
    "CODEBOOK_KEY",
    "NOTE_FILE",
    "Extracted",
    "Sample",
    "Source",
    "codebook_of",
    "open_source",
]

NOTE_FILE = "made-by.json"
"""What `layton extract` says of its folder."""
CODEBOOK_KEY = "codebook"
"""The note's field with the digest of the codebook."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One sample of a source.

    Attributes:
        image: RGB picture, or None if only codes or latents are kept.
        caption: a description; empty if there is none.
        tensors: codes, latents and text features from `layton extract`.
    """

    image: Image.Image | None
    caption: str = ""
    tensors: Mapping[str, Tensor] | None = None


class Source(Protocol):
    """Samples 0 … len − 1."""

    def __len__(self) -> int:
        """Number of samples."""

    def load(self, index: int) -> Sample:
        """Read one sample; raises DataError for one that cannot be read."""


def open_source(recipe: SourceRecipe) -> Source:
    """Open a source.

    Raises:
        DataError: the path holds no source of that kind.
    """
    if recipe.kind != "dataset" and not recipe.path.exists():
        raise DataError(str(recipe.path), "no such file or folder", "Check data.sources.")
    if recipe.kind == "images":
        return ImageFolder(recipe.path)
    if recipe.kind == "shards":
        return Shards(recipe.path)
    if recipe.kind == "dataset":
        return HubDataset(recipe)
    return Extracted(recipe.path)


class ImageFolder:
    """All images below a folder, sorted by path; captions from `metadata.jsonl` beside them.

    A line of metadata.jsonl is {"file_name": …, "text": …}, as in Hugging Face's imagefolder.
    """

    def __init__(self, folder: Path) -> None:
        found = find_images(folder)
        for name, reason in found.left_out.items():
            raise DataError(str(folder / name), f"cannot be read ({reason})", "Leave it out.")
        self._paths = sorted(folder / path for path in found.paths)
        if not self._paths:
            raise DataError(str(folder), "holds no images", f"Known: {', '.join(IMAGE_SUFFIXES)}.")
        self._captions = {
            _spelt(metadata.parent / str(line["file_name"])): _caption(line.get("text"))
            for metadata in folder.rglob("metadata.jsonl")
            for line in _named_lines(metadata)
        }

    def __len__(self) -> int:
        return len(self._paths)

    def load(self, index: int) -> Sample:
        """Read one image from its file."""
        path = self._paths[index]
        image = _decoded(lambda: read_file(path), name=str(path))
        return Sample(image=image, caption=self._captions.get(_spelt(path), ""))


def _spelt(path: Path) -> str:
    # é is one character on some file systems and two on others
    return unicodedata.normalize("NFC", str(path))


class Shards:
    """WebDataset tar shards: members with one stem are a sample; the caption is its `.txt`."""

    def __init__(self, path: Path) -> None:
        shards = [path] if path.is_file() else sorted(path.rglob("*.tar"))
        self._samples = [sample for shard in shards for sample in _index(shard)]
        if not self._samples:
            raise DataError(str(path), "holds no shards with images", "Expected *.tar files.")

    def __len__(self) -> int:
        return len(self._samples)

    def load(self, index: int) -> Sample:
        """Read one sample from its shard."""
        shard, members = self._samples[index]
        image = next(span for suffix, span in members.items() if suffix in IMAGE_SUFFIXES)
        picture = _decoded(lambda: read_span(shard, image), name=str(shard))
        text = read_span(shard, members[".txt"]) if ".txt" in members else b""
        return Sample(image=picture, caption=_caption(text.decode("utf-8-sig", "replace")).strip())


class HubDataset:
    """A Hugging Face data set: a folder of `save_to_disk`, or a name for `load_dataset`."""

    def __init__(self, recipe: SourceRecipe) -> None:
        try:
            import datasets
        except ImportError:
            raise DataError(
                "datasets", "is not installed", "pip install 'layton-bench[train]'"
            ) from None
        self._recipe = recipe
        loaded: Any
        try:
            if (recipe.path / "state.json").is_file():
                loaded = datasets.load_from_disk(str(recipe.path))
            else:
                loaded = datasets.load_dataset(str(recipe.path), split="train")
        except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
            raise DataError(
                str(recipe.path), f"cannot be opened as a data set ({error})", "Check data.sources."
            ) from None
        if recipe.image_column not in loaded.column_names:
            raise DataError(
                str(recipe.path),
                f"has no column {recipe.image_column!r}, only {', '.join(loaded.column_names)}",
                "Set image_column.",
            )
        # the files' bytes: its own decoder gets 16 bits and transparency wrong
        self._rows = loaded.cast_column(recipe.image_column, datasets.Image(decode=False))

    def __len__(self) -> int:
        return len(self._rows)

    def load(self, index: int) -> Sample:
        """Read one row."""
        row = self._rows[index]
        image = _decoded(
            lambda: _content(row[self._recipe.image_column]),
            name=f"{self._recipe.path}, row {index}",
        )
        return Sample(image=image, caption=_caption(row.get(self._recipe.caption_column)))


class Extracted:
    """The samples in a folder of `layton extract`."""

    def __init__(self, folder: Path) -> None:
        self._files = sorted(folder.glob("part-*.safetensors"))
        if not self._files:
            raise DataError(str(folder), "holds no extracted parts", "Run `layton extract`.")
        self._captions = [json.loads(f.with_suffix(".json").read_text()) for f in self._files]
        self._ends = list(accumulate(len(captions) for captions in self._captions))
        self._open: dict[int, Any] = {}

    def __len__(self) -> int:
        return self._ends[-1]

    @property
    def captions(self) -> list[str]:
        """All captions, in order."""
        return [caption for part in self._captions for caption in part]

    def load(self, index: int) -> Sample:
        """Read the tensors of one sample, each with its variants first."""
        part = bisect_right(self._ends, index)
        row = index - (self._ends[part - 1] if part else 0)
        if part not in self._open:
            self._open[part] = safe_open(self._files[part], framework="pt")
        file = self._open[part]
        tensors = {name: _widened(file.get_slice(name)[row]) for name in file.keys()}  # noqa: SIM118
        return Sample(image=None, caption=self._captions[part][row], tensors=tensors)

    def __getstate__(self) -> dict[str, Any]:
        """Drop open files: reading processes open their own."""
        return self.__dict__ | {"_open": {}}


def codebook_of(folder: Path) -> str:
    """Return the digest of the codebook of a folder's codes; empty if not known."""
    try:
        said = json.loads((folder / NOTE_FILE).read_text())
    except (OSError, ValueError):
        return ""
    return str(said.get(CODEBOOK_KEY, "")) if isinstance(said, dict) else ""


def _widened(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor.long()


def _content(value: Any) -> bytes:
    """A picture file of a data set: its bytes, or where it is."""
    if value is None:
        raise ImageError("image", "the row holds none", "Leave it out.")
    return value["bytes"] if value["bytes"] is not None else read_file(Path(value["path"]))


def _decoded(read: Callable[[], bytes], *, name: str) -> Image.Image:
    try:
        return decode_rgb(read())
    except (ImageError, OSError) as error:
        reason = error.reason if isinstance(error, ImageError) else error
        raise DataError(name, f"cannot be read as an image ({reason})", "Leave it out.") from None


def _caption(value: Any) -> str:
    """The text in a caption's field, of a list the first one; empty for null and other values."""
    texts = value if isinstance(value, list) else [value]
    found = (text.removeprefix("\ufeff") for text in texts if isinstance(text, str))
    return next((text for text in found if text.strip()), "")


def _named_lines(path: Path) -> Iterator[dict[str, Any]]:
    for number, text in enumerate(path.read_text("utf-8-sig").split("\n"), 1):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
        except ValueError as error:
            raise DataError(f"{path}:{number}", f"is not JSON ({error})") from None
        if not isinstance(line, dict) or "file_name" not in line:
            raise DataError(f"{path}:{number}", "names no file", 'Each line has a "file_name".')
        yield line


def _index(shard: Path) -> list[tuple[Path, dict[str, Span]]]:
    """Where each sample's members are in a shard: suffix → place."""
    try:
        archive = read_index(shard)
    except ImageError as error:
        raise DataError(str(shard), f"cannot be read ({error.reason})", "Leave it out.") from None
    problems = [archive.damage, *(f"{name}: {why}" for name, why in archive.left_out.items())]
    if any(problems):
        reason = next(filter(None, problems))
        raise DataError(str(shard), f"cannot be read ({reason})", "Shards are plain tar.")
    samples: dict[str, dict[str, Span]] = {}
    for member, span in archive.spans.items():
        name = PurePosixPath(member)
        stem = str(name.parent / name.name.partition(".")[0])
        suffix = "." + name.name.partition(".")[2].lower()
        samples.setdefault(stem, {})[suffix] = span
    return [(shard, m) for m in samples.values() if any(s in IMAGE_SUFFIXES for s in m)]

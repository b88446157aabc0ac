"""The 50,000 validation images of ImageNet-1k, in each of their usual layouts.

In every layout, an item's key is the file's stem (``ILSVRC2012_val_00000001``). Its label is the
position of its wnid among the 1,000 wnids in alphabetical order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path, PurePosixPath

from layton_bench.datasets.base import Dataset
from layton_bench.datasets.layouts.folder import FileDataset, listing
from layton_bench.datasets.layouts.imagenet_labels import read_labels
from layton_bench.datasets.layouts.names import (
    and_more,
    left_out_notes,
    natural_key,
    readable,
    repeated,
)
from layton_bench.datasets.layouts.parquet import ParquetDataset, open_parquet
from layton_bench.datasets.layouts.webdataset import TarDataset, open_tars
from layton_bench.errors import MissingDataError
from layton_bench.images import find_images, is_image_name
from layton_bench.types import Item

NAME = "imagenet-val"

BASES = ("", "imagenet", "imagenet-1k", "imagenet1k", "ImageNet", "ILSVRC2012")
FOLDERS = ("val", "validation", "ILSVRC2012_img_val", "ILSVRC/Data/CLS-LOC/val", "data", "")
"""The images are looked for in ``<data root>/<base>/<folder>``, in this order."""

HOW_TO_GET = (
    "Download ILSVRC2012_img_val.tar from image-net.org (it can stay packed), or the data set "
    "ILSVRC/imagenet-1k from Hugging Face, and give the directory by --data-root. "
    "Also read: <wnid>/*.JPEG, ILSVRC2012_val_*.JPEG, validation-*.parquet, imagenet*val*.tar."
)

_WNID = re.compile(r"n\d{8}")
_PREFIX = "ILSVRC2012_val_"
_OFFICIAL = re.compile(r"(ILSVRC2012_val_\d{8})(_n\d{8})?")


def open_imagenet_val(root: Path | None) -> Dataset:
    """Open ImageNet's validation images below a data root, in the first layout that is found.

    Flat files and the original archive get their labels from a label file beside them
    (``imagenet_labels``). If there is none, ``notes`` says so.

    Raises:
        MissingDataError: none of the layouts is below the root, or its files are damaged.
    """
    if root is None:
        raise MissingDataError("ImageNet val", "no data root was given", HOW_TO_GET)
    unused: list[str] = []
    for base in BASES:
        for folder in FOLDERS:
            place = root / base / folder
            dataset = _open_layout(place, unused) if place.is_dir() else None
            if dataset is not None:
                return dataset
    expected = root / "val" / "n01440764" / "ILSVRC2012_val_00000293.JPEG"
    present = f" ({'; '.join(unused)})" if unused else ""
    raise MissingDataError(
        str(expected), f"neither this nor another known layout exists{present}", HOW_TO_GET
    )


def _open_layout(folder: Path, unused: list[str]) -> Dataset | None:
    """Open the data set in a folder; files that look like one but are not go to ``unused``."""
    names = listing(folder)
    if any(_WNID.fullmatch(name) and (folder / name).is_dir() for name in names):
        return _open_by_wnid(folder)
    if flat := [name for name in names if name.startswith(_PREFIX) and is_image_name(name)]:
        return _open_flat(folder, flat)
    if paths := _matching(folder, "val-*.parquet", "validation-*.parquet"):
        dataset = _open_parquet(paths)
        if dataset is None:
            unused.append(f"{and_more([path.name for path in paths])}: no column of class labels")
        return dataset
    if paths := _matching(folder, "ILSVRC2012_img_val.tar") or _matching(
        folder, "imagenet*val*.tar"
    ):
        return _open_archives(paths)
    return None


def _matching(folder: Path, *patterns: str) -> list[Path]:
    paths = (path for pattern in patterns for path in folder.glob(pattern))
    return sorted(paths, key=lambda path: natural_key(path.name))


def _open_by_wnid(folder: Path) -> FileDataset:
    found = find_images(folder)
    paths = [path for path in found.paths if _WNID.fullmatch(path.partition("/")[0])]
    stems = [key_of(path) for path in paths]
    twice = repeated(stems)
    entries = [
        Item(
            key=readable(str(PurePosixPath(path).with_suffix(""))) if stem in twice else stem,
            locator=path,
            label=class_indices().get(path.partition("/")[0]),
        )
        for path, stem in zip(paths, stems, strict=True)
    ]
    notes = left_out_notes(folder.name, found.left_out)
    if twice:
        notes.append(f"several files are named {and_more(list(twice))}: each keeps its wnid")
    return FileDataset(name=NAME, root=folder, entries=_sorted(entries), notes=tuple(notes))


def _open_flat(folder: Path, names: Sequence[str]) -> FileDataset:
    labels, notes = _labels_beside(folder)
    keys = [key_of(name) for name in names]
    twice = repeated(keys)
    entries = [
        Item(key=name if key in twice else key, locator=name, label=labels.get(key))
        for name, key in zip(names, keys, strict=True)
    ]
    if twice:
        same = f"several files are named {and_more(list(twice))}: each keeps its extension"
        notes = (*notes, same)
    return FileDataset(name=NAME, root=folder, entries=_sorted(entries), notes=notes)


def _open_parquet(paths: Sequence[Path]) -> ParquetDataset | None:
    dataset = open_parquet(paths, name=NAME)
    entries = _official_keys(dataset.items())
    # other data sets have files of these names too
    is_imagenet = any(item.label is not None for item in entries)
    return dataset.with_entries(entries, dataset.notes) if is_imagenet else None


def _open_archives(paths: Sequence[Path]) -> TarDataset:
    dataset = open_tars(paths, name=NAME)
    entries = _official_keys(dataset.entries)
    if any(item.label is not None for item in entries):
        return dataset.with_entries(entries, dataset.notes)
    labels, notes = _labels_beside(paths[0].parent)
    labelled = _sorted([replace(item, label=labels.get(item.key)) for item in entries])
    return dataset.with_entries(labelled, (*dataset.notes, *notes))


def _official_keys(items: Sequence[Item]) -> tuple[Item, ...]:
    keys = [key_of(item.key) for item in items]
    twice = repeated(keys)
    return tuple(
        item if key in twice else replace(item, key=key)
        for item, key in zip(items, keys, strict=True)
    )


def key_of(path: str) -> str:
    """Return the stem of a path, without the wnid that some copies add to the official name."""
    stem = readable(PurePosixPath(path).name.partition(".")[0])
    match = _OFFICIAL.fullmatch(stem)
    return match[1] if match else stem


def _sorted(items: Sequence[Item]) -> tuple[Item, ...]:
    # by key: the official names are in random order of class, the wnid folders are not
    return tuple(sorted(items, key=lambda item: natural_key(item.key)))


def _labels_beside(folder: Path) -> tuple[Mapping[str, int], tuple[str, ...]]:
    places = (folder, folder.parent, folder.parent.parent)
    labels, problems = read_labels(places, class_indices())
    if labels is not None:
        return labels, problems
    return {}, problems or ("no class labels: there is no label file beside the images or above",)


@cache
def class_indices() -> dict[str, int]:
    """Return wnid → class index of the 1,000 classes, in alphabetical order of wnid."""
    text = files("layton_bench.datasets").joinpath("imagenet_wnids.txt").read_text("utf-8")
    return {wnid: index for index, wnid in enumerate(text.split())}

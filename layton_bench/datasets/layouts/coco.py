"""COCO 2017 val in its own layout: ``val2017/*.jpg`` and ``annotations/captions_val2017.json``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from layton_bench.datasets.captions import captions_of
from layton_bench.datasets.layouts.folder import FileDataset, open_folder
from layton_bench.datasets.layouts.names import natural_key, readable, stem_of
from layton_bench.errors import MissingDataError, UserError
from layton_bench.machine import read_json
from layton_bench.types import Item

NAME = "coco-val2017"
CAPTIONS = "annotations/captions_val2017.json"

PLACES = ("", "coco", "coco2017", "COCO", "COCO2017", "images")
"""Places below the data root where the images' folder may be."""

HOW_TO_GET = (
    "Unpack http://images.cocodataset.org/zips/val2017.zip and "
    "http://images.cocodataset.org/annotations/annotations_trainval2017.zip "
    "in the directory given by --data-root."
)


def open_coco_val2017(root: Path | None) -> FileDataset:
    """Open COCO 2017 val below a data root.

    Items are those of the captions file, in order of image id. An item without a file becomes a
    failed sample. Captions are in order of annotation id. If there is no captions file, or it is
    damaged, the images are used without captions, and ``notes`` says why.

    Raises:
        MissingDataError: no ``val2017`` below the root, or no image in it.
    """
    folder = _find_images_folder(root)
    annotations = _find_captions(folder)
    if annotations is None:
        return _without_captions(folder, f"there is no {CAPTIONS} beside {folder.name}")
    try:
        content = read_json(annotations, name=CAPTIONS)
        entries = _items(content["images"], content["annotations"], _spellings(folder))
    except UserError as error:
        return _without_captions(folder, f"{error.thing}: {error.reason}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"{CAPTIONS} is not COCO's captions file: {type(error).__name__}: {error}"
        return _without_captions(folder, reason)
    return FileDataset(name=NAME, root=folder, entries=entries)


def _without_captions(folder: Path, reason: str) -> FileDataset:
    try:
        dataset = open_folder(folder, name=NAME)
    except MissingDataError as error:
        raise MissingDataError(error.thing, error.reason, HOW_TO_GET) from None
    by_key = sorted(dataset.entries, key=lambda item: item.key)
    return dataset.with_entries(tuple(by_key), (f"no captions: {reason}", *dataset.notes))


def _find_images_folder(root: Path | None) -> Path:
    if root is None:
        raise MissingDataError("COCO 2017 val", "no data root was given", HOW_TO_GET)
    if root.name == "val2017" and root.is_dir():
        return root
    for place in PLACES:
        if (root / place / "val2017").is_dir():
            return root / place / "val2017"
    expected = root / "val2017" / "000000000139.jpg"
    raise MissingDataError(str(expected), "there is no such file", HOW_TO_GET)


def _find_captions(folder: Path) -> Path | None:
    for parent in (folder.parent, folder.parent.parent):
        path = parent / CAPTIONS
        if path.is_file():
            return path
    return None


def _spellings(folder: Path) -> dict[str, str]:
    """Name of each file in one spelling → as it is stored."""
    return {readable(path.name): path.name for path in folder.iterdir() if not path.name.isascii()}


def _items(
    images: list[dict[str, Any]], annotations: list[dict[str, Any]], stored: Mapping[str, str]
) -> tuple[Item, ...]:
    captions: dict[str, tuple[str, ...]] = defaultdict(tuple)
    for annotation in sorted(annotations, key=_id_order):
        # an id may be a number in one list and a text in the other
        captions[str(annotation["image_id"])] += captions_of(annotation["caption"])
    items = []
    for image in sorted(images, key=_id_order):
        # the name alone: nothing in an annotation file may point out of the folder
        name = PurePosixPath(str(image["file_name"])).name
        name = stored.get(readable(name), name)
        items.append(Item(key=stem_of(name), locator=name, captions=captions[str(image["id"])]))
    return tuple(items)


def _id_order(entry: Mapping[str, Any]) -> Any:
    return natural_key(str(entry["id"]))

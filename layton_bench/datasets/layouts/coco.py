"""COCO 2017 val in its own layout: ``val2017/*.jpg`` and ``annotations/captions_val2017.json``."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import Any

from layton_bench.datasets.layouts.folder import FileDataset, find_images
from layton_bench.errors import MissingDataError
from layton_bench.types import Item

PLACES = ("", "coco", "coco2017", "COCO", "COCO2017", "images")
"""Where the images' folder is looked for below the data root."""

HOW_TO_GET = (
    "Unpack http://images.cocodataset.org/zips/val2017.zip and "
    "http://images.cocodataset.org/annotations/annotations_trainval2017.zip "
    "in the directory given by --data-root."
)


def open_coco_val2017(root: Path | None) -> FileDataset:
    """COCO 2017 val below a data root.

    Items are those of the captions file, in order of image id, whether their file is there or not:
    one that is missing becomes a failed sample. Captions are in order of annotation id. Without a
    captions file the images are taken as they are, without captions, and ``notes`` says so.

    Raises:
        MissingDataError: no ``val2017`` below the root, or the captions file is damaged.
    """
    folder = _find_images_folder(root)
    annotations = _find_captions(folder)
    if annotations is None:
        expected = folder.parent / "annotations" / "captions_val2017.json"
        note = f"no captions: there is no {expected}"
        return FileDataset(
            name="coco-val2017", root=folder, entries=_from_files(folder), notes=(note,)
        )
    return FileDataset(name="coco-val2017", root=folder, entries=_from_captions(annotations))


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
        path = parent / "annotations" / "captions_val2017.json"
        if path.is_file():
            return path
    return None


def _from_files(folder: Path) -> tuple[Item, ...]:
    paths = sorted(find_images(folder))
    if not paths:
        raise MissingDataError(str(folder), "there is no image in it", HOW_TO_GET)
    return tuple(Item(key=PurePosixPath(path).stem, locator=path) for path in paths)


def _from_captions(path: Path) -> tuple[Item, ...]:
    try:
        content = json.loads(path.read_bytes())
        return _items(content["images"], content["annotations"])
    except (ValueError, KeyError, TypeError, OSError) as error:
        cause = f"it is not COCO's captions file: {type(error).__name__}: {error}"
        raise MissingDataError(str(path), cause, HOW_TO_GET) from None


def _items(images: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> tuple[Item, ...]:
    captions: dict[int, list[str]] = defaultdict(list)
    for annotation in sorted(annotations, key=lambda a: int(a["id"])):
        captions[annotation["image_id"]].append(str(annotation["caption"]))
    return tuple(
        Item(
            key=PurePosixPath(image["file_name"]).stem,
            # the name alone: nothing in an annotation file may point out of the folder
            locator=PurePosixPath(image["file_name"]).name,
            captions=tuple(captions[image["id"]]),
        )
        for image in sorted(images, key=lambda image: int(image["id"]))
    )

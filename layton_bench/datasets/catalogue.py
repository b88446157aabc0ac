"""The built-in data sets by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from layton_bench.datasets.base import Dataset, DatasetSpec
from layton_bench.datasets.captions import captions_of
from layton_bench.datasets.layouts.any import open_images
from layton_bench.datasets.layouts.coco import open_coco_val2017
from layton_bench.datasets.layouts.embedded import PHOTOS, open_photos
from layton_bench.datasets.layouts.folder import FileDataset
from layton_bench.datasets.layouts.imagenet import open_imagenet_val
from layton_bench.datasets.layouts.names import and_more, readable
from layton_bench.datasets.prompts import open_prompts
from layton_bench.errors import MissingDataError, UserError
from layton_bench.machine import read_json

MJHQ_PROMPTS = "meta_data.json"


def _opener(name: str, how_to_get: str) -> Callable[[Path | None], Dataset]:
    """Return a function that opens ``root/<name>`` if it exists, else ``root``, in any layout."""

    def open_it(root: Path | None) -> Dataset:
        if root is None:
            raise MissingDataError(f"data set {name}", "no data root was given", how_to_get)
        inner = root / name
        if not inner.is_dir() and root.name != name:
            raise MissingDataError(str(inner), "there is no such directory", how_to_get)
        return open_images(inner if inner.is_dir() else root, name=name)

    return open_it


def _open_mjhq(root: Path | None) -> Dataset:
    """Open the images; image files get their prompts from ``meta_data.json`` above them."""
    dataset = _opener("mjhq", MJHQ)(root)
    if not isinstance(dataset, FileDataset):
        return dataset
    for folder in (dataset.root, dataset.root.parent):
        if (folder / MJHQ_PROMPTS).exists():
            captions, notes = _mjhq_captions(folder / MJHQ_PROMPTS)
            prompted = dataset.with_captions(captions)
            return prompted.with_entries(prompted.entries, (*dataset.notes, *notes))
    return dataset


def _mjhq_captions(path: Path) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Image → prompts, and notes. The images are used without prompts that are not understood."""
    try:
        content = read_json(path, name=MJHQ_PROMPTS)
        captions = {str(key): captions_of(value) for key, value in content.items()}
    except UserError as error:
        return {}, (f"no prompts: {error.thing}: {error.reason}",)
    except AttributeError:
        return {}, (f"no prompts: {MJHQ_PROMPTS} is no object of image → prompt",)
    without = [readable(key) for key, texts in captions.items() if not texts]
    notes = (f"{MJHQ_PROMPTS} has no prompt for {and_more(without)}",) if without else ()
    return captions, notes


def _open_dpg(root: Path | None) -> Dataset:
    """Open the folder of prompt files, or the table, of ELLA's repository."""
    if root is None:
        raise MissingDataError("data set dpg-prompts", "no data root was given", DPG)
    for folder in (root / "dpg_bench", root / "ELLA" / "dpg_bench", root):
        for path in (folder / "prompts", folder / "dpg_bench.csv"):
            if path.exists():
                return open_prompts(path, name="dpg-prompts")
    expected = root / "dpg_bench" / "prompts"
    raise MissingDataError(str(expected), "there is no such directory", DPG)


DPG = (
    "Put the folder dpg_bench of github.com/TencentQQGYLab/ELLA there and give the directory above "
    "it by --data-root."
)
MJHQ = (
    "Unpack mjhq30k_imgs.zip of the Hugging Face data set playgroundai/MJHQ-30K there "
    "and give the directory above it by --data-root."
)
FLUX5K = (
    "Put 5,000 images drawn by FLUX.1-dev there and give the directory above it by --data-root."
)

DATASETS = (
    DatasetSpec(
        name="photos",
        summary="photographs inside the packages scikit-image and scikit-learn; no download",
        num_items=len(PHOTOS),
        open=open_photos,
    ),
    DatasetSpec(
        name="imagenet-val",
        summary="ImageNet-1k val: by wnid, flat, ILSVRC2012_img_val.tar, parquet or WebDataset",
        num_items=50_000,
        open=open_imagenet_val,
    ),
    DatasetSpec(
        name="coco-val2017",
        summary="COCO 2017 val: val2017/ and annotations/captions_val2017.json",
        num_items=5_000,
        open=open_coco_val2017,
    ),
    DatasetSpec(
        name="mjhq",
        summary="MJHQ-30K: mjhq/ with images, tar shards or parquet",
        num_items=30_000,
        open=_open_mjhq,
    ),
    DatasetSpec(
        name="dpg-prompts",
        summary="DPG-Bench's 1,065 dense prompts: dpg_bench/prompts/*.txt or dpg_bench.csv",
        num_items=1_065,
        open=_open_dpg,
        has_images=False,
    ),
    DatasetSpec(
        name="flux5k",
        summary="5,000 images drawn by FLUX.1-dev: flux5k/ with images, tar shards or parquet",
        num_items=5_000,
        open=_opener("flux5k", FLUX5K),
    ),
)
"""The built-in data sets."""

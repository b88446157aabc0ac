"""The built-in data sets by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from layton_bench.datasets.base import Dataset, DatasetSpec
from layton_bench.datasets.coco import open_coco_val2017
from layton_bench.datasets.embedded import PHOTOS, open_photos
from layton_bench.datasets.folder import open_folder
from layton_bench.errors import MissingDataError


def _folder_opener(name: str, how_to_get: str) -> Callable[[Path | None], Dataset]:
    """Opens ``root/<name>`` where there is one, else ``root`` itself."""

    def open_it(root: Path | None) -> Dataset:
        if root is None:
            raise MissingDataError(f"data set {name}", "no data root was given", how_to_get)
        inner = root / name
        try:
            return open_folder(inner if inner.is_dir() else root, name=name)
        except MissingDataError as error:
            raise MissingDataError(str(inner), error.reason, how_to_get) from None

    return open_it


MJHQ = (
    "Unpack mjhq30k_imgs.zip of the Hugging Face data set playgroundai/MJHQ-30K into a directory "
    "'mjhq' and give its parent by --data-root."
)
FLUX5K = (
    "Put the 5,000 images that FLUX.1-dev drew for the COCO captions into a directory 'flux5k' "
    "and give its parent by --data-root."
)

SPECS = (
    DatasetSpec(
        name="photos",
        summary="photographs inside the packages scikit-image and scikit-learn; no download",
        num_items=len(PHOTOS),
        open=open_photos,
    ),
    DatasetSpec(
        name="coco-val2017",
        summary="COCO 2017 val: val2017/ and annotations/captions_val2017.json",
        num_items=5_000,
        open=open_coco_val2017,
    ),
    DatasetSpec(
        name="mjhq",
        summary="MJHQ-30K, a folder of images",
        num_items=30_000,
        open=_folder_opener("mjhq", MJHQ),
    ),
    DatasetSpec(
        name="flux5k",
        summary="5,000 images drawn by FLUX.1-dev, a folder of images",
        num_items=5_000,
        open=_folder_opener("flux5k", FLUX5K),
    ),
)
"""The built-in data sets."""

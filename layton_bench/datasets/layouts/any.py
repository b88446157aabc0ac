"""Images in a directory, in whatever layout they lie."""

from __future__ import annotations

from pathlib import Path

from layton_bench.datasets.base import Dataset
from layton_bench.datasets.layouts.folder import natural_key, open_folder
from layton_bench.datasets.layouts.parquet import open_parquet
from layton_bench.datasets.layouts.webdataset import open_tars


def open_images(root: Path, *, name: str | None = None) -> Dataset:
    """Tar shards or parquet files directly in ``root``, else every image file below it.

    Raises:
        MissingDataError: there is no such directory or no image in it, or a file is damaged.
    """
    if tars := _files(root, "tar"):
        return open_tars(tars, name=name or root.name)
    if tables := _files(root, "parquet"):
        return open_parquet(tables, name=name or root.name)
    return open_folder(root, name=name)


def _files(root: Path, extension: str) -> list[Path]:
    return sorted(root.glob(f"*.{extension}"), key=lambda path: natural_key(path.name))

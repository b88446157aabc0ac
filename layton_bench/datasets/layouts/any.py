"""Images in a folder, in any layout."""

from __future__ import annotations

from pathlib import Path

from layton_bench.datasets.layouts.folder import FileDataset, listing, open_folder
from layton_bench.datasets.layouts.names import and_more, natural_key, readable
from layton_bench.datasets.layouts.parquet import ParquetDataset, open_parquet
from layton_bench.datasets.layouts.webdataset import TarDataset, open_tars
from layton_bench.images import is_image_name

ImageDataset = FileDataset | TarDataset | ParquetDataset


def open_images(root: Path, *, name: str | None = None) -> ImageDataset:
    """Open the tar or parquet files directly in ``root``, else every image file below it.

    ``root`` may be one such file too. If images are beside the archives, ``notes`` says that they
    are not read.

    Raises:
        MissingDataError: there is no such directory or no image in it, or a file is damaged.
    """
    name = readable(name or root.stem if root.is_file() else name or root.name)
    tars, tables = _files(root, ".tar"), _files(root, ".parquet")
    if tars:
        dataset: TarDataset | ParquetDataset = open_tars(tars, name=name)
    elif tables:
        dataset = open_parquet(tables, name=name)
    else:
        return open_folder(root, name=name)
    notes = (*dataset.notes, *_beside(root, tables if tars else []))
    return dataset.with_entries(tuple(dataset.items()), notes)


def _files(root: Path, suffix: str) -> list[Path]:
    if root.suffix == suffix and root.is_file():
        return [root]
    found = (path for path in root.glob(f"*{suffix}") if not path.is_dir())
    return sorted(found, key=lambda path: natural_key(path.name))


def _beside(root: Path, tables: list[Path]) -> list[str]:
    images = [name for name in listing(root) if is_image_name(name)]
    names = [path.name for path in tables] + images
    if not names:
        return []
    return [f"only the archives are read, not the files beside them: {and_more(names)}"]

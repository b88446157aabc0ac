"""Images inside parquet files, as Hugging Face's ``datasets`` stores them.

The image column holds the file's bytes, or {bytes, path}. A column ``label`` and one of captions
are optional.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from layton_bench.datasets.captions import captions_of
from layton_bench.datasets.layouts.names import and_more, readable, repeated
from layton_bench.errors import ImageError, MissingDataError
from layton_bench.types import Item

if TYPE_CHECKING:
    import pyarrow as pa

IMAGE_COLUMNS = ("image", "img", "jpg", "jpeg", "png", "webp", "image_bytes", "bytes")
LABEL_COLUMNS = ("label", "cls", "labels")
CAPTION_COLUMNS = ("captions", "caption", "sentences", "text", "txt")

_ROW_GROUPS_HELD = 2


@dataclass(frozen=True, slots=True)
class Row:
    """Where an image is: the number of its file, its row group, and its row in the group."""

    file: int
    group: int
    row: int


class ParquetDataset:
    """Images inside parquet files, in the order of files and rows; an item's locator is a ``Row``.

    To read one image, its whole row group must be read. The last row groups are therefore kept, and
    one process reads the items in order (``reads_in_order``).

    Attributes:
        name: as suites name it.
        paths: the files.
        notes: what a reader of the results must know.
    """

    reads_in_order = True

    def __init__(
        self, *, name: str, paths: tuple[Path, ...], columns: tuple[str, ...],
        entries: tuple[Item, ...], notes: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        self.name = name
        self.paths = paths
        self.notes = notes
        self._columns = columns
        self._entries = entries
        self._held: OrderedDict[tuple[int, int], pa.ChunkedArray] = OrderedDict()
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_held": OrderedDict(), "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def items(self) -> Sequence[Item]:
        """Return all samples, in order."""
        return self._entries

    def with_entries(self, entries: tuple[Item, ...], notes: tuple[str, ...]) -> ParquetDataset:
        """Return the same files with other keys, labels or captions, or fewer rows."""
        return ParquetDataset(
            name=self.name, paths=self.paths, columns=self._columns, entries=entries, notes=notes
        )

    def source(self, item: Item) -> Path:
        """Return the file that holds the image."""
        return self.paths[_row(item).file]

    def read(self, item: Item) -> bytes:
        """Return the image's bytes; raises ImageError if the file or the row lacks them."""
        row = _row(item)
        with self._lock:
            value = self._row_group(row.file, row.group)[row.row].as_py()
        if value is None:
            raise ImageError("the row holds no bytes (its path, if any, is not followed)")
        return bytes(value)

    def _row_group(self, file: int, group: int) -> pa.ChunkedArray:
        if (file, group) not in self._held:
            self._held[file, group] = _read_row_group(self.paths[file], group, self._columns[file])
            while len(self._held) > _ROW_GROUPS_HELD:
                self._held.popitem(last=False)
        return self._held[file, group]


def _row(item: Item) -> Row:
    assert isinstance(item.locator, Row)
    return item.locator


def _read_row_group(path: Path, group: int, column: str) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # one thread: worker processes share the cores already
        with pq.ParquetFile(path) as file:
            table = file.read_row_group(group, columns=[column], use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise ImageError(f"row group {group} cannot be read: {error}: {path.name}") from None
    values = table.column(0)
    return values if not pa.types.is_struct(values.type) else _field(values, "bytes")


def _field(values: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    import pyarrow.compute as pc

    return pc.struct_field(values, name)


def open_parquet(paths: Sequence[Path], *, name: str) -> ParquetDataset:
    """Open the images of parquet files.

    A key is the stem of the row's image path. If there is none, or several rows have the same, it
    is the row's number over all files.

    Raises:
        MissingDataError: a file is missing, damaged, or has no column of images.
    """
    columns: list[str] = []
    items: list[Item] = []
    for number, path in enumerate(paths):
        column, rows = _index(path, number)
        columns.append(column)
        items += rows
    if not items:
        listed = ", ".join(map(str, paths)) or "no file"
        raise MissingDataError(listed, "it has no rows", "Check the files.")
    entries, notes = _with_unique_keys(items)
    return ParquetDataset(
        name=name, paths=tuple(paths), columns=tuple(columns), entries=entries, notes=notes
    )


def _index(path: Path, number: int) -> tuple[str, list[Item]]:
    """The column of image bytes, and an item a row; no image is read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.exists() and not path.is_file():
        raise MissingDataError(str(path), "it is not a regular file", "Check the path.")
    try:
        with pq.ParquetFile(path) as file:
            column, wanted = _columns(file.schema_arrow, path)
            items = []
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=wanted)
                rows = file.metadata.row_group(group).num_rows
                items += list(_rows(table, rows, number, group))
            return column, items
    except FileNotFoundError:
        raise MissingDataError(str(path), "there is no such file", "Check the path.") from None
    except (pa.ArrowException, OSError, KeyError) as error:  # KeyError: two columns of one name
        raise MissingDataError(
            str(path), f"it cannot be read as parquet: {error}", "Fetch it again."
        ) from None


def _columns(schema: pa.Schema, path: Path) -> tuple[str, list[str]]:
    """The column that holds the bytes, and the small columns beside it."""
    import pyarrow as pa

    image = next((n for n in IMAGE_COLUMNS if n in schema.names and _holds_bytes(schema, n)), None)
    if image is None:
        raise MissingDataError(
            str(path),
            "none of its columns holds images; it has "
            + (", ".join(f"{field.name} ({field.type})" for field in schema) or "no column"),
            f"Name the column of the files' bytes {' or '.join(IMAGE_COLUMNS)}.",
        )
    small = [n for n in (*LABEL_COLUMNS, *CAPTION_COLUMNS) if n in schema.names]
    kind = schema.field(image).type
    if not pa.types.is_struct(kind):
        return image, small
    if kind.get_field_index("path") >= 0:
        small.append(f"{image}.path")
    return f"{image}.bytes", small


def _holds_bytes(schema: pa.Schema, name: str) -> bool:
    import pyarrow as pa

    kind = schema.field(name).type
    if pa.types.is_struct(kind):
        position = kind.get_field_index("bytes")
        kind = kind.field(position).type if position >= 0 else kind
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _rows(table: pa.Table, num_rows: int, file: int, group: int) -> Iterator[Item]:
    columns = table.to_pydict() if table.num_columns else {}
    for row in range(num_rows):
        values = {name: column[row] for name, column in columns.items()}
        label = next((values[n] for n in LABEL_COLUMNS if isinstance(values.get(n), int)), None)
        yield Item(
            key=_stem(values),
            locator=Row(file, group, row),
            label=None if label is None or label < 0 else label,
            captions=_captions(values),
        )


def _stem(values: dict[str, Any]) -> str:
    path = next((v["path"] for v in values.values() if isinstance(v, dict)), None)
    # the name alone: nothing in a file may point out of a folder of results
    return readable(PurePosixPath(str(path or "").replace("\\", "/")).stem)


def _captions(values: dict[str, Any]) -> tuple[str, ...]:
    return next((found for n in CAPTION_COLUMNS if (found := captions_of(values.get(n)))), ())


def _with_unique_keys(items: Sequence[Item]) -> tuple[tuple[Item, ...], tuple[str, ...]]:
    twice = repeated(item.key for item in items)
    entries = tuple(
        replace(item, key=f"{number:08d}") if item.key in twice or not item.key else item
        for number, item in enumerate(items)
    )
    named = [key for key in twice if key]
    if not named:
        return entries, ()
    return entries, (f"several rows are named {and_more(named)}: they go by their number",)

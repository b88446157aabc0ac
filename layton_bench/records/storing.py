"""Storing a run: under a lock, in one rename, and never at the cost of a newer record."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from layton_bench.errors import UserError, output_error
from layton_bench.machine import remove_stale
from layton_bench.records.folder import IMAGES, RECORD, new_run_folder, write_record
from layton_bench.records.record import RunRecord, SavedImage
from layton_bench.records.results import StoredRun, finished_folders, model_folder

if TYPE_CHECKING:
    import pandas as pd

LOCK = ".lock"
_TIME = "%Y%m%dT%H%M%S"
_RUN_ID = re.compile(r"(\d{8}T\d{6})\.(\d{3})Z-([0-9a-f]{8})")


class StorageError(UserError):
    """A run was evaluated, but its folder could not be written. ``record`` holds its values."""

    def __init__(self, cause: UserError, record: RunRecord) -> None:
        super().__init__(cause.thing, cause.reason, cause.remedy)
        self.record = record


def new_run_id(now: datetime | None = None) -> str:
    """Return UTC time to the millisecond and four random bytes. Ids sort by time and are unique."""
    return _run_id(now or datetime.now(UTC), secrets.token_hex(4))


def _run_id(moment: datetime, suffix: str) -> str:
    return f"{moment:{_TIME}}.{moment.microsecond // 1000:03d}Z-{suffix}"


def later_id(run_id: str, others: Iterable[str]) -> str:
    """Return the id, moved behind the latest of the others: a clock may have been set back."""
    own = _RUN_ID.fullmatch(run_id)
    latest = max(filter(None, map(_RUN_ID.fullmatch, others)), key=lambda m: m[0], default=None)
    if own is None or latest is None or latest[0] < run_id:
        return run_id
    moment = datetime.strptime(f"{latest[1]}.{latest[2]}", f"{_TIME}.%f").replace(tzinfo=UTC)
    return _run_id(moment + timedelta(milliseconds=1), own[3])


def check_writable(out: Path) -> None:
    """Raise UserError if ``out`` cannot be written: now, and not after hours of work."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise output_error(out, error) from error


def store(
    out: Path,
    record: RunRecord,
    samples: pd.DataFrame,
    save_images: Callable[[Path], tuple[SavedImage, ...]],
) -> StoredRun:
    """Write a run's folder. A finished run replaces older runs of the same inputs.

    The run gets an id later than those of the model's other runs. A run of the same inputs that
    another process has stored meanwhile stays.

    Raises:
        StorageError: the folder cannot be written. The error holds the record.
    """
    parent = model_folder(out, record.suite.name, record.model.name)
    try:
        with _locked(out):
            others = finished_folders(parent)
            run_id = later_id(record.run_id, (folder.name for folder in others))
            final = parent / run_id
            with new_run_folder(final) as folder:
                changes = {"run_id": run_id, "images": save_images(folder)}
                written = write_record(folder, record.model_copy(update=changes), samples)
            if record.status != "interrupted":
                _remove_older(others, record)
            _remove_stale(out)
    except UserError as error:
        raise StorageError(error, record) from error
    return StoredRun(folder=final, record=written)


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Let only one process change the results folder."""
    from filelock import FileLock

    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / LOCK)
        lock.acquire()
    except OSError as error:
        raise output_error(out, error) from error
    try:
        yield
    finally:
        lock.release()


def _remove_older(folders: Iterable[Path], record: RunRecord) -> None:
    for folder in folders:
        if folder.name < record.run_id and _key_in(folder) == record.run_key:
            gone = folder.with_name(f".tmp-{folder.name}")  # no reader sees half a run
            folder.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)


def _remove_stale(out: Path) -> None:
    for pattern in ("", "*/", "*/*/"):
        for parent in {path.parent for path in out.glob(f"{pattern}.tmp-*")}:
            remove_stale(parent)


def _key_in(folder: Path) -> str | None:
    """Return the run key in a record of any schema version; None if it cannot be read."""
    try:
        key = json.loads((folder / RECORD).read_text(encoding="utf-8")).get("run_key")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    return str(key)


def copy_images(run: StoredRun, folder: Path) -> tuple[SavedImage, ...]:
    """Copy the images of a run into the folder of the run that replaces it."""
    if run.record.images:
        shutil.copytree(run.folder / IMAGES, folder / IMAGES)
    return run.record.images

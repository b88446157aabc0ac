"""The results folder ``<out>/<suite>/<model>/<run>/``: listing, finding and storing runs."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layton_bench.errors import UserError, output_error
from layton_bench.records.folder import (
    IMAGES,
    RECORD,
    new_run_folder,
    read_record,
    write_record,
)
from layton_bench.records.record import RunRecord, SavedImage

if TYPE_CHECKING:
    import pandas as pd

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """A record and its folder."""

    folder: Path
    record: RunRecord


def safe_name(name: str) -> str:
    """Return a name as one path component: only letters, digits and ``@._+=-``, else ``_``."""
    cleaned = re.sub(r"[^A-Za-z0-9@._+=-]", "_", name).lstrip(".")
    return cleaned or "_"


def new_run_id(now: datetime | None = None) -> str:
    """Return UTC time to the millisecond and four random bytes. Ids sort by time and are unique."""
    moment = now or datetime.now(UTC)
    return f"{moment:%Y%m%dT%H%M%S}.{moment.microsecond // 1000:03d}Z-{secrets.token_hex(4)}"


def run_key(inputs: Mapping[str, Any]) -> str:
    """Return the hash of everything that affects a run's values; ``inputs`` must be JSON."""
    text = json.dumps(inputs, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def model_folder(out: Path, suite: str, model: str) -> Path:
    """Return the folder of a model's runs on a suite."""
    return out / safe_name(suite) / safe_name(model)


def run_folders(out: Path, suite: str | None = None) -> Iterator[Path]:
    """Yield folders with a record, by suite, model and time. Unfinished folders are skipped."""
    for models in sorted(out.glob(f"{safe_name(suite) if suite else '*'}/*")):
        yield from _finished(models)


def _finished(models: Path) -> list[Path]:
    """Return the run folders of one model on one suite, oldest first."""
    folders = (path.parent for path in models.glob(f"*/{RECORD}"))
    return sorted(folder for folder in folders if not folder.name.startswith("."))


def stored_runs(out: Path, suite: str | None = None) -> list[StoredRun]:
    """Return every run below ``out``, oldest first. Unreadable records are named and skipped."""
    return sorted(_readable(run_folders(out, suite)), key=lambda run: run.record.run_id)


def _readable(folders: Iterable[Path]) -> list[StoredRun]:
    runs = []
    for folder in folders:
        try:
            runs.append(StoredRun(folder=folder, record=read_record(folder)))
        except UserError as error:
            _log.warning("skipped: %s", error)
    return runs


def find_existing(out: Path, suite: str, model: str, key: str) -> StoredRun | None:
    """Return the newest finished run with exactly these inputs."""
    for run in reversed(_readable(_finished(model_folder(out, suite, model)))):
        if run.record.run_key == key and run.record.status != "interrupted":
            return run
    return None


def latest(runs: Sequence[StoredRun]) -> list[StoredRun]:
    """Return the newest run of each suite, model, options, dtype and data.

    A complete run is preferred to a run with failures. Partial runs are left out if a complete run
    with other data exists.
    """
    chosen: dict[tuple[str, ...], StoredRun] = {}
    for run in sorted(runs, key=lambda r: (r.record.is_complete, r.record.run_id)):
        chosen[(*_asked(run.record), run.record.data.fingerprint)] = run
    whole = {_asked(run.record) for run in chosen.values() if run.record.is_complete}
    kept = (r for r in chosen.values() if r.record.is_complete or _asked(r.record) not in whole)
    return sorted(kept, key=lambda r: (r.record.model.name, r.record.run_id))


def _asked(record: RunRecord) -> tuple[str, ...]:
    options = json.dumps(record.model.options, sort_keys=True)
    return (record.suite_digest, record.model.name, options, record.model.dtype)


def find_run(out: Path, name: str) -> StoredRun:
    """Return the run with this folder, this id or start of an id; or the newest run of this model.

    Raises:
        UserError: no run matches, or several ids begin with ``name``.
    """
    path = Path(name)
    if (path / RECORD).is_file():
        return StoredRun(folder=path, record=read_record(path))
    model = safe_name(name)
    folders = [f for f in run_folders(out) if f.name.startswith(name) or f.parent.name == model]
    if not folders:
        raise UserError(
            f"run '{name}'",
            f"no run in {out} has that id or model",
            "`layton-bench list runs` lists all runs. --out names another results folder.",
        )
    newest = max(folders, key=lambda f: f.name)
    exact = {f.name for f in folders if f.name.startswith(name)}
    if len(exact) > 1:
        raise UserError(
            f"run '{name}'", f"{len(exact)} run ids begin with it", "Give more of the id."
        )
    return StoredRun(folder=newest, record=read_record(newest))


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

    Raises:
        StorageError: the folder cannot be written. The error holds the record.
    """
    parent = model_folder(out, record.suite.name, record.model.name)
    final = parent / record.run_id
    try:
        with new_run_folder(final) as folder:
            record = record.model_copy(update={"images": save_images(folder)})
            record = write_record(folder, record, samples)
    except UserError as error:
        raise StorageError(error, record) from error
    if record.status != "interrupted":
        for folder in _finished(parent):
            if folder != final and _key_in(folder) == record.run_key:
                shutil.rmtree(folder, ignore_errors=True)
    return StoredRun(folder=final, record=record)


def copy_images(run: StoredRun, folder: Path) -> tuple[SavedImage, ...]:
    """Copy the images of a run into the folder of the run that replaces it."""
    if run.record.images:
        shutil.copytree(run.folder / IMAGES, folder / IMAGES)
    return run.record.images


def _key_in(folder: Path) -> str | None:
    """Return the run key in a record of any schema version; None if it cannot be read."""
    try:
        key = json.loads((folder / RECORD).read_text(encoding="utf-8")).get("run_key")
    except (OSError, ValueError, AttributeError):
        return None
    return str(key)


class StorageError(UserError):
    """A run was evaluated, but its folder could not be written. ``record`` holds its values."""

    def __init__(self, cause: UserError, record: RunRecord) -> None:
        super().__init__(cause.thing, cause.reason, cause.remedy)
        self.record = record

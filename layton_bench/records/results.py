"""The results folder ``<out>/<suite>/<model>/<run>/``: listing and finding runs."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layton_bench.errors import UserError
from layton_bench.records.folder import RECORD, read_record
from layton_bench.records.record import RunRecord

_log = logging.getLogger(__name__)

_MAX_NAME_BYTES = 120  # file systems take 255; temporary names and suffixes need some of them


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """A record and its folder."""

    folder: Path
    record: RunRecord


def safe_name(name: str) -> str:
    """Return a name as one path component: letters and digits of any script and ``@._+=-``.

    Other characters become ``_``, and long names are cut. Two names may have one folder: its
    records tell whose they are.
    """
    cleaned = re.sub(r"[^\w@.+=-]", "_", unicodedata.normalize("NFC", name)).lstrip(".") or "_"
    if len(cleaned.encode()) <= _MAX_NAME_BYTES:
        return cleaned
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]
    return cleaned.encode()[:_MAX_NAME_BYTES].decode(errors="ignore") + f"-{digest}"


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
        yield from finished_folders(models)


def finished_folders(models: Path) -> list[Path]:
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
    for run in reversed(_readable(finished_folders(model_folder(out, suite, model)))):
        if run.record.run_key == key and run.record.status != "interrupted":
            return run
    return None


def latest(runs: Sequence[StoredRun]) -> list[StoredRun]:
    """Return the runs that a leaderboard shows: all but those that another one replaces.

    A run replaces older runs of the same inputs, also if newer code made it. A complete run is
    preferred to a run with failures. It also replaces partial runs of the same suite and model
    with the same options, dtype, weights and seed.
    """
    chosen: dict[str, StoredRun] = {}
    for run in sorted(runs, key=lambda r: (r.record.is_complete, r.record.run_id)):
        chosen[_inputs(run.record)] = run
    whole = {_asked(run.record) for run in chosen.values() if run.record.is_complete}
    kept = (r for r in chosen.values() if r.record.is_complete or _asked(r.record) not in whole)
    return sorted(kept, key=lambda r: (r.record.model.name, r.record.run_id))


def _inputs(record: RunRecord) -> str:
    """Return what was put in, without the code; older records hold only its hash."""
    asked = {name: value for name, value in record.inputs.items() if name != "code"}
    return json.dumps(asked, sort_keys=True) if asked else record.run_key


def _asked(record: RunRecord) -> str:
    model = record.model
    asked = (model.name, model.options, model.dtype, model.weights, record.seed)
    return json.dumps([record.suite_digest, *asked], sort_keys=True)


def find_run(out: Path, name: str) -> StoredRun:
    """Return the run with this folder, this id or start of an id; or the newest run of this model.

    Of a model's runs, those with its default options come first.

    Raises:
        UserError: no run matches, or several ids begin with ``name``.
    """
    path = Path(name)
    if os.path.isfile(path / RECORD):  # noqa: PTH113, Path.is_file raises for a long name
        return StoredRun(folder=path, record=read_record(path))
    ids = [folder for folder in run_folders(out) if folder.name.startswith(name)]
    if len({folder.name for folder in ids}) > 1:
        raise UserError(
            f"run '{name}'", f"{len(ids)} run ids begin with it", "Give more of the id."
        )
    if ids:
        return StoredRun(folder=ids[0], record=read_record(ids[0]))
    runs = _readable(f for f in run_folders(out) if f.parent.name == safe_name(name))
    named = [run for run in runs if run.record.model.name == name]  # folders' names are not unique
    if not named:
        raise UserError(
            f"run '{name}'",
            f"no run in {out} has that id or model",
            "`layton-bench list runs` lists all runs. --out names another results folder.",
        )
    # a sweep leaves runs of the same name with other options
    return max(named, key=lambda r: (not r.record.model.changed_options, r.record.run_id))

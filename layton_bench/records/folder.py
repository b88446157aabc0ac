"""The folder of one run: written in one rename, read with its digests checked.

<run>/record.json       everything except the per-sample values
<run>/samples.parquet   one row per sample: digests, metrics, influences, bits, failure
<run>/images/           the worst and best samples, or all samples: reference and candidate
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from layton_bench.errors import UserError, output_error, pydantic_problem, reason_of
from layton_bench.machine import read_json, sync, temporary_folder
from layton_bench.records.record import RunRecord
from layton_bench.records.versions import SCHEMA_VERSION, STEPS, can_migrate, migrate

if TYPE_CHECKING:
    import pandas as pd

RECORD = "record.json"
SAMPLES = "samples.parquet"
IMAGES = "images"
REFERENCE_DIGEST = "reference digest"
"""Column of samples.parquet: SHA-256 of the sample's reference image or prompt, as hex."""
CANDIDATE_DIGEST = "candidate digest"
"""Column of samples.parquet: SHA-256 of a ready-made candidate; missing if a model made it."""


@contextmanager
def new_run_folder(final: Path) -> Iterator[Path]:
    """Yield a temporary folder; when the block ends well, one rename makes it ``final``.

    A block that raises leaves nothing behind. A killed process leaves a folder that no reader looks
    at, and that the next process removes.

    Raises:
        UserError: the disk is full or not writable.
    """
    try:
        with temporary_folder(final.parent) as temporary:
            yield temporary
            for path in (*temporary.rglob("*"), temporary):
                sync(path)
            temporary.replace(final)
            sync(final.parent)
    except OSError as error:
        raise output_error(final, error) from error


def write_record(folder: Path, record: RunRecord, samples: pd.DataFrame) -> RunRecord:
    """Write samples.parquet and record.json into a new run folder.

    Returns:
        The record with its digests.
    """
    samples.to_parquet(folder / SAMPLES, index=False)
    found = hashlib.sha256((folder / SAMPLES).read_bytes()).hexdigest()
    record = record.model_copy(update={"samples_digest": found})
    record = record.model_copy(update={"digest": _digest(json.loads(record.model_dump_json()))})
    text = record.model_dump_json(indent=2)
    (folder / RECORD).write_text(text + "\n", encoding="utf-8")
    return record


def _digest(raw: dict[str, Any]) -> str:
    """Return the digest of a record as JSON; its digest field does not count."""
    held = {name: value for name, value in raw.items() if name != "digest"}
    text = json.dumps(held, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def read_record(folder: Path) -> RunRecord:
    """Read a run's record. A record of an older schema version is converted.

    Raises:
        UserError: the record is missing, damaged, edited, or of an unknown schema version.
    """
    path = folder / RECORD
    if not path.exists():
        raise UserError(
            f"run {folder}", f"it has no {RECORD}", "Name a folder that `layton-bench run` wrote."
        )
    raw = read_json(path, name=f"record {path}", remedy=_damaged(folder))
    found = raw.get("schema_version") if isinstance(raw, dict) else None
    if not can_migrate(found):
        raise UserError(
            f"record {path}",
            f"it has schema version {found}; this layton-bench reads versions"
            f" {min(STEPS)} to {SCHEMA_VERSION}",
            f"Read it with the layton-bench that wrote it, or delete {folder} and run again.",
        )
    try:
        is_whole = raw.get("digest") == _digest(raw)
    except (ValueError, RecursionError):  # such as a lone surrogate, or JSON too deep to be written
        is_whole = False
    if not is_whole:
        raise UserError(f"record {path}", "it does not match its digest", _damaged(folder))
    try:
        return RunRecord.model_validate(migrate(raw))
    except ValidationError as error:
        raise UserError(f"record {path}", pydantic_problem(error), _damaged(folder)) from None
    except (ValueError, OverflowError, RecursionError) as error:
        raise UserError(f"record {path}", reason_of(error), _damaged(folder)) from None


def read_samples(folder: Path, record: RunRecord) -> pd.DataFrame:
    """Read a run's per-sample table.

    Raises:
        UserError: the table is missing, damaged or edited.
    """
    import pandas as pd

    path = folder / SAMPLES
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"table {path}", f"cannot be read: {error.strerror}", _damaged(folder)
        ) from None
    if hashlib.sha256(data).hexdigest() != record.samples_digest:
        raise UserError(f"table {path}", "it does not match its digest", _damaged(folder))
    try:
        samples = pd.read_parquet(io.BytesIO(data))
    except (ValueError, OSError) as error:  # pyarrow's errors are both
        raise UserError(f"table {path}", reason_of(error), _damaged(folder)) from None
    if "key" not in samples:
        raise UserError(f"table {path}", "it has no column 'key'", _damaged(folder))
    return samples


def _damaged(folder: Path) -> str:
    return f"It was edited or damaged: delete {folder} and run again."

"""The run record: one folder a run, written atomically, read with its schema checked.

<run>/record.json       everything but the per-sample numbers
<run>/samples.parquet   one row a sample
<run>/images/           the worst and best samples, reference and candidate
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError, WithJsonSchema

from layton_bench.errors import UserError
from layton_bench.metrics.base import Direction
from layton_bench.models import ModelCard, OptionValue
from layton_bench.provenance import Provenance
from layton_bench.suite import Suite
from layton_bench.types import Failure

SCHEMA_VERSION = 1
RECORD = "record.json"
SAMPLES = "samples.parquet"
IMAGES = "images"

Status = Literal["complete", "partial", "interrupted"]


class _Frozen(BaseModel):
    # JSON has no infinity; a string that reads back as one keeps the file valid.
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, ser_json_inf_nan="strings"
    )


Value = Annotated[
    float,
    WithJsonSchema({"anyOf": [{"type": "number"}, {"enum": ["Infinity", "-Infinity"]}]}),
]
"""A number, or the infinity that an exact reconstruction's PSNR is."""


class MetricResult(_Frozen):
    """One metric's value with all that a table needs to show it."""

    label: str
    """Heading in tables."""
    direction: Direction
    """Which way is better."""
    unit: str = ""
    """Unit, shown in headings."""
    digits: int = 3
    """Decimals shown."""
    value: Value | None
    """The value; None where it is undefined or the metric is unavailable."""
    low: Value | None = None
    """Lower end of the 95 % interval."""
    high: Value | None = None
    """Upper end of the 95 % interval."""
    std: float | None = None
    """Spread over the metric's own repeats."""
    n: int
    """Samples it is over."""
    note: str = ""
    """What must be known beside the number."""
    unavailable: str | None = None
    """Why the metric was not computed at all."""
    signature: str
    """All that decides the value; two values are comparable exactly if these agree."""


class Completeness(_Frozen):
    """Which samples of the suite are in the numbers."""

    expected: int
    """Samples of the complete suite."""
    selected: int
    """Samples that this run set out to use."""
    effective: int
    """Samples that every metric has seen."""
    limit: int | None = None
    """What ``--limit`` asked for."""
    missing: int = 0
    """Samples the data set lacks against the suite."""
    upscaled: int = 0
    """Images smaller than the suite's size, which the protocol enlarged."""
    failed: tuple[Failure, ...] = ()
    """Samples that fell out, and why."""
    duplicates: tuple[tuple[str, ...], ...] = ()
    """Groups of samples with the same content."""


class DataInfo(_Frozen):
    """The data a run has seen."""

    name: str
    """Name of the data set."""
    fingerprint: str
    """SHA-256 over the contents of the selected samples, whatever their layout or path."""


class ModelInfo(_Frozen):
    """The model of a run."""

    name: str
    """Name as asked for."""
    card: ModelCard
    """Its card."""
    options: dict[str, OptionValue] = {}
    """Options in force."""
    dtype: str
    """dtype it ran in."""
    weights: dict[str, str] = {}
    """Registry name of each weight → SHA-256."""


class Timing(_Frozen):
    """Wall time."""

    total_seconds: float
    """From the first batch to the last value."""
    load_seconds: float
    """Waiting for images."""
    encode_seconds: float
    """In the encoder, device-synchronised."""
    decode_seconds: float
    """In the decoder or generator, device-synchronised."""
    metrics_seconds: float
    """In the metrics."""
    batch_size: int
    """Images a batch at the end of the run."""


class SavedImage(_Frozen):
    """A sample kept for the eye."""

    key: str
    """The sample's key."""
    rank: str
    """``worst-1`` … ``best-1`` …"""
    reference: str | None
    """File in images/ of the reference."""
    candidate: str
    """File in images/ of the reconstruction or drawn image."""


class RunRecord(_Frozen):
    """Everything about a run but its per-sample numbers."""

    schema_version: Literal[1] = SCHEMA_VERSION
    """Version of this schema."""
    run_id: str
    """UTC time and short hash; sorts by time."""
    run_key: str
    """Hash of all inputs: the same key means the same run."""
    status: Status
    """``complete``, ``partial`` (not every expected sample), or ``interrupted``."""
    started: str
    """ISO 8601 UTC."""
    command: tuple[str, ...] = ()
    """The command line."""
    suite: Suite
    """The suite as it was."""
    suite_digest: str
    """SHA-256 of all in the suite that decides values."""
    model: ModelInfo
    """The model."""
    data: DataInfo
    """The data."""
    seed: int
    """What ``--seed`` gave."""
    completeness: Completeness
    """Which samples are in the numbers."""
    metrics: dict[str, MetricResult]
    """Metric name → result, in the suite's order."""
    bits_per_image: float | None = None
    """Mean of the actual bits of the codes."""
    timing: Timing
    """Wall time by phase."""
    provenance: Provenance
    """Versions and machine."""
    images: tuple[SavedImage, ...] = ()
    """Samples kept."""

    @property
    def is_complete(self) -> bool:
        """Whether the numbers are over every expected sample."""
        return self.status == "complete"

    def has(self, metric: str) -> bool:
        """Whether that metric was computed."""
        result = self.metrics.get(metric)
        return result is not None and result.unavailable is None


def json_schema() -> dict[str, Any]:
    """The published JSON Schema of record.json."""
    return RunRecord.model_json_schema()


@contextmanager
def new_run_folder(final: Path) -> Iterator[Path]:
    """A folder beside ``final`` that becomes it in one rename when the block ends well.

    A block that raises leaves nothing behind; a killed process leaves a ``.tmp-`` folder that no
    reader looks at. Raises UserError where the disk is full or not writable.
    """
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".tmp-", dir=final.parent))
        temporary.chmod(0o755)
    except OSError as error:
        raise output_error(final.parent, error) from error
    try:
        yield temporary
        for path in temporary.rglob("*"):
            _sync(path)
        temporary.replace(final)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise output_error(final, error) from error
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def output_error(path: Path, error: OSError) -> UserError:
    """What to tell a user whose output folder cannot be written."""
    return UserError(
        f"output folder {path}",
        f"cannot be written ({error.strerror or error})",
        "Free some space or name another folder with --out.",
    )


def write_record(folder: Path, record: RunRecord, samples: pd.DataFrame) -> None:
    """Write record.json and samples.parquet into an open run folder."""
    text = record.model_dump_json(indent=2)
    (folder / RECORD).write_text(text + "\n", encoding="utf-8")
    samples.to_parquet(folder / SAMPLES, index=False)


def read_record(folder: Path) -> RunRecord:
    """Read a run's record; raises UserError for one that is not whole or of another schema."""
    path = folder / RECORD
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"run {folder}", f"it has no {RECORD}", "Name a folder that `layton-bench run` wrote."
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"record {path}", f"not valid JSON: {error}", _RERUN) from None
    found = raw.get("schema_version") if isinstance(raw, dict) else None
    if found != SCHEMA_VERSION:
        raise UserError(
            f"record {path}",
            f"it has schema version {found}; this layton-bench reads version {SCHEMA_VERSION}",
            "Read it with the version that wrote it, or run again.",
        )
    try:
        return RunRecord.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise UserError(f"record {path}", f"{field}: {first['msg']}", _RERUN) from None


_RERUN = "It was edited or damaged: run again with --overwrite always."


def read_samples(folder: Path) -> pd.DataFrame:
    """Read a run's per-sample table; raises UserError for one that is not whole."""
    path = folder / SAMPLES
    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        raise UserError(f"run {folder}", f"it has no {SAMPLES}", _RERUN) from None
    except (OSError, ValueError) as error:
        raise UserError(f"table {path}", f"it cannot be read ({error})", _RERUN) from None


def failures_frame(failures: tuple[Failure, ...]) -> pd.DataFrame:
    """Failures as a table with columns key, stage, reason."""
    return pd.DataFrame([asdict(f) for f in failures], columns=["key", "stage", "reason"])


def _sync(path: Path) -> None:
    """Force a file to disk, so that a crash after the rename cannot leave it empty."""
    if path.is_file():
        with path.open("rb") as file:
            os.fsync(file.fileno())

"""The run record: one folder a run, written atomically, read with schema and digests checked.

<run>/record.json       everything but the per-sample numbers
<run>/samples.parquet   one row a sample: metrics, influences on metrics of sets, bits, failure
<run>/images/           the worst and best samples, or all of them, reference and candidate
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, WithJsonSchema

from layton_bench.errors import UserError, output_error, pydantic_problem
from layton_bench.machine import Provenance, read_json, sync
from layton_bench.metrics import Direction
from layton_bench.models import ModelCard, OptionValue
from layton_bench.records.versions import SCHEMA_VERSION, STEPS, can_migrate, migrate
from layton_bench.suite import Suite
from layton_bench.types import Failure, Stage

if TYPE_CHECKING:
    import pandas as pd

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


class SeedSpread(_Frozen):
    """A metric over several decode seeds of a decoder that draws noise."""

    values: tuple[float, ...]
    """The value under each seed; the first is the metric's own."""
    mean: float
    """Their mean."""
    std: float
    """Their standard deviation, of a sample."""
    image_variance: float | None = None
    """Variance over seeds of each image's value, mean over images; None for metrics of sets."""


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
    decode_seeds: SeedSpread | None = None
    """Spread over decode seeds, where ``--decode-seeds`` asked for it."""


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
    notes: tuple[str, ...] = ()
    """What the data set says of itself: files of equal names, missing labels, damaged shards."""


class ModelInfo(_Frozen):
    """The model of a run."""

    name: str
    """Name as asked for."""
    card: ModelCard
    """Its card."""
    options: dict[str, OptionValue] = {}
    """Options in force."""
    changed_options: tuple[str, ...] = ()
    """Those that are not the model's defaults."""
    dtype: str
    """dtype it ran in."""
    weights: dict[str, str] = {}
    """Registry name of each weight → SHA-256."""
    environment: dict[str, str] = {}
    """Versions as an external model's own process tells them; empty for one run in this process."""


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
    """Images in the largest batch that fitted."""
    encode_seconds_per_image: float | None = None
    """In the encoder, without the first batch, which warms up."""
    decode_seconds_per_image: float | None = None
    """Likewise in the decoder or generator."""
    encode_flops_per_image: float | None = None
    """Floating-point operations of the encoder by torch's counter; None where it sees none."""
    decode_flops_per_image: float | None = None
    """Likewise of the decoder or generator."""


class Throughput(_Frozen):
    """How fast a generator draws the suite's prompts, measured apart from the run, warmed up."""

    seconds_p50: float | None = None
    """Seconds of a picture drawn alone, device-synchronised: median."""
    seconds_p90: float | None = None
    """90th percentile."""
    seconds_p99: float | None = None
    """99th percentile; of few calls little less than the slowest."""
    num_calls: int = 0
    """Calls that the percentiles are over."""
    stage_seconds: dict[Stage, float] = {}
    """Median seconds of each stage of these calls; empty where the generator tells none."""
    images_per_second: dict[int, float] = {}
    """Batch size → pictures a second, of batches doubled while it pays."""
    best_batch_size: int | None = None
    """The batch size of most pictures a second."""
    best_images_per_second: float | None = None
    """Pictures a second at that batch size."""
    peak_host_mib: float | None = None
    """Largest resident size of the model's process while pictures were drawn alone."""
    peak_device_mib: float | None = None
    """Most memory that model and one picture held on the device; None on the CPU."""
    nfe: int | None = None
    """Forward passes of the denoiser for a picture, as made; None without a denoiser."""
    unavailable: str | None = None
    """Why nothing could be measured."""


class SavedImage(_Frozen):
    """A sample kept for the eye."""

    key: str
    """The sample's key."""
    rank: str
    """``worst-1`` … ``best-1`` …; empty for the others of a run that kept all of them."""
    reference: str | None
    """File in images/ of the reference."""
    candidate: str
    """File in images/ of the reconstruction or drawn image."""


class RunRecord(_Frozen):
    """Everything about a run but its per-sample numbers."""

    schema_version: Literal[2] = SCHEMA_VERSION
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
    not_applicable: tuple[str, ...] = ()
    """Metrics asked for that say nothing of this model (codebook usage of a codec)."""
    bits_per_image: float | None = None
    """Mean of the actual bits of the codes."""
    timing: Timing
    """Wall time by phase."""
    throughput: Throughput | None = None
    """A generator's speed; None for tokenizers and folders of pictures."""
    provenance: Provenance
    """Versions and machine."""
    images: tuple[SavedImage, ...] = ()
    """Samples kept."""
    samples_digest: str = ""
    """SHA-256 of samples.parquet."""
    digest: str = ""
    """SHA-256 of all the other fields, as JSON with sorted keys and no white space."""

    @property
    def is_complete(self) -> bool:
        """Whether the numbers are over every expected sample."""
        return self.status == "complete"

    def has(self, metric: str) -> bool:
        """Whether there is nothing left to compute of that metric."""
        result = self.metrics.get(metric)
        if result is None:
            return metric in self.not_applicable
        return result.unavailable is None


def json_schema() -> dict[str, Any]:
    """The published JSON Schema of record.json."""
    return RunRecord.model_json_schema()


@contextmanager
def new_run_folder(final: Path) -> Iterator[Path]:
    """A folder beside ``final`` that becomes it in one rename when the block ends well.

    A block that raises leaves nothing behind; a killed process leaves a ``.tmp-`` folder that no
    reader looks at. Raises UserError where the disk is full or not writable.
    """
    temporary = final.with_name(f".tmp-{final.name}")
    try:
        temporary.mkdir(parents=True)
    except OSError as error:
        raise output_error(final.parent, error) from error
    try:
        yield temporary
        for path in (*temporary.rglob("*"), temporary):
            sync(path)
        temporary.replace(final)
        sync(final.parent)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise output_error(final, error) from error
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def write_record(folder: Path, record: RunRecord, samples: pd.DataFrame) -> RunRecord:
    """Write samples.parquet and record.json into an open run folder; the record with digests."""
    samples.to_parquet(folder / SAMPLES, index=False)
    found = hashlib.sha256((folder / SAMPLES).read_bytes()).hexdigest()
    record = record.model_copy(update={"samples_digest": found})
    record = record.model_copy(update={"digest": _digest(json.loads(record.model_dump_json()))})
    text = record.model_dump_json(indent=2)
    (folder / RECORD).write_text(text + "\n", encoding="utf-8")
    return record


def _digest(raw: dict[str, Any]) -> str:
    """Digest of a record as JSON gives it, whatever its digest field says."""
    held = {name: value for name, value in raw.items() if name != "digest"}
    text = json.dumps(held, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def read_record(folder: Path) -> RunRecord:
    """Read a run's record, one of an older schema version as this one has it.

    Raises:
        UserError: it is not whole, was edited, or is of a schema version unknown here.
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
    if raw.get("digest") != _digest(raw):
        raise UserError(f"record {path}", "it is not what was written", _damaged(folder))
    try:
        return RunRecord.model_validate(migrate(raw))
    except ValidationError as error:
        raise UserError(f"record {path}", pydantic_problem(error), _damaged(folder)) from None


def _damaged(folder: Path) -> str:
    return f"It was edited or damaged: delete {folder} and run again."


def read_samples(folder: Path, record: RunRecord) -> pd.DataFrame:
    """Read a run's per-sample table; raises UserError for one that is not what was written."""
    import pandas as pd

    path = folder / SAMPLES
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"table {path}", f"cannot be read: {error.strerror}", _damaged(folder)
        ) from None
    if hashlib.sha256(data).hexdigest() != record.samples_digest:
        raise UserError(f"table {path}", "it is not what was written", _damaged(folder))
    return pd.read_parquet(io.BytesIO(data))

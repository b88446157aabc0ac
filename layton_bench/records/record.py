"""What a run record holds: the schema of record.json, field by field."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, JsonValue, WithJsonSchema

from layton_bench.machine import Provenance
from layton_bench.metrics import Direction
from layton_bench.models import ModelCard, OptionValue
from layton_bench.records.versions import SCHEMA_VERSION
from layton_bench.suite import Suite
from layton_bench.types import Failure, Stage

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
"""A number. It may be infinite: the PSNR of an exact reconstruction is."""


class SeedSpread(_Frozen):
    """A metric under several decode seeds, for a decoder that draws noise."""

    values: tuple[float, ...]
    """The value under each seed. The first one is the metric's value."""
    mean: float
    """Mean of the values."""
    std: float
    """Sample standard deviation of the values."""
    image_variance: float | None = None
    """Variance over seeds of one image's value, averaged over images; None for metrics of sets."""


class MetricResult(_Frozen):
    """One metric's value, and how a table shows it."""

    label: str
    """Heading in tables."""
    direction: Direction
    """Which way is better."""
    unit: str = ""
    """Unit, shown in headings."""
    digits: int = 3
    """Number of decimals shown."""
    value: Value | None
    """The value; None if it is undefined or the metric is unavailable."""
    low: Value | None = None
    """Lower end of the 95 % interval."""
    high: Value | None = None
    """Upper end of the 95 % interval."""
    std: float | None = None
    """Standard deviation over the metric's own repeats (KID subsets, IS splits)."""
    n: int
    """Number of samples behind the value."""
    note: str = ""
    """What a reader must know about the value."""
    unavailable: str | None = None
    """Why the metric was not computed; None if it was."""
    signature: str
    """Everything that affects the value. Values with equal signatures are comparable."""
    code: str = ""
    """Version or digest of the plugin that computed the value; empty in older records."""
    decode_seeds: SeedSpread | None = None
    """Spread over decode seeds, if ``--decode-seeds`` was given."""


class Completeness(_Frozen):
    """How many of the suite's samples are in the values, and which are not."""

    expected: int
    """Number of samples in the complete suite."""
    selected: int
    """Number of samples selected for this run."""
    effective: int
    """Number of samples that every metric has seen."""
    limit: int | None = None
    """The value of ``--limit``."""
    missing: int = 0
    """Number of the suite's samples that the data set lacks."""
    upscaled: int = 0
    """Number of images that were smaller than the suite's size and were enlarged."""
    failed: tuple[Failure, ...] = ()
    """Samples that failed, with the reason."""
    duplicates: tuple[tuple[str, ...], ...] = ()
    """Groups of samples with equal contents."""


class DataInfo(_Frozen):
    """The data of a run."""

    name: str
    """Name of the data set."""
    fingerprint: str
    """SHA-256 over the contents of the selected samples. Layout and paths do not affect it."""
    notes: tuple[str, ...] = ()
    """Notes of the data set: duplicate file names, missing labels, damaged shards."""


class ModelInfo(_Frozen):
    """The model of a run."""

    name: str
    """Name, as given to ``--model``."""
    card: ModelCard
    """The model's card."""
    options: dict[str, OptionValue] = {}
    """Every option and its value."""
    changed_options: tuple[str, ...] = ()
    """Options whose value is not the default."""
    dtype: str
    """dtype of the model during the run."""
    weights: dict[str, str] = {}
    """SHA-256 of each weights file, by registry name."""
    own_weights: tuple[str, ...] = ()
    """Weights that the user added and that no published digest confirms, by registry name."""
    environment: dict[str, str] = {}
    """Package versions in an external model's own process; empty for other models."""


class Timing(_Frozen):
    """Wall time of a run, in seconds."""

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
    """Number of images in the largest batch that fitted."""
    encode_seconds_per_image: float | None = None
    """In the encoder, without the first batch (warm-up)."""
    decode_seconds_per_image: float | None = None
    """In the decoder or generator, without the first batch."""
    encode_flops_per_image: float | None = None
    """Floating-point operations of the encoder, by torch's counter; None if it counted none."""
    decode_flops_per_image: float | None = None
    """Floating-point operations of the decoder or generator, counted in the same way."""


class Throughput(_Frozen):
    """A generator's speed on the suite's prompts, measured separately after a warm-up."""

    seconds_p50: float | None = None
    """Median seconds per image at batch 1, device-synchronised."""
    seconds_p90: float | None = None
    """90th percentile of the seconds per image at batch 1."""
    seconds_p99: float | None = None
    """99th percentile. With few calls, it is close to the slowest call."""
    num_calls: int = 0
    """Number of calls behind the percentiles."""
    stage_seconds: dict[Stage, float] = {}
    """Median seconds of each stage of these calls; empty if the generator reports no stages."""
    images_per_second: dict[int, float] = {}
    """Images per second by batch size. The batch size is doubled while this gains speed."""
    best_batch_size: int | None = None
    """The batch size with the most images per second."""
    best_images_per_second: float | None = None
    """Images per second at that batch size."""
    peak_host_mib: float | None = None
    """Peak resident memory of the model's process at batch 1."""
    peak_device_mib: float | None = None
    """Peak device memory at batch 1; None on the CPU."""
    nfe: int | None = None
    """Counted forward passes of the denoiser per image; None without a denoiser."""
    unavailable: str | None = None
    """Why the speed was not measured; None if it was."""


class SavedImage(_Frozen):
    """The pictures kept of one sample."""

    key: str
    """The sample's key."""
    rank: str
    """``worst-1`` …, ``best-1`` …; empty for other samples of a run that kept all pictures."""
    reference: str | None
    """File name of the reference in images/; None without a reference."""
    candidate: str
    """File name of the reconstruction or generated image in images/."""


class RunRecord(_Frozen):
    """Everything about a run except its per-sample values."""

    schema_version: Literal[3] = SCHEMA_VERSION
    """Version of this schema."""
    run_id: str
    """UTC time and short random text; sorts by time."""
    run_key: str
    """Hash of all inputs. Runs with the same key are the same run."""
    inputs: dict[str, JsonValue] = {}
    """Everything that affects the values; ``run_key`` is its hash. ``code`` is what computed them:
    digests of plugins, versions of packages. Empty in records of older versions."""
    status: Status
    """``complete``, ``partial`` (not every expected sample), or ``interrupted``."""
    started: str
    """ISO 8601 UTC."""
    command: tuple[str, ...] = ()
    """The command line."""
    suite: Suite
    """The suite at the time of the run."""
    suite_digest: str
    """SHA-256 of everything in the suite that affects values."""
    model: ModelInfo
    """The model of the run."""
    data: DataInfo
    """The data of the run."""
    seed: int
    """The value of ``--seed``."""
    completeness: Completeness
    """Which samples are in the values."""
    metrics: dict[str, MetricResult]
    """Metric name → result, in the suite's order."""
    not_applicable: tuple[str, ...] = ()
    """Requested metrics that do not apply to this model (codebook usage of a codec)."""
    bits_per_image: float | None = None
    """Mean number of bits per image, counted from the codes."""
    timing: Timing
    """Wall time by phase."""
    throughput: Throughput | None = None
    """A generator's speed; None for tokenizers and folders of images."""
    provenance: Provenance
    """Versions and machine."""
    images: tuple[SavedImage, ...] = ()
    """Samples whose pictures were kept."""
    samples_digest: str = ""
    """SHA-256 of samples.parquet."""
    digest: str = ""
    """SHA-256 of all other fields, as JSON with sorted keys and without white space."""

    @property
    def is_complete(self) -> bool:
        """Whether the values cover every expected sample."""
        return self.status == "complete"

    def has(self, metric: str) -> bool:
        """Whether the run has this metric, or the metric does not apply to it."""
        result = self.metrics.get(metric)
        if result is None:
            return metric in self.not_applicable
        return result.unavailable is None


def json_schema() -> dict[str, Any]:
    """Return the published JSON Schema of record.json."""
    return RunRecord.model_json_schema()

"""layton-bench: a benchmark harness for image tokenizers and text-to-image generators.

The names below are what users and plugin authors may rely on; docs/plugins.md shows them in use.
"""

from importlib.metadata import PackageNotFoundError, version

from layton_bench.datasets.base import Dataset, DatasetSpec
from layton_bench.datasets.protocols import Protocol
from layton_bench.errors import (
    ImageError,
    LaytonBenchError,
    ModelOutputError,
    UserError,
    as_user_error,
)
from layton_bench.hookspecs import hookimpl
from layton_bench.images import to_signed, to_uint8
from layton_bench.machine.clock import StageClock
from layton_bench.machine.devices import torch_dtype
from layton_bench.metrics.backbones import Backbone, BackboneSpec
from layton_bench.metrics.base import (
    Metric,
    MetricContext,
    MetricPattern,
    MetricSpec,
    PerSampleMetric,
)
from layton_bench.models.base import (
    CallCost,
    Generator,
    LoadContext,
    ModelCard,
    ModelPattern,
    ModelSpec,
    Tokenizer,
)
from layton_bench.models.grid import GridTokenizer
from layton_bench.models.prompted import ClassGenerator, TextGenerator
from layton_bench.models.resized import ResizeAdapter
from layton_bench.types import Codes, Item, MetricValue, Prompt, ScoredBatch
from layton_bench.weights.store import WeightsEntry, WeightsFile, hub_file

try:
    __version__ = version("layton-bench")
except PackageNotFoundError:  # a bare checkout
    __version__ = "0+unknown"

__all__ = [
    "Backbone",
    "BackboneSpec",
    "CallCost",
    "ClassGenerator",
    "Codes",
    "Dataset",
    "DatasetSpec",
    "Generator",
    "GridTokenizer",
    "ImageError",
    "Item",
    "LaytonBenchError",
    "LoadContext",
    "Metric",
    "MetricContext",
    "MetricPattern",
    "MetricSpec",
    "MetricValue",
    "ModelCard",
    "ModelOutputError",
    "ModelPattern",
    "ModelSpec",
    "PerSampleMetric",
    "Prompt",
    "Protocol",
    "ResizeAdapter",
    "ScoredBatch",
    "StageClock",
    "TextGenerator",
    "Tokenizer",
    "UserError",
    "WeightsEntry",
    "WeightsFile",
    "__version__",
    "as_user_error",
    "hookimpl",
    "hub_file",
    "to_signed",
    "to_uint8",
    "torch_dtype",
]

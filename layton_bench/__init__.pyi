from .datasets import Dataset as Dataset, DatasetSpec as DatasetSpec, Protocol as Protocol
from .errors import (
    ImageError as ImageError,
    LaytonBenchError as LaytonBenchError,
    ModelOutputError as ModelOutputError,
    UserError as UserError,
    as_user_error as as_user_error,
)
from .hookspecs import hookimpl as hookimpl
from .images import to_signed as to_signed, to_uint8 as to_uint8
from .machine import StageClock as StageClock, torch_dtype as torch_dtype
from .metrics import (
    Backbone as Backbone,
    BackboneSpec as BackboneSpec,
    Metric as Metric,
    MetricContext as MetricContext,
    MetricPattern as MetricPattern,
    MetricSpec as MetricSpec,
    PerSampleMetric as PerSampleMetric,
)
from .models import (
    CallCost as CallCost,
    ClassGenerator as ClassGenerator,
    Generator as Generator,
    GridTokenizer as GridTokenizer,
    LoadContext as LoadContext,
    ModelCard as ModelCard,
    ModelPattern as ModelPattern,
    ModelSpec as ModelSpec,
    ResizeAdapter as ResizeAdapter,
    TextGenerator as TextGenerator,
    Tokenizer as Tokenizer,
)
from .types import (
    Codes as Codes,
    Item as Item,
    MetricValue as MetricValue,
    Prompt as Prompt,
    ScoredBatch as ScoredBatch,
)
from .weights import WeightsEntry as WeightsEntry, WeightsFile as WeightsFile, hub_file as hub_file

__version__: str

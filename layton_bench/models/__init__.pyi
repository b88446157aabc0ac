from .base import (
    CallCost as CallCost,
    Generator as Generator,
    LoadContext as LoadContext,
    ModelCard as ModelCard,
    ModelPattern as ModelPattern,
    ModelSpec as ModelSpec,
    OptionValue as OptionValue,
    TellsCost as TellsCost,
    Tokenizer as Tokenizer,
    check_prompts as check_prompts,
)
from .external.declaration import external_model as external_model
from .grid import GridTokenizer as GridTokenizer
from .prompted import ClassGenerator as ClassGenerator, TextGenerator as TextGenerator
from .resized import ResizeAdapter as ResizeAdapter, adapt as adapt

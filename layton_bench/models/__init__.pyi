from .base import (
    CallCost as CallCost,
    Generator as Generator,
    LoadContext as LoadContext,
    ModelCard as ModelCard,
    ModelKind as ModelKind,
    ModelPattern as ModelPattern,
    ModelSpec as ModelSpec,
    OptionValue as OptionValue,
    TellsCost as TellsCost,
    TellsNotes as TellsNotes,
    Tokenizer as Tokenizer,
    check_prompts as check_prompts,
)
from .checked import check_codes as check_codes, check_images as check_images
from .external.declaration import (
    card_of as card_of,
    command_of as command_of,
    environment_of as environment_of,
    files_of as files_of,
    read_declaration as read_declaration,
)
from .external.proxies import (
    ExternalGenerator as ExternalGenerator,
    ExternalTokenizer as ExternalTokenizer,
)
from .external.session import Session as Session
from .grid import GridTokenizer as GridTokenizer
from .prompted import ClassGenerator as ClassGenerator, TextGenerator as TextGenerator
from .resized import ResizeAdapter as ResizeAdapter, adapt as adapt

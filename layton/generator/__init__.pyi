from .codes import CodeGenerator as CodeGenerator
from .config import (
    GENERATORS as GENERATORS,
    GPTConfig as GPTConfig,
    Guidance as Guidance,
    Sampling as Sampling,
    find_generator as find_generator,
)
from .folder import (
    TEXT_FOLDER as TEXT_FOLDER,
    GeneratorSettings as GeneratorSettings,
    write_generator as write_generator,
)
from .loading import check_gpt as check_gpt, load_gpt as load_gpt, save_gpt as save_gpt
from .text import T5TextEncoder as T5TextEncoder
from .text_to_image import (
    ClassToImage as ClassToImage,
    CodeDecoder as CodeDecoder,
    LaytonDecoder as LaytonDecoder,
    TextToImage as TextToImage,
    VQImageDecoder as VQImageDecoder,
)
from .transformer import GPT as GPT
from .words import (
    WordEncoder as WordEncoder,
    WordsConfig as WordsConfig,
    load_words as load_words,
    save_words as save_words,
    split_words as split_words,
    vocabulary as vocabulary,
)

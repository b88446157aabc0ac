from .errors import (
    CheckpointError as CheckpointError,
    CodesError as CodesError,
    ConfigError as ConfigError,
    ImageError as ImageError,
    LaytonError as LaytonError,
    MissingPartError as MissingPartError,
    PromptError as PromptError,
)
from .generator import (
    GENERATORS as GENERATORS,
    GPT as GPT,
    ClassToImage as ClassToImage,
    CodeGenerator as CodeGenerator,
    GPTConfig as GPTConfig,
    Guidance as Guidance,
    LaytonDecoder as LaytonDecoder,
    Sampling as Sampling,
    T5TextEncoder as T5TextEncoder,
    TextToImage as TextToImage,
    VQImageDecoder as VQImageDecoder,
    find_generator as find_generator,
    load_gpt as load_gpt,
    save_gpt as save_gpt,
)
from .tokenizer import (
    NAMED_MODELS as NAMED_MODELS,
    NamedModel as NamedModel,
    NoiseConfig as NoiseConfig,
    SamplerConfig as SamplerConfig,
    Tokenizer as Tokenizer,
    TokenizerConfig as TokenizerConfig,
    UNetConfig as UNetConfig,
    VAEConfig as VAEConfig,
    ViTConfig as ViTConfig,
    VQConfig as VQConfig,
    named_model as named_model,
)
from .weights import pack_linears as pack_linears

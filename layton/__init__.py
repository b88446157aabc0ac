"""Layton: a Latent Consistency Tokenizer (arXiv 2503.08377), 1024 px images in 256 codes.

    from layton import Tokenizer

    tokenizer = Tokenizer.from_pretrained("layton-tokenizer.pth", name="layton-t")
    tokenizer.optimize_for_inference()
    codes = tokenizer.encode(images)                 # (B, 256) int64
    images = tokenizer.decode(codes, generator=[0, 1])

Names are imported when first used, so that `import layton` loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from layton.errors import (
        CheckpointError,
        CodesError,
        ConfigError,
        ImageError,
        LaytonError,
        MissingPartError,
        PromptError,
    )
    from layton.generator.codes import CodeGenerator
    from layton.generator.config import (
        GENERATORS,
        GPTConfig,
        Guidance,
        Sampling,
        find_generator,
    )
    from layton.generator.loading import load_gpt, save_gpt
    from layton.generator.text import T5TextEncoder
    from layton.generator.text_to_image import (
        ClassToImage,
        LaytonDecoder,
        TextToImage,
        VQImageDecoder,
    )
    from layton.generator.transformer import GPT
    from layton.tokenizer.config import (
        NAMED_MODELS,
        NamedModel,
        NoiseConfig,
        SamplerConfig,
        TokenizerConfig,
        UNetConfig,
        VAEConfig,
        ViTConfig,
        VQConfig,
        named_model,
    )
    from layton.tokenizer.model import Tokenizer
    from layton.weights.packed import pack_linears

__all__ = [
    "GENERATORS",
    "GPT",
    "NAMED_MODELS",
    "CheckpointError",
    "ClassToImage",
    "CodeGenerator",
    "CodesError",
    "ConfigError",
    "GPTConfig",
    "Guidance",
    "ImageError",
    "LaytonDecoder",
    "LaytonError",
    "MissingPartError",
    "NamedModel",
    "NoiseConfig",
    "PromptError",
    "SamplerConfig",
    "Sampling",
    "T5TextEncoder",
    "TextToImage",
    "Tokenizer",
    "TokenizerConfig",
    "UNetConfig",
    "VAEConfig",
    "VQConfig",
    "VQImageDecoder",
    "ViTConfig",
    "find_generator",
    "load_gpt",
    "named_model",
    "pack_linears",
    "save_gpt",
]

_MODULES = {
    "ClassToImage": "generator.text_to_image",
    "CodeGenerator": "generator.codes",
    "GENERATORS": "generator.config",
    "GPT": "generator.transformer",
    "GPTConfig": "generator.config",
    "Guidance": "generator.config",
    "LaytonDecoder": "generator.text_to_image",
    "Sampling": "generator.config",
    "T5TextEncoder": "generator.text",
    "TextToImage": "generator.text_to_image",
    "Tokenizer": "tokenizer.model",
    "VQImageDecoder": "generator.text_to_image",
    "find_generator": "generator.config",
    "load_gpt": "generator.loading",
    "pack_linears": "weights.packed",
    "save_gpt": "generator.loading",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "errors" if name.endswith("Error") else _MODULES.get(name, "tokenizer.config")
    return getattr(import_module(f"{__name__}.{home}"), name)

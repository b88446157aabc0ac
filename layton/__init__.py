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
    from layton.config import (
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
    from layton.errors import (
        CheckpointError,
        CodesError,
        ConfigError,
        ImageError,
        LaytonError,
        MissingPartError,
    )
    from layton.tokenizer import Tokenizer

__all__ = [
    "NAMED_MODELS",
    "CheckpointError",
    "CodesError",
    "ConfigError",
    "ImageError",
    "LaytonError",
    "MissingPartError",
    "NamedModel",
    "NoiseConfig",
    "SamplerConfig",
    "Tokenizer",
    "TokenizerConfig",
    "UNetConfig",
    "VAEConfig",
    "VQConfig",
    "ViTConfig",
    "named_model",
]

_MODULES = {"Tokenizer": "tokenizer"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "errors" if name.endswith("Error") else _MODULES.get(name, "config")
    return getattr(import_module(f"{__name__}.{home}"), name)

"""A VQ tokenizer's folder: config.json and model.safetensors, as phase `vq` exports it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field, TypeAdapter, ValidationError

from layton.errors import ConfigError, raising
from layton.tokenizer.config import ViTConfig, VQConfig
from layton.tokenizer.vq_model import VQModel
from layton.weights import CONFIG_FILE, load_strict, read_state, write_folder

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

__all__ = ["read_vq", "read_vq_config", "write_vq"]

_CONFIG: TypeAdapter[VQConfig | ViTConfig] = TypeAdapter(
    Annotated[VQConfig | ViTConfig, Field(discriminator="kind")]
)
_LEAST_STD = 1e-6


def read_vq(folder: Path) -> VQModel:
    """Read the tokenizer in such a folder, in evaluation mode.

    Raises:
        CheckpointError: weights that cannot be read or do not fit.
        ConfigError: no config.json, or a broken one.
    """
    config, name = read_vq_config(folder), str(folder / CONFIG_FILE)
    with (
        raising(ConfigError, name, "its sizes do not fit together", "Correct the file."),
        torch.device("meta"),
    ):
        model = VQModel(config)
    load_strict(model, read_state(folder), source=str(folder))
    return model.eval()


def read_vq_config(folder: Path) -> VQConfig | ViTConfig:
    """Read the configuration of such a folder.

    Raises:
        ConfigError: no config.json, or a broken one.
    """
    path = folder / CONFIG_FILE
    try:
        return _CONFIG.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ConfigError(str(path), f"cannot be read ({error})", "Train phase vq.") from None


def write_vq(model: VQModel, folder: Path) -> None:
    """Write what `read_vq` and `Tokenizer.from_parts(vq=folder)` read.

    Code vectors of free length are brought to about unit variance, as their readers expect.
    """
    state = {k: v for k, v in model.state_dict().items() if not k.endswith("codebook_used")}
    if not model.config.l2_normalize:
        _scale_codes(state)
    write_folder(folder, state, _CONFIG.dump_json(model.config, indent=2).decode())


def _scale_codes(state: dict[str, Tensor]) -> None:
    """Bring code vectors near unit variance by a power of two, which changes no code and no pixel.

    Training leaves their scale to chance. It may give a standard deviation of 20, and layers that
    read such vectors would start far out.
    """
    codebook = state["quantize.embedding.weight"]
    factor = 2.0 ** -round(math.log2(max(float(codebook.std()), _LEAST_STD)))
    for key in ("quantize.embedding.weight", "quant_conv.weight", "quant_conv.bias"):
        state[key] = state[key] * factor
    state["post_quant_conv.weight"] = state["post_quant_conv.weight"] / factor

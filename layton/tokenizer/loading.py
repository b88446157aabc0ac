"""Where a tokenizer's weights come from: a file, a folder, a hub id, or SDXL and VQ parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from layton.errors import CheckpointError, ConfigError, MissingPartError, raising
from layton.tokenizer.config import TokenizerConfig, config_from_json
from layton.tokenizer.diffusers_parts import read_part, sizes_fit, unet_config, vae_config
from layton.tokenizer.ladd import ENCODER_PARTS, ConditionEmbedding
from layton.tokenizer.lora import LoRAPair, match_lora, merged_weight, read_lora
from layton.tokenizer.named import NAMED_MODELS, named_model, published_in
from layton.tokenizer.network import Network
from layton.tokenizer.official import (
    check_official,
    from_official,
    is_official,
    without_unused,
)
from layton.tokenizer.sources import locate
from layton.weights import (
    compare,
    read_state,
    require_fit,
)

__all__ = ["Loaded", "check_file", "read_parts", "read_tokenizer"]

Loaded = tuple[TokenizerConfig, dict[str, Tensor]]
"""A tokenizer's configuration, and the tensors of a `Network` of that configuration."""

_PARTS = {"unet": "decoder.unet.", "vae": "vae."}
_OFFICIAL_WRAPPERS = ("model", "ema", "module", "state_dict")  # in the official loader's order
_OFFICIAL_ALPHA = 8.0  # PEFT's default, which the released files were trained with


def read_tokenizer(
    source: str | Path,
    *,
    name: str | None = None,
    config: TokenizerConfig | None = None,
    sdxl: str | Path | None = None,
    lora: str | Path | None = None,
    lora_strength: float = 1.0,
    dtype: torch.dtype = torch.float32,
) -> Loaded:
    """Read a tokenizer's configuration and weights.

    Args:
        source: a file (the official layout or ours); a folder that `save_pretrained` wrote, or with
            a published file; the name of a shipped or a published model; or a hub id.
        name: the model that the file holds (layton-h, layton-t-star …). It gives the configuration
            and the LoRA's alpha. A file alone needs this or `config`, unless it has the name of a
            published file.
        config: the configuration of a file, instead of `name`.
        sdxl: a diffusers SDXL folder or hub id, for the U-Net or VAE where the file has none.
        lora: an acceleration LoRA to merge into the U-Net (a file, or a PEFT folder).
        lora_strength: factor on that LoRA.
        dtype: of decoder and VAE. Encoder and codebook stay float32. So does a VAE that overflows
            in float16.

    Raises:
        CheckpointError: a file cannot be read or does not fit.
        ConfigError: the configuration is missing, broken, or given twice.
        MissingPartError: no file has the U-Net, the VAE, or the weights at all.
    """
    label = str(source)
    if name is None and config is None and label in NAMED_MODELS and not Path(source).exists():
        name = label
    weights, found = locate(source, name)
    if name is None and config is None and found is None:
        name = published_in("", weights.name)
    chosen = _one_config(name, config, found, label=label)
    alpha = named_model(name).lora_alpha if name else _OFFICIAL_ALPHA
    with raising(ConfigError, label, "its sizes do not fit together", "Correct its config.json."):
        network = _without_weights(chosen)
    cast = _Cast(chosen, dtype)
    if lora is not None:
        cast.changes = match_lora(
            network.decoder.unet, read_lora(lora), strength=lora_strength, source=str(lora)
        )
    state = _state_of(weights)
    if is_official(state):
        wanted = network.state_dict()
        return chosen, from_official(state, wanted, alpha=alpha, source=label, cast=cast)
    state = _completed(without_unused(state), sdxl, chosen, label=label)
    return chosen, {key: cast(key, tensor) for key, tensor in state.items()}


def read_parts(
    *,
    sdxl: str | Path,
    vq: str | Path,
    config: TokenizerConfig | None = None,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> Loaded:
    """Read a tokenizer as it is before phase 1.

    SDXL gives the U-Net and the VAE, a VQ tokenizer the encoder and the codebook. The ControlNet
    copy starts from the U-Net's encoder with zero convolutions. Decoding therefore begins as plain
    SDXL without any steering.

    Args:
        sdxl: a diffusers folder or hub id with `unet` and `vae`; their sizes are read from it.
        vq: a VQ checkpoint (LlamaGen's VQ-16, or our own).
        config: everything the two do not fix.
        dtype: of decoder and VAE.
        seed: of the condition embedding's initial weights.

    Raises:
        CheckpointError: a part cannot be read or does not fit.
    """
    unet, vae = read_part(sdxl, "unet"), read_part(sdxl, "vae")
    chosen = replace(
        config or TokenizerConfig(), unet=unet_config(unet.config), vae=vae_config(vae.config)
    )
    wanted = _without_weights(chosen).state_dict()
    state = _vq_part(read_state(vq), wanted, label=str(vq))
    state |= {_PARTS["unet"] + k: v for k, v in unet.state_dict().items()}
    state |= {_PARTS["vae"] + k: v for k, v in vae.state_dict().items()}
    state |= _fresh_copy(unet.state_dict(), wanted, chosen, seed=seed)
    cast = _Cast(chosen, dtype)
    return chosen, {key: cast(key, tensor) for key, tensor in state.items()}


def _without_weights(config: TokenizerConfig) -> Network:
    with torch.device("meta"):
        return Network(config)


def check_file(path: Path, name: str) -> None:
    """Raise CheckpointError unless a file holds that model's tokenizer, or the trained part of it.

    Keys and shapes are compared; no weights are copied.
    """
    wanted = dict(_without_weights(named_model(name).config).state_dict())
    state = _state_of(path)
    if is_official(state):
        check_official(state, wanted, source=str(path))
        return
    state = without_unused(state)
    for prefix in _PARTS.values():  # SDXL completes a file without them
        if not any(key.startswith(prefix) for key in state):
            wanted = {key: v for key, v in wanted.items() if not key.startswith(prefix)}
    require_fit(state, wanted, source=str(path))


def _state_of(path: Path) -> dict[str, Tensor]:
    """Return a file's weights; of an official file those that the official code takes."""
    state = read_state(path, wrappers=_OFFICIAL_WRAPPERS)
    return state if is_official(state) else read_state(path)


def _one_config(
    name: str | None, config: TokenizerConfig | None, found: Path | None, *, label: str
) -> TokenizerConfig:
    if name is not None and config is not None:
        raise ConfigError(label, "name and config are both given", "Pass one of them.")
    if config is not None:
        return config
    if name is not None:
        return named_model(name).config
    if found is None:
        raise ConfigError(
            label, "a file alone does not say its sizes", "Pass name= or config= with it."
        )
    try:
        return config_from_json(found.read_text(), source=str(found))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(found), f"cannot be read ({error})") from None


def _completed(
    state: Mapping[str, Tensor], sdxl: str | Path | None, config: TokenizerConfig, *, label: str
) -> dict[str, Tensor]:
    full = dict(state)
    for part, prefix in _PARTS.items():
        if any(key.startswith(prefix) for key in full):
            continue
        if sdxl is None:
            raise MissingPartError(
                label, f"has no {part}", "Pass sdxl=, a diffusers SDXL folder or hub id."
            )
        module = read_part(sdxl, part)
        if not sizes_fit(part, module.config, config):
            raise CheckpointError(str(sdxl), f"its {part} has other sizes than the configuration")
        full |= {prefix + key: tensor for key, tensor in module.state_dict().items()}
    return full


def _vq_part(
    state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], *, label: str
) -> dict[str, Tensor]:
    ours = {key: v for key, v in wanted.items() if not key.startswith(("decoder.", "vae."))}
    known = {key: tensor for key, tensor in state.items() if key in ours}
    report = compare(known, ours, optional=["codebook_used"])
    if not report.fits:
        raise CheckpointError(label, f"is no VQ tokenizer of this configuration\n{report}")
    return known


def _fresh_copy(
    unet: Mapping[str, Tensor], wanted: Mapping[str, Tensor], config: TokenizerConfig, *, seed: int
) -> dict[str, Tensor]:
    # the ControlNet copy before training: U-Net encoder, zero convolutions, new embedding
    prefix = "decoder.controlnet."
    copied = {prefix + k: v.clone() for k, v in unet.items() if k.startswith(ENCODER_PARTS)}
    zeros = {
        key: torch.zeros(tensor.shape)
        for key, tensor in wanted.items()
        if key.startswith((f"{prefix}controlnet_down_blocks.", f"{prefix}controlnet_mid_block."))
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        embedding = ConditionEmbedding(
            config.encoder.codebook_dim,
            config.condition_channels,
            config.unet.block_out_channels[0],
        ).state_dict()
    fresh = {f"{prefix}controlnet_cond_embedding.{k}": v for k, v in embedding.items()}
    return copied | zeros | fresh


class _Cast:
    """Cast each tensor to its part's dtype, and add an acceleration LoRA if there is one.

    It works on one tensor at a time. The sum is in float32 and rounded once. A second copy of the
    model never exists.
    """

    def __init__(self, config: TokenizerConfig, dtype: torch.dtype) -> None:
        upcast = config.vae.force_upcast and dtype == torch.float16
        self.dtypes = {"decoder": dtype, "vae": torch.float32 if upcast else dtype}
        self.changes: dict[str, tuple[LoRAPair, float]] = {}

    def __call__(self, key: str, tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point():
            return tensor
        target = self.dtypes.get(key.partition(".")[0], torch.float32)
        layer = key.removeprefix(_PARTS["unet"]).removesuffix(".weight")
        if key.startswith(_PARTS["unet"]) and layer in self.changes and key.endswith(".weight"):
            pair, scale = self.changes[layer]
            tensor = merged_weight(tensor.float(), pair, scale=scale)
        return tensor.to(target)

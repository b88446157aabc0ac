"""The U-Net and VAE of a diffusers folder, and their configurations as ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from layton.errors import ConfigError, MissingPartError, raising
from layton.tokenizer.config import TokenizerConfig, UNetConfig, VAEConfig

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

__all__ = ["read_part", "sizes_fit", "unet_config", "vae_config"]


def unet_config(config: Mapping[str, Any]) -> UNetConfig:
    """Read a diffusers UNet2DConditionModel configuration.

    Raises:
        ConfigError: it has a feature that the decoder does not run.
    """
    supported = {
        "act_fn": ("silu",),
        "addition_embed_type": (None, "text_time"),
        "center_input_sample": (False,),
        "class_embed_type": (None,),
        "conv_in_kernel": (3,),
        "conv_out_kernel": (3,),
        "dual_cross_attention": (False,),
        "encoder_hid_dim": (None,),
        "flip_sin_to_cos": (True,),
        "freq_shift": (0,),
        "norm_eps": (1e-5,),
        "num_class_embeds": (None,),
        "only_cross_attention": (False,),
        "resnet_time_scale_shift": ("default",),
        "time_embedding_type": ("positional",),
        "upcast_attention": (None, False),
    }
    _require_supported(config, supported, part="U-Net")
    with _broken("U-Net"):
        return _unet_config(config)


def _unet_config(config: Mapping[str, Any]) -> UNetConfig:
    levels = len(config["block_out_channels"])
    micro_width = config.get("addition_time_embed_dim")
    embedded = config.get("projection_class_embeddings_input_dim") or 0
    heads = config.get("num_attention_heads") or config["attention_head_dim"]
    return UNetConfig(
        latent_channels=config["in_channels"],
        block_out_channels=tuple(config["block_out_channels"]),
        down_block_types=tuple(config["down_block_types"]),
        mid_block_type=config["mid_block_type"],
        up_block_types=tuple(config["up_block_types"]),
        layers_per_block=config["layers_per_block"],
        transformer_layers_per_block=_per_level(config["transformer_layers_per_block"], levels),
        num_attention_heads=_per_level(heads, levels),
        cross_attention_dim=config["cross_attention_dim"],
        norm_num_groups=config["norm_num_groups"],
        use_linear_projection=config["use_linear_projection"],
        addition_time_embed_dim=micro_width,
        pooled_text_dim=embedded - 6 * micro_width if micro_width else 0,
    )


def vae_config(config: Mapping[str, Any]) -> VAEConfig:
    """Read a diffusers AutoencoderKL configuration.

    Raises:
        ConfigError: it has a feature that the decoder does not run.
    """
    supported = {
        "act_fn": ("silu",),
        "latents_mean": (None,),
        "shift_factor": (None,),
        "use_post_quant_conv": (True,),
        "use_quant_conv": (True,),
    }
    _require_supported(config, supported, part="VAE")
    with _broken("VAE"):
        return VAEConfig(
            latent_channels=config["latent_channels"],
            block_out_channels=tuple(config["block_out_channels"]),
            layers_per_block=config["layers_per_block"],
            norm_num_groups=config["norm_num_groups"],
            mid_block_add_attention=config.get("mid_block_add_attention", True),
            scaling_factor=config["scaling_factor"],
            force_upcast=bool(config.get("force_upcast", True)),
        )


def sizes_fit(part: str, found: Mapping[str, Any], config: TokenizerConfig) -> bool:
    """Whether a diffusers configuration has the sizes that the tokenizer's `unet` or `vae` has."""
    if part == "unet":
        return unet_config(found) == config.unet
    return vae_config(found) == config.vae


def read_part(source: str | Path, part: str, *, for_sizes: bool = False) -> Any:
    """Read the `unet` or `vae` of a diffusers folder or hub id.

    Args:
        source: the folder or hub id.
        part: which of the two.
        for_sizes: build it from its configuration on the default device; read no weights.

    Raises:
        MissingPartError: there is none, or it cannot be read.
    """
    import diffusers

    builder: Any = {"unet": diffusers.UNet2DConditionModel, "vae": diffusers.AutoencoderKL}[part]
    folder = Path(source) / part
    plain = (folder / "diffusion_pytorch_model.safetensors").is_file()
    halved = list(folder.glob("diffusion_pytorch_model.fp16*.safetensors"))
    variant = "fp16" if halved and not plain else None
    failed = f"no {part} can be read from it"
    with raising(MissingPartError, str(source), failed, "Pass a diffusers folder."):
        if for_sizes:
            return builder.from_config(builder.load_config(str(source), subfolder=part))
        return builder.from_pretrained(
            str(source), subfolder=part, use_safetensors=True, variant=variant
        )


def _broken(part: str) -> AbstractContextManager[None]:
    return raising(ConfigError, part, "its config.json is broken", "Download it again.")


def _require_supported(
    config: Mapping[str, Any], supported: Mapping[str, tuple[Any, ...]], *, part: str
) -> None:
    for key, values in supported.items():
        if key in config and config[key] not in values:
            raise ConfigError(part, f"{key} = {config[key]!r} is not supported")


def _per_level(value: int | list[int] | tuple[int, ...], levels: int) -> tuple[int, ...]:
    return (value,) * levels if isinstance(value, int) else tuple(value)

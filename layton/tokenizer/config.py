"""Configurations as data: every size of every part.

Sizes default to the released 1024 px model on SDXL; every field can be made small.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from layton.errors import ConfigError

__all__ = [
    "VQ_8",
    "VQ_16",
    "NoiseConfig",
    "SamplerConfig",
    "TokenizerConfig",
    "UNetConfig",
    "VAEConfig",
    "VQConfig",
    "ViTConfig",
    "config_from_json",
    "config_to_json",
]

_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, kw_only=True, slots=True, config=_STRICT)
class VQConfig:
    """The convolution-and-attention VQ tokenizer (VQGAN geometry, as LlamaGen published it).

    Level i has channels · ch_mult[i] channels; each level but the last halves the side, so the
    downsample factor is 2^(levels − 1). Only the lowest resolution has attention.
    """

    kind: Literal["vq"] = "vq"
    channels: int = 128
    encoder_ch_mult: tuple[int, ...] = (1, 1, 2, 2, 4)
    decoder_ch_mult: tuple[int, ...] = (1, 1, 2, 2, 4)
    num_res_blocks: int = 2
    z_channels: int = 256
    norm_num_groups: int = 32
    dropout: float = 0.0
    codebook_size: int = 16384
    codebook_dim: int = 8
    l2_normalize: bool = True

    @property
    def downsample_factor(self) -> int:
        """Image side over token grid side."""
        return 1 << (len(self.encoder_ch_mult) - 1)


VQ_16 = VQConfig()
VQ_8 = VQConfig(encoder_ch_mult=(1, 2, 2, 4), decoder_ch_mult=(1, 2, 2, 4))


@dataclass(frozen=True, kw_only=True, slots=True, config=_STRICT)
class ViTConfig:
    """A transformer encoder over patches, the paper's description of the encoder.

    Widths default to ViT-B/16 (Dosovitskiy et al., arXiv 2010.11929).
    """

    kind: Literal["vit"] = "vit"
    patch_size: int = 16
    width: int = 768
    depth: int = 12
    num_heads: int = 12
    mlp_ratio: int = 4
    z_channels: int = 256
    codebook_size: int = 16384
    codebook_dim: int = 8
    l2_normalize: bool = True

    @property
    def downsample_factor(self) -> int:
        """Image side over token grid side."""
        return self.patch_size


@dataclass(frozen=True, kw_only=True, slots=True, config=_STRICT)
class UNetConfig:
    """A latent diffusion U-Net as diffusers' UNet2DConditionModel builds it; SDXL's sizes.

    Attributes:
        num_attention_heads: heads of each resolution (diffusers calls this attention_head_dim);
            for blocks named AttnDownBlock2D/AttnUpBlock2D diffusers reads it as the head width.
        cross_attention_dim: width of the text states (all zero here); unused without CrossAttn…
            blocks.
        addition_time_embed_dim: width of each micro-conditioning number's embedding; None or 0
            leaves micro-conditioning out.
        pooled_text_dim: width of the pooled text (all zero here) beside the micro-conditioning.
    """

    latent_channels: int = 4
    block_out_channels: tuple[int, ...] = (320, 640, 1280)
    down_block_types: tuple[str, ...] = (
        "DownBlock2D",
        "CrossAttnDownBlock2D",
        "CrossAttnDownBlock2D",
    )
    mid_block_type: str = "UNetMidBlock2DCrossAttn"
    up_block_types: tuple[str, ...] = ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D")
    layers_per_block: int = 2
    transformer_layers_per_block: tuple[int, ...] = (1, 2, 10)
    num_attention_heads: tuple[int, ...] = (5, 10, 20)
    cross_attention_dim: int = 2048
    norm_num_groups: int = 32
    use_linear_projection: bool = True
    addition_time_embed_dim: int | None = 256
    pooled_text_dim: int = 1280

    @property
    def downsample_factor(self) -> int:
        """Latent sides must be multiples of this."""
        return 1 << (len(self.block_out_channels) - 1)

    def to_diffusers(self) -> dict[str, Any]:
        """Keyword arguments that UNet2DConditionModel and ControlNetModel share."""
        arguments: dict[str, Any] = {
            "in_channels": self.latent_channels,
            "block_out_channels": self.block_out_channels,
            "down_block_types": self.down_block_types,
            "mid_block_type": self.mid_block_type,
            "layers_per_block": self.layers_per_block,
            "transformer_layers_per_block": self.transformer_layers_per_block,
            "attention_head_dim": self.num_attention_heads,
            "cross_attention_dim": self.cross_attention_dim,
            "norm_num_groups": self.norm_num_groups,
            "use_linear_projection": self.use_linear_projection,
        }
        if self.addition_time_embed_dim:
            arguments |= {
                "addition_embed_type": "text_time",
                "addition_time_embed_dim": self.addition_time_embed_dim,
                "projection_class_embeddings_input_dim": 6 * self.addition_time_embed_dim
                + self.pooled_text_dim,
            }
        return arguments


@dataclass(frozen=True, kw_only=True, slots=True, config=_STRICT)
class VAEConfig:
    """The KL autoencoder of the latent space, as diffusers' AutoencoderKL builds it; SDXL's sizes.

    Attributes:
        scaling_factor: scaled latents = raw latents · scaling_factor.
        force_upcast: decode in float32 where the model runs in float16 (SDXL's overflows there).
    """

    latent_channels: int = 4
    block_out_channels: tuple[int, ...] = (128, 256, 512, 512)
    layers_per_block: int = 2
    norm_num_groups: int = 32
    mid_block_add_attention: bool = True
    scaling_factor: float = 0.13025
    force_upcast: bool = True

    @property
    def downsample_factor(self) -> int:
        """Image side over latent side."""
        return 1 << (len(self.block_out_channels) - 1)

    def to_diffusers(self) -> dict[str, Any]:
        """Keyword arguments of AutoencoderKL."""
        levels = len(self.block_out_channels)
        return {
            "latent_channels": self.latent_channels,
            "block_out_channels": self.block_out_channels,
            "down_block_types": ("DownEncoderBlock2D",) * levels,
            "up_block_types": ("UpDecoderBlock2D",) * levels,
            "layers_per_block": self.layers_per_block,
            "norm_num_groups": self.norm_num_groups,
            "mid_block_add_attention": self.mid_block_add_attention,
            "scaling_factor": self.scaling_factor,
            "force_upcast": self.force_upcast,
        }


@dataclass(frozen=True, kw_only=True, slots=True, config=_STRICT)
class NoiseConfig:
    """The "scaled linear" noise schedule of Stable Diffusion: √β runs linearly.

    Attributes:
        num_train_timesteps: timesteps of the schedule.
        beta_start, beta_end: first and last β.
        prediction: the decoder's output, as in diffusers' prediction_type: the noise (SDXL), or
            v = √ᾱ · eps − √(1 − ᾱ) · x0 (Salimans and Ho, arXiv 2202.00512). At the last timestep
            √ᾱ is 0.068. Computing x0 from the noise then magnifies the decoder's error 15 times;
            computing it from v does not. A small decoder therefore needs v.
    """

    num_train_timesteps: int = 1000
    beta_start: float = 0.00085
    beta_end: float = 0.012
    prediction: Literal["epsilon", "v_prediction"] = "epsilon"


@dataclass(frozen=True, kw_only=True, slots=True, config=_STRICT)
class SamplerConfig:
    """How latents are drawn.

    Attributes:
        kind: "consistency" predicts x0, noises it to the next timestep and repeats; "ddim" is
            deterministic DDIM (Song et al., arXiv 2010.02502).
        steps: model calls, if `decode` is not given another number.
        cond_scale: factor on the residuals of the ControlNet copy.
    """

    kind: Literal["consistency", "ddim"] = "consistency"
    steps: int = Field(default=3, ge=1)
    cond_scale: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True, config=_STRICT)
class TokenizerConfig:
    """A whole Layton tokenizer.

    Attributes:
        image_px: side of the images that go in and come out, in pixels.
        encode_px: side to which an image is resized before the encoder.
        encode_px_choices: sides that may be used instead (they give other token counts).
        condition_channels: widths of the convolutions that embed the code vectors.
    """

    encoder: VQConfig | ViTConfig = Field(default=VQ_16, discriminator="kind")
    unet: UNetConfig = UNetConfig()
    vae: VAEConfig = VAEConfig()
    noise: NoiseConfig = NoiseConfig()
    sampler: SamplerConfig = SamplerConfig()
    image_px: int = 1024
    encode_px: int = 256
    encode_px_choices: tuple[int, ...] = (224, 256, 288)
    condition_channels: tuple[int, ...] = (8, 32, 96, 256)

    def __post_init__(self) -> None:
        """Refuse sizes that cannot work together."""
        factor = self.encoder.downsample_factor
        if self.encode_px not in self.encode_px_choices:
            raise ConfigError(
                "encode_px", f"{self.encode_px} is not among {self.encode_px_choices}", "Add it."
            )
        if bad := [size for size in self.encode_px_choices if size % factor]:
            raise ConfigError("encode_px_choices", f"{bad} are not multiples of {factor}")
        if self.image_px % self.size_multiple:
            raise ConfigError(
                "image_px", f"{self.image_px} is not a multiple of {self.size_multiple}"
            )
        if self.unet.latent_channels != self.vae.latent_channels:
            raise ConfigError(
                "latent_channels",
                f"{self.unet.latent_channels} in the U-Net, {self.vae.latent_channels} in the VAE",
            )

    @property
    def size_multiple(self) -> int:
        """Sides of decoded images are multiples of this."""
        return self.vae.downsample_factor * self.unet.downsample_factor

    @property
    def num_tokens(self) -> int:
        """Codes per image at the default encode_px."""
        return self.tokens_at(self.encode_px)

    def tokens_at(self, encode_px: int) -> int:
        """Codes per image at that encode_px."""
        return (encode_px // self.encoder.downsample_factor) ** 2


_CONFIG: TypeAdapter[TokenizerConfig] = TypeAdapter(TokenizerConfig)


def config_to_json(config: TokenizerConfig) -> str:
    """The configuration as indented JSON."""
    return _CONFIG.dump_json(config, indent=2).decode() + "\n"


def config_from_json(text: str, *, source: str) -> TokenizerConfig:
    """Read what `config_to_json` wrote.

    Raises:
        ConfigError: broken JSON, an unknown or missing field, or an invalid value.
    """
    try:
        return _CONFIG.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ConfigError(source, f"{place}: {first['msg']}", "Correct the file.") from None

"""The tokenizer: images → 256 codes → images.

Axes: B batch, N codes per image, S image side. Images are float RGB in [-1, 1].
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from layton.errors import CodesError, ConfigError, ImageError
from layton.tokenizer.config import TokenizerConfig, config_to_json
from layton.tokenizer.consistency import (
    NoiseSchedule,
    consistency_timesteps,
    ddim_timesteps,
    sample_consistency,
    sample_ddim,
)
from layton.tokenizer.folding import fold_vae, lay_out_for_convolution, pack_transformers
from layton.tokenizer.inputs import Seeds, check_images, check_range, noise_source
from layton.tokenizer.loading import Loaded, read_parts, read_tokenizer
from layton.tokenizer.network import Network
from layton.weights import load_strict, write_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Tokenizer"]


class Tokenizer(Network):
    """A Layton tokenizer: images to codes and back. Weights are random until loaded."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__(config)
        self.schedule = NoiseSchedule(config.noise)

    @classmethod
    def from_pretrained(
        cls, source: str | Path, *, device: torch.device | str = "cpu", **options: Any
    ) -> Self:
        """Load a tokenizer in evaluation mode.

        Args:
            source: a file, a folder, a shipped model's name, or a hub id.
            device: where the model goes.
            options: name, config, sdxl, lora, lora_strength, dtype; see `loading.read_tokenizer`.
        """
        return cls._filled(read_tokenizer(source, **options), str(source)).to(device)

    @classmethod
    def from_parts(cls, *, sdxl: str | Path, vq: str | Path, **options: Any) -> Self:
        """Load a tokenizer as it is before training; see `loading.read_parts`."""
        return cls._filled(read_parts(sdxl=sdxl, vq=vq, **options), f"{sdxl} and {vq}")

    @classmethod
    def _filled(cls, loaded: Loaded, source: str) -> Self:
        config, state = loaded
        with torch.device("meta"):
            model = cls(config)
        load_strict(model, state, source=source)
        return model.eval()

    def save_pretrained(
        self,
        folder: str | Path,
        *,
        dtype: torch.dtype | None = None,
        unet: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Write config.json and model.safetensors, which `from_pretrained(folder)` reads.

        Args:
            folder: created if it does not exist; existing files are replaced, each in one move.
            dtype: of the stored floating tensors; None keeps theirs.
            unet: weights to store in place of the U-Net's own, when a LoRA is merged into them.

        Raises:
            ConfigError: optimize_for_inference has changed the weights.
        """
        if self.decoder.is_folded:
            raise ConfigError("save_pretrained", "the weights are folded", "Save before folding.")
        state = {k: v for k, v in self.state_dict().items() if not k.endswith("codebook_used")}
        if unet is not None:
            prefix = "decoder.unet."
            state = {k: v for k, v in state.items() if not k.startswith(prefix)}
            state |= {prefix + key: tensor for key, tensor in unet.items()}
        write_folder(Path(folder), state, config_to_json(self.config), dtype=dtype)

    @torch.no_grad()
    def encode(self, images: Tensor, *, encode_px: int | None = None) -> Tensor:
        """Images → codes (B, N) int64, row by row over the token grid.

        Args:
            images: (B, 3, S, S) float in [-1, 1] with S = config.image_px, or already resized to
                one of config.encode_px_choices. The resize is bicubic with antialiasing.
            encode_px: side for the encoder, one of config.encode_px_choices.

        Raises:
            ImageError: another shape, size or dtype, or values far outside [-1, 1].
            ConfigError: encode_px is none of the choices.
        """
        return self.quantize.encode(self.features(images, encode_px=encode_px)).flatten(1)

    def features(self, images: Tensor, *, encode_px: int | None = None) -> Tensor:
        """Images as for `encode` → z (B, codebook_dim, h, w), before quantisation."""
        resized = self._resized(images, encode_px)
        z: Tensor = self.quant_conv(self.encoder(resized.to(self.quant_conv.weight)))
        return z

    @torch.no_grad()
    def decode(
        self,
        codes: Tensor,
        *,
        generator: Seeds = 0,
        steps: int | None = None,
        cond_scale: float | None = None,
        size_px: int | None = None,
    ) -> Tensor:
        """Codes → images (B, 3, S, S) float32 in [-1, 1].

        Args:
            codes: (B, N) integers; N as of one of config.encode_px_choices.
            generator: a list with one seed or generator per image; or one int for all images; or
                one generator for the whole batch, as in the official code. With the last, an image
                depends on the rest of its batch. Noise is drawn on the CPU.
            steps: model calls; None: config.sampler.steps.
            cond_scale: factor on the ControlNet residuals; None: config.sampler.cond_scale.
            size_px: side S of the images; None: config.image_px. Larger ones are decoded by the
                VAE in overlapping tiles.

        Raises:
            CodesError: out of range, of the wrong count, or not integers.
            ConfigError: steps, size_px or the number of generators is invalid.
        """
        side = self._latent_side(size_px)
        shape = (self.config.unet.latent_channels, side, side)
        latents = self.decode_latents(
            codes,
            draw_noise=noise_source(generator, len(codes), shape),
            steps=steps,
            cond_scale=cond_scale,
            size_px=size_px,
        )
        return self.latents_to_images(latents)

    @torch.no_grad()
    def decode_latents(
        self,
        codes: Tensor,
        *,
        draw_noise: Callable[[], Tensor],
        steps: int | None = None,
        cond_scale: float | None = None,
        size_px: int | None = None,
    ) -> Tensor:
        """Codes → scaled latents (B, C, h, w) in the decoder's dtype.

        Args:
            codes: as for `decode`.
            draw_noise: unit noise (B, C, h, w): called for the start, then once between steps.
            steps: as for `decode`.
            cond_scale: as for `decode`.
            size_px: as for `decode`.
        """
        return self.sample_latents(
            self.quantized(codes),
            draw_noise=draw_noise,
            steps=steps,
            cond_scale=cond_scale,
            size_px=size_px,
        )

    @torch.no_grad()
    def sample_latents(
        self,
        quantized: Tensor,
        *,
        draw_noise: Callable[[], Tensor],
        steps: int | None = None,
        cond_scale: float | None = None,
        size_px: int | None = None,
    ) -> Tensor:
        """Code vectors (B, codebook_dim, h', w') of any grid → latents; see `decode_latents`."""
        sampler = self.config.sampler
        pixels = size_px or self.config.image_px
        side = self._latent_side(size_px)
        scale = sampler.cond_scale if cond_scale is None else cond_scale
        embedding = self.decoder.embed(quantized, (side, side))

        def predict(x_t: Tensor, timestep: int) -> Tensor:
            output: Tensor = self.decoder(
                x_t, timestep, embedding, size_px=(pixels, pixels), cond_scale=scale
            )
            return output

        def draw() -> Tensor:
            return draw_noise().to(embedding).contiguous(memory_format=self._memory_format)

        timesteps = self.timesteps(steps)
        if sampler.kind == "ddim":
            return sample_ddim(predict, draw(), schedule=self.schedule, timesteps=timesteps)
        return sample_consistency(
            predict, draw(), schedule=self.schedule, timesteps=timesteps, draw_noise=draw
        )

    @torch.no_grad()
    def latents_to_images(self, latents: Tensor) -> Tensor:
        """Scaled latents (B, C, h, w) → images (B, 3, 8h, 8w) float32, clipped to [-1, 1]."""
        raw = latents.to(self.vae.dtype) / self.config.vae.scaling_factor
        images: Tensor = self.vae.decode(raw, return_dict=False)[0]
        return images.float().clamp_(-1.0, 1.0)

    def quantized(self, codes: Tensor) -> Tensor:
        """Codes (B, N) → code vectors (B, codebook_dim, h, w) float32.

        Raises:
            CodesError: out of range, of the wrong count, or not integers.
        """
        choices = {self.config.tokens_at(px): px for px in self.config.encode_px_choices}
        if codes.ndim != 2 or codes.shape[1] not in choices:
            raise CodesError(
                "codes",
                f"shape {tuple(codes.shape)}, expected (B, N) with N of {sorted(choices)}",
                "Pass the codes of whole images.",
            )
        side = choices[codes.shape[1]] // self.config.encoder.downsample_factor
        return self.quantize.lookup(codes.view(len(codes), side, side))

    def timesteps(self, steps: int | None = None) -> tuple[int, ...]:
        """Timesteps of the model calls, highest first."""
        count = self.config.sampler.steps if steps is None else steps
        choose = ddim_timesteps if self.config.sampler.kind == "ddim" else consistency_timesteps
        return choose(count, self.config.noise.num_train_timesteps)

    def optimize_for_inference(self, *, compile: bool = False) -> Self:  # noqa: A002 torch's word
        """Fold constants, remove what decoding never reads, lay weights out for convolution.

        Outputs change only by rounding (folding.py says why). It cannot be undone: the model can
        then be neither trained nor saved. A second call changes nothing.

        Args:
            compile: also compile the decoder and the VAE (torch.compile).
        """
        if self.decoder.is_folded:
            return self
        self.requires_grad_(False).eval()
        self.decoder.fold()
        fold_vae(self.vae)
        lay_out_for_convolution(self)
        if compile:  # which lays linear weights out itself
            self.decoder.compile_steps()
            self.vae.decoder.compile()
        else:
            pack_transformers(self.decoder)
        return self

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.quantize.embedding.weight.device

    @property
    def _memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.decoder.is_folded else torch.contiguous_format

    def _latent_side(self, size_px: int | None) -> int:
        size = size_px or self.config.image_px
        if size <= 0 or size % self.config.size_multiple:
            raise ConfigError("size_px", f"{size} is not a multiple of {self.config.size_multiple}")
        return size // self.config.vae.downsample_factor

    def _resized(self, images: Tensor, encode_px: int | None) -> Tensor:
        config = self.config
        target = encode_px or config.encode_px
        if target not in config.encode_px_choices:
            raise ConfigError("encode_px", f"{target} is not among {config.encode_px_choices}")
        check_images(images, multiple=1)
        check_range(images)
        sides = tuple(images.shape[2:])
        if sides == (target, target):
            return images
        if sides != (config.image_px, config.image_px):
            raise ImageError(
                "images",
                f"{sides[0]}×{sides[1]} px; this model takes {config.image_px}×{config.image_px}"
                f" or {target}×{target}",
                "Crop to a square and resize first.",
            )
        small = F.interpolate(images.float(), (target, target), mode="bicubic", antialias=True)
        return small.clamp_(-1.0, 1.0)

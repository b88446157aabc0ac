"""TiTok (arXiv 2406.07550) and TA-TiTok (arXiv 2501.07730): an image as a short row of tokens.

Module names are those of the published checkpoints. Their state dicts load without a key map.

Axes: B batch, N image tokens, P patches, L all positions, D width, C codebook_dim, T text
positions. Images are RGB in [0, 1] here, as in the official code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from layton.errors import ImageError
from layton.tokenizer.quantizer import Quantizer
from layton_bench_titok.pixel_decoder import PixelDecoder
from layton_bench_titok.transformer import Block, lay_out_for_inference

if TYPE_CHECKING:
    from layton_bench_titok.variants import TiTokConfig, ViTConfig

__all__ = ["TiTok"]

_LOGVAR_RANGE = (-30.0, 20.0)


class _Transformer(nn.Module):
    """The common part of encoder and decoder: embeddings, blocks and norms."""

    def __init__(self, vit: ViTConfig, *, num_patches: int, num_tokens: int) -> None:
        super().__init__()
        scale = vit.width**-0.5
        self.num_patches = num_patches
        self.class_embedding = nn.Parameter(scale * torch.randn(1, vit.width))
        self.positional_embedding = nn.Parameter(scale * torch.randn(num_patches + 1, vit.width))
        self.latent_token_positional_embedding = nn.Parameter(
            scale * torch.randn(num_tokens, vit.width)
        )
        self.ln_pre = nn.LayerNorm(vit.width)
        self.transformer = nn.ModuleList(Block(vit.width, vit.heads) for _ in range(vit.layers))
        self.ln_post = nn.LayerNorm(vit.width)

    def _run(self, parts_BLD: list[Tensor], keep: slice) -> Tensor:
        # only these positions of the last block are used
        x = self.ln_pre(torch.cat(parts_BLD, dim=1))
        for block in self.transformer[:-1]:
            x = block(x)
        out: Tensor = self.ln_post(self.transformer[-1](x, keep))
        return out

    def _patches(self, x_BPD: Tensor) -> Tensor:
        """Class token in front, positions added: (B, P, D) → (B, 1 + P, D)."""
        first = self.class_embedding.expand(len(x_BPD), 1, -1)
        return torch.cat([first, x_BPD], dim=1) + self.positional_embedding


class TiTokEncoder(_Transformer):
    """Images and learned tokens → the tokens, with what they collected from the image."""

    def __init__(self, config: TiTokConfig) -> None:
        patch = config.encoder_patch_px
        grid = config.size_px // patch
        super().__init__(config.encoder, num_patches=grid**2, num_tokens=config.num_tokens)
        self.is_legacy = config.pixel is not None
        width = config.encoder.width
        self.patch_embed = nn.Conv2d(3, width, patch, stride=patch)
        channels = config.codebook_dim * (2 if config.is_continuous else 1)
        self.conv_out = nn.Conv2d(width, channels, 1)

    def forward(self, images_01: Tensor, latent_tokens_ND: Tensor) -> Tensor:
        """Images (B, 3, S, S) in [0, 1] → (B, N, C), or (B, N, 2·C) mean and log variance."""
        patches = self._patches(self.patch_embed(images_01).flatten(2).transpose(1, 2))
        tokens = latent_tokens_ND + self.latent_token_positional_embedding
        parts = [patches, tokens.expand(len(patches), -1, -1)]
        gathered_BND = self._run(parts, slice(1 + self.num_patches, None))
        if self.is_legacy:
            # the first models read the token-major memory as width-major; their weights expect it
            size = gathered_BND.shape
            gathered_BND = gathered_BND.reshape(size[0], size[2], size[1]).transpose(1, 2)
        return F.linear(gathered_BND, self.conv_out.weight.flatten(1), self.conv_out.bias)


class TiTokDecoder(_Transformer):
    """Code vectors (and text features) in, logits of second-stage codes or pixels out."""

    def __init__(self, config: TiTokConfig) -> None:
        self.patch_px = config.decoder_patch_px
        self.grid = config.size_px // config.decoder_patch_px
        super().__init__(config.decoder, num_patches=self.grid**2, num_tokens=config.num_tokens)
        width = config.decoder.width
        self.decoder_embed = nn.Linear(config.codebook_dim, width)
        self.mask_token = nn.Parameter(width**-0.5 * torch.randn(1, 1, width))
        if config.text_length:
            self.text_guidance_proj = nn.Linear(config.text_dim, width)
            self.text_guidance_positional_embedding = nn.Parameter(
                width**-0.5 * torch.randn(config.text_length, width)
            )
        self.predicts_pixels = config.pixel is None
        if config.pixel is None:
            self.ffn = nn.Sequential(nn.Conv2d(width, 3 * self.patch_px**2, 1))
            self.conv_out = nn.Conv2d(3, 3, 3, padding=1)
        else:
            self.ffn = nn.Sequential(
                nn.Conv2d(width, 2 * width, 1),
                nn.Tanh(),
                nn.Conv2d(2 * width, config.pixel.codebook_size, 1),
            )

    def forward(self, vectors_BNC: Tensor, text_BTE: Tensor | None = None) -> Tensor:
        """(B, N, C) → logits (B, codes of the second stage, h, w) or images (B, 3, S, S)."""
        batch = len(vectors_BNC)
        tokens = self.decoder_embed(vectors_BNC) + self.latent_token_positional_embedding
        parts = [self._patches(self.mask_token.expand(batch, self.num_patches, -1)), tokens]
        if text_BTE is not None:
            text = self.text_guidance_proj(text_BTE) + self.text_guidance_positional_embedding
            parts.append(text.expand(batch, -1, -1))
        x_BPD = self._run(parts, slice(1, 1 + self.num_patches))
        x = self.ffn(x_BPD.transpose(1, 2).reshape(batch, -1, self.grid, self.grid))
        return self._pixels(x) if self.predicts_pixels else x

    def _pixels(self, x: Tensor) -> Tensor:
        # channels of a patch are ordered row, column, colour
        p, grid = self.patch_px, self.grid
        x = x.reshape(-1, p, p, 3, grid, grid).permute(0, 3, 4, 1, 5, 2)
        out: Tensor = self.conv_out(x.reshape(-1, 3, grid * p, grid * p))
        return out


class TiTok(nn.Module):
    """Encoder, codebook (or Gaussian) and decoder of any TiTok or TA-TiTok model."""

    def __init__(self, config: TiTokConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = TiTokEncoder(config)
        self.decoder = TiTokDecoder(config)
        width = config.encoder.width
        self.latent_tokens = nn.Parameter(width**-0.5 * torch.randn(config.num_tokens, width))
        if config.codebook_size is not None:
            self.quantize = Quantizer(
                config.codebook_size,
                config.codebook_dim,
                l2_normalize=config.l2_normalize,
                window=0,
            )
        if config.pixel is not None:
            pixel = config.pixel
            self.pixel_quantize = Quantizer(
                pixel.codebook_size, pixel.z_channels, l2_normalize=False, window=0
            )
            self.pixel_decoder = PixelDecoder(pixel)

    def optimize_for_inference(self) -> None:
        """Rearrange in place what may be: the same to rounding, but no longer a state dict.

        Doublings of the second stage join the convolutions after them; on a CPU, linear layers
        are laid out once for the matrix products to come. Call it on the final device and dtype.
        """
        if self.config.pixel is not None:
            self.pixel_decoder.fold_upsampling()
        lay_out_for_inference(self)

    def features(self, images_01: Tensor) -> Tensor:
        """Images (B, 3, S, S) in [0, 1] → (B, N, C); (B, N, 2·C) for the continuous models.

        Raises:
            ImageError: wrong shape or size; the positional embeddings fit one size only.
        """
        size = self.config.size_px
        if images_01.shape[1:] != (3, size, size):
            raise ImageError(
                "images",
                f"shape {tuple(images_01.shape)}",
                f"Resize or crop to {size}×{size} px, RGB.",
            )
        z: Tensor = self.encoder(images_01, self.latent_tokens)
        return z

    def posterior(self, images_01: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance, each (B, N, C), of a continuous model's tokens.

        z = mean + exp(logvar / 2) · noise; the mean is the mode.
        """
        mean, logvar = self.features(images_01).chunk(2, dim=2)
        return mean, logvar.clamp(*_LOGVAR_RANGE)

    def encode(self, images_01: Tensor) -> Tensor:
        """Images (B, 3, S, S) in [0, 1] → codes (B, N) int64."""
        return self.quantize.encode(self.features(images_01).transpose(1, 2))

    def decode(self, codes_BN: Tensor, text_BTE: Tensor | None = None) -> Tensor:
        """Codes (B, N) → images (B, 3, S, S), nominally in [0, 1], not clamped.

        Raises:
            CodesError: a code is out of range or no integer.
        """
        vectors = self.quantize.lookup(codes_BN).transpose(1, 2)
        return self.decode_vectors(vectors.to(self.latent_tokens.dtype), text_BTE)

    def decode_vectors(self, vectors_BNC: Tensor, text_BTE: Tensor | None = None) -> Tensor:
        """Code vectors or continuous tokens (B, N, C) → images, nominally in [0, 1].

        Args:
            vectors_BNC: what the decoder is to draw.
            text_BTE: CLIP text features (B or 1, T, text_dim); TA-TiTok needs them, TiTok has no
                use for them.
        """
        x: Tensor = self.decoder(vectors_BNC, text_BTE)
        if self.config.pixel is None:
            return x
        # the second stage sees the expected code vector under the predicted distribution
        rows = self.pixel_quantize.embedding.weight
        expected = F.linear(x.softmax(1).movedim(1, -1), rows.T).movedim(-1, 1)
        images: Tensor = self.pixel_decoder(expected)
        return images

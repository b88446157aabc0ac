"""Exact constant folding of a diffusion U-Net for inference with zero text states.

Constants are computed once and taken out of the loop:
- A cross-attention layer that sees all-zero text states has zero keys and values, because its key
  and value projections have no bias. For every query it returns its output projection's bias. The
  bias is added to that of the self-attention before it, and the layer is removed.
- The time embedding of a fixed timestep is one vector per residual block, added right after its
  first convolution. It is added to that convolution's bias.
- Nearest-neighbour doubling and then a 3×3 convolution are one transposed 4×4 convolution of
  stride 2. Its kernel sums the taps that read the same pixel: 16 multiplications, not 36.
- Query, key and value projections are one matrix product.

In every dtype, the outputs change only by rounding.

Axes: B batch, C channels, H W, N = H·W, D width.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from layton.errors import ConfigError
from layton.tokenizer.vq import Upsample
from layton.weights import pack_linears

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "FoldedResnet",
    "FoldedUpsample",
    "fold_unet",
    "fold_upsampling",
    "fold_vae",
    "lay_out_for_convolution",
    "pack_transformers",
]


class FoldedResnet(nn.Module):
    """A residual block; the first convolution's bias holds the time embedding, if there is one.

    `forward` takes the biases of all blocks of its half in place of diffusers' `temb`.
    """

    def __init__(self, block: Any, index: int = 0) -> None:
        super().__init__()
        _require(block.upsample is None and block.downsample is None)
        added = block.time_embedding_norm == "default" and not block.skip_time_act
        _require(added or block.time_emb_proj is None)
        self.index = index
        self.norm1, self.conv1, self.time_emb_proj = block.norm1, block.conv1, block.time_emb_proj
        self.norm2, self.conv2, self.conv_shortcut = block.norm2, block.conv2, block.conv_shortcut
        self.scale = 1.0 / block.output_scale_factor

    def bias(self, emb: Tensor) -> Tensor:
        """Bias (C,) of the first convolution for the time embedding `emb` (1, D), float32."""
        project = self.time_emb_proj
        shift = F.linear(F.silu(emb.float()), project.weight.float(), project.bias.float())
        bias: Tensor = self.conv1.bias.float() + shift[0]
        return bias.to(self.conv1.weight.dtype)

    def forward(self, x: Tensor, temb: Sequence[Tensor] | None = None, *_: Any) -> Tensor:
        """(B, C, H, W) → (B, C', H, W)."""
        bias = self.conv1.bias if temb is None else temb[self.index]
        y = F.conv2d(F.silu(self.norm1(x), inplace=True), self.conv1.weight, bias, padding=1)
        y = cast(Tensor, self.conv2(F.silu(self.norm2(y), inplace=True)))
        y += x if self.conv_shortcut is None else self.conv_shortcut(x)
        return y if self.scale == 1.0 else y * self.scale


class FoldedBlock(nn.Module):
    """Self-attention and feed-forward; the cross-attention's constant is in a bias."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        attention = block.attn1
        self.heads = attention.heads
        self.norm1, self.norm3, self.ff = block.norm1, block.norm3, block.ff
        self.qkv = _stacked([attention.to_q, attention.to_k, attention.to_v])
        self.out = attention.to_out[0]
        if block.attn2 is not None:
            bias = self.out.bias.float() + zero_text_output(block.attn2)
            self.out.bias = _parameter(bias.to(self.out.weight.dtype))

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) → (B, N, D)."""
        batch, count, _ = x.shape
        qkv = self.qkv(self.norm1(x)).view(batch, count, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, count, -1)
        x = x + self.out(y)
        out: Tensor = x + self.ff(self.norm3(x))
        return out


class FoldedTransformer(nn.Module):
    """Transformer blocks over all positions; copies nothing when x is channels_last."""

    def __init__(self, transformer: Any) -> None:
        super().__init__()
        self.norm = transformer.norm
        self.proj_in = _as_linear(transformer.proj_in)
        self.proj_out = _as_linear(transformer.proj_out)
        self.blocks = nn.Sequential(*(FoldedBlock(b) for b in transformer.transformer_blocks))

    def forward(self, x: Tensor, *_: Any, **__: Any) -> tuple[Tensor]:
        """(B, C, H, W) → the same shape, in a tuple as diffusers' blocks expect it."""
        y = self.norm(x).permute(0, 2, 3, 1).flatten(1, 2)
        y = self.proj_out(self.blocks(self.proj_in(y)))
        return (y.view(len(x), *x.shape[2:], -1).permute(0, 3, 1, 2) + x,)


class FoldedUpsample(nn.Module):
    """Nearest doubling and a 3×3 convolution as one transposed convolution."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight = _parameter(_doubling_kernel(conv.weight))
        self.bias = conv.bias

    def forward(self, x: Tensor, *_: Any, **__: Any) -> Tensor:
        """(B, C, H, W) → (B, C', 2H, 2W)."""
        return F.conv_transpose2d(x, self.weight, self.bias, stride=2, padding=1)


def zero_text_output(attention: Any) -> Tensor:
    """What a cross-attention layer returns for all-zero text states: (D,) float32.

    Softmax weights sum to 1 over equal values, so the result is to_out(value bias).
    """
    out = attention.to_out[0]
    constant: Tensor = out.bias.float()
    if attention.to_v.bias is not None:
        constant = constant + F.linear(attention.to_v.bias.float(), out.weight.float())
    return constant


def fold_unet(half: nn.Module) -> list[FoldedResnet]:
    """Fold a U-Net or ControlNet in place; its residual blocks in the order of their index.

    Raises:
        ConfigError: the network has a part whose folding would not be exact.
    """
    resnets: list[FoldedResnet] = []

    def fold(module: Any) -> nn.Module | None:
        match type(module).__name__:
            case "ResnetBlock2D":
                resnets.append(FoldedResnet(module, len(resnets)))
                return resnets[-1]
            case "Transformer2DModel":
                for block in module.transformer_blocks:
                    _require(block.norm_type == "layer_norm" and not block.only_cross_attention)
                    _require(block.pos_embed is None and not block.attn1.upcast_attention)
                return FoldedTransformer(module)
            case "Upsample2D":
                return _folded_upsample(module)
        return None

    _replace(half, fold)
    return resnets


def fold_vae(vae: Any) -> None:
    """Fold an AutoencoderKL's decoder in place and drop its encoder."""

    def fold(module: Any) -> nn.Module | None:
        is_block = type(module).__name__ == "ResnetBlock2D"
        return FoldedResnet(module) if is_block else _fold_doubling(module)

    _replace(vae.decoder, fold)
    vae.encoder = vae.quant_conv = None


def fold_upsampling(root: nn.Module) -> None:
    """Fold nearest doublings in place: of our `vq.py`, of AutoencoderKL and -Tiny."""
    _replace(root, _fold_doubling)


def _fold_doubling(module: nn.Module) -> nn.Module | None:
    if isinstance(module, Upsample):
        return FoldedUpsample(module.conv)
    if isinstance(module, nn.Sequential):
        # a bare doubling before a bare convolution, as in AutoencoderTiny's decoder
        for i, (first, second) in enumerate(pairwise(module)):
            if _doubles(first) and isinstance(second, nn.Conv2d) and second.kernel_size == (3, 3):
                module[i], module[i + 1] = FoldedUpsample(second), nn.Identity()
    return _folded_upsample(module) if _is_upsample(module) else None


def _doubles(module: nn.Module) -> bool:
    return isinstance(module, nn.Upsample) and (module.scale_factor, module.mode) == (2, "nearest")


def pack_transformers(root: nn.Module) -> None:
    """Lay the linear layers of folded transformers out for the CPU, where they are on one."""
    for module in root.modules():
        if isinstance(module, FoldedTransformer):
            pack_linears(module)


def _replace(root: nn.Module, fold: Callable[[nn.Module], nn.Module | None]) -> None:
    for name, child in root.named_children():
        folded = fold(child)
        if folded is None:
            _replace(child, fold)
        else:
            setattr(root, name, folded)


def _is_upsample(module: nn.Module) -> bool:
    return type(module).__name__ == "Upsample2D"


def _folded_upsample(module: Any) -> nn.Module:
    _require(module.use_conv and module.interpolate and module.norm is None)
    _require(module.conv.kernel_size == (3, 3))
    return FoldedUpsample(module.conv)


def _require(exact: bool) -> None:
    if not exact:
        raise ConfigError(
            "optimize_for_inference", "this U-Net has a part that cannot be folded exactly"
        )


def _doubling_kernel(weight: Tensor) -> Tensor:
    # row j of the matrix: which taps of the 3-kernel the j-th tap of the 4-kernel sums
    taps = torch.tensor([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]], dtype=torch.float32)
    taps = taps.to(weight.device)
    kernel = torch.einsum("yi,xj,ocij->coyx", taps, taps, weight.float())
    return kernel.to(weight.dtype)


def _stacked(projections: Sequence[nn.Linear]) -> nn.Linear:
    weight = torch.cat([p.weight for p in projections])
    with torch.device("meta"):
        linear = nn.Linear(weight.shape[1], weight.shape[0], bias=projections[0].bias is not None)
    linear.weight = _parameter(weight)
    if projections[0].bias is not None:
        linear.bias = _parameter(torch.cat([cast(Tensor, p.bias) for p in projections]))
    return linear


def _as_linear(projection: nn.Linear | nn.Conv2d) -> nn.Linear:
    if isinstance(projection, nn.Linear):
        return projection
    with torch.device("meta"):
        linear = nn.Linear(projection.in_channels, projection.out_channels)
    linear.weight = _parameter(projection.weight.flatten(1))
    linear.bias = cast(nn.Parameter, projection.bias)
    return linear


def _parameter(value: Tensor) -> nn.Parameter:
    return nn.Parameter(value.detach().contiguous(), requires_grad=False)


def lay_out_for_convolution(module: nn.Module) -> None:
    """Copy the weights into their own, aligned memory, 4-d ones in channels_last order.

    Weights from a mapped file would otherwise be read from it at every use.
    """
    for parameter in module.parameters():
        last = torch.channels_last if parameter.ndim == 4 else torch.contiguous_format
        parameter.data = parameter.data.clone(memory_format=last)

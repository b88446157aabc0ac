"""The transformer block of TiTok, with the parameter names of torch's MultiheadAttention.

Axes: B batch, L all positions, D width.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from layton.weights.packed import pack_linears

__all__ = ["Block", "lay_out_for_inference"]


class Attention(nn.Module):
    """Multi-head self-attention with the packed projection of torch's MultiheadAttention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        self.heads = heads
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, x_BLD: Tensor, keep: slice) -> Tensor:
        """Attention of the kept positions to all: (B, L, D) → (B, kept, D)."""
        width = x_BLD.shape[2]
        q = F.linear(x_BLD[:, keep], self.in_proj_weight[:width], self.in_proj_bias[:width])
        kv = F.linear(x_BLD, self.in_proj_weight[width:], self.in_proj_bias[width:])
        out: Tensor = self.out_proj(_attend(q, kv, self.heads))
        return out


class SplitAttention(nn.Module):
    """The same with its projections as linear layers, which a CPU can lay out once."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        width = attention.out_proj.in_features
        weight, bias = attention.in_proj_weight, attention.in_proj_bias
        self.q = _linear(weight[:width], bias[:width])
        self.kv = _linear(weight[width:], bias[width:])
        self.out_proj = attention.out_proj
        self.heads = attention.heads

    def forward(self, x_BLD: Tensor, keep: slice) -> Tensor:
        """Attention of the kept positions to all: (B, L, D) → (B, kept, D)."""
        out: Tensor = self.out_proj(_attend(self.q(x_BLD[:, keep]), self.kv(x_BLD), self.heads))
        return out


def _attend(q_BLD: Tensor, kv_BLD: Tensor, heads: int) -> Tensor:
    batch, _, width = q_BLD.shape
    dim = width // heads
    k, v = kv_BLD.view(batch, -1, 2, heads, dim).permute(2, 0, 3, 1, 4)
    q = q_BLD.view(batch, -1, heads, dim).transpose(1, 2)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    with torch.device("meta"):
        linear = nn.Linear(weight.shape[1], weight.shape[0])
    linear.weight = nn.Parameter(weight.detach(), requires_grad=False)
    linear.bias = nn.Parameter(bias.detach(), requires_grad=False)
    return linear


class Block(nn.Module):
    """Pre-norm attention and GELU MLP, each added to its input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn: Attention | SplitAttention = Attention(width, heads)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            OrderedDict(
                c_fc=nn.Linear(width, 4 * width),
                gelu=nn.GELU(),
                c_proj=nn.Linear(4 * width, width),
            )
        )

    def forward(self, x_BLD: Tensor, keep: slice = slice(None)) -> Tensor:
        """(B, L, D) → (B, kept, D): only the kept positions are worked out."""
        x = x_BLD[:, keep] + self.attn(self.ln_1(x_BLD), keep)
        out: Tensor = x + self.mlp(self.ln_2(x))
        return out


def lay_out_for_inference(root: nn.Module) -> None:
    """Split packed projections below `root` and, on a CPU, lay linear layers out once, in place."""
    for module in root.modules():
        if isinstance(module, Block) and isinstance(module.attn, Attention):
            module.attn = SplitAttention(module.attn)
    pack_linears(root)

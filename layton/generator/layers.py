"""The layers of the autoregressive transformer: attention over a prefix without positions.

Module names are those of the published checkpoints. Their state dicts load without changes.

The published models give the prefix an all-zero rotary table. Its queries and keys are therefore
zero vectors, and every score with one of them is 0. Two facts follow, and both are exact:

- A prefix position attends evenly to the positions before it. Its attention output is the running
  mean of their values. No scores are computed.
- For an image token, the n prefix positions are n keys of score 0. One key of score log n, whose
  value is their mean, has the same effect. Each layer keeps this one vector for a prefix of any
  length. (It takes two slots, because bfloat16 would round log n: see `prefix_bias`.)

With `GPTConfig.prefix_keys`, the second fact does not hold. Each position then has a slot with its
own key. A separate layer makes these keys, and they are not rotated.

Axes: B sequences, T prefix positions, N image tokens, R rows of a decode step, D width, H heads,
K key-value heads, G = H/K queries a key-value head, E head width, S cache slots.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from layton.generator.config import GPTConfig

__all__ = [
    "Attention",
    "RMSNorm",
    "Slots",
    "TransformerBlock",
    "prefix_bias",
    "prefix_slots",
    "rotary_table",
    "rotate",
]


Slots = tuple[Tensor, Tensor]
"""Keys and values that stand for a prefix, each (B, K, S, E)."""

PREFIX_SLOTS = 2  # zero keys that stand for the whole prefix


def prefix_slots(config: GPTConfig) -> int:
    """Return how many slots a cache has for the prefix."""
    return config.num_prefix_tokens if config.prefix_keys else PREFIX_SLOTS


def prefix_bias(weights: Tensor) -> Tensor:
    """Scores of the two prefix keys, whose weights add up to those of all prefix positions.

    bfloat16 would round log n by up to 1.6 % of the weight. The first score is therefore a little
    below log n and exact in bfloat16. The second adds the small rest, where 1.6 % does not matter.

    Args:
        weights: float32 (B,), n for n positions, each at least 1.

    Returns:
        float32 (B, 2); the second is −∞ where nothing is left.
    """
    first = (weights.log() * 0.996).bfloat16().float()
    return torch.stack((first, (weights - first.exp()).log()), -1)


def rotary_table(config: GPTConfig) -> Tensor:
    """Cosine and sine of the 2-D rotary positions, float32 (N, E/2, 2), row by row over the grid.

    The first half of the angles turns with the row, the second with the column (RoPE, arXiv
    2104.09864, over two axes).
    """
    half = config.head_dim // 2
    frequencies = config.rope_base ** -(torch.arange(0, half, 2, dtype=torch.float32) / half)
    angles = torch.outer(torch.arange(config.grid_side, dtype=torch.float32), frequencies)
    side = config.grid_side
    rows = angles[:, None].expand(side, side, -1)
    columns = angles[None].expand(side, side, -1)
    grid = torch.cat((rows, columns), -1).flatten(0, 1)
    return torch.stack((grid.cos(), grid.sin()), -1)


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Turn each pair (2i, 2i+1) of the last axis by angle i.

    Args:
        x: (…, E).
        angles: cosine and sine, float32 (…, E/2, 2), broadcasting against the pairs of x.
    """
    pairs = x.float().unflatten(-1, (-1, 2))
    if torch.compiler.is_compiling():  # no complex numbers in generated code
        (a, b), (cos, sin) = pairs.unbind(-1), angles.unbind(-1)
        turned = torch.stack((a * cos - b * sin, b * cos + a * sin), -1)
    else:  # the same product as one kernel
        turned = torch.view_as_real(torch.view_as_complex(pairs) * torch.view_as_complex(angles))
    return turned.flatten(-2).type_as(x)


class RMSNorm(nn.Module):
    """Root-mean-square normalisation (arXiv 1910.07467)."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(…, D) → (…, D)."""
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class FeedForward(nn.Module):
    """SwiGLU (arXiv 2002.05202)."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.w1 = nn.Linear(config.dim, config.hidden_dim, bias=False)
        self.w3 = nn.Linear(config.dim, config.hidden_dim, bias=False)
        self.w2 = nn.Linear(config.hidden_dim, config.dim, bias=False)
        self.dropout = nn.Dropout(config.feed_forward_dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(…, D) → (…, D)."""
        out: Tensor = self.dropout(self.w2(F.silu(self.w1(x)) * self.w3(x)))
        return out


class Attention(nn.Module):
    """Causal attention with shared key-value heads over a prefix without positions."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        kv_dim = config.kv_heads * config.head_dim
        self.wqkv = nn.Linear(config.dim, config.dim + 2 * kv_dim, bias=False)
        self.wo = nn.Linear(config.dim, config.dim, bias=False)
        self.prefix_keys = nn.Linear(config.dim, kv_dim, bias=False) if config.prefix_keys else None
        self.dropout = nn.Dropout(config.residual_dropout)

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(…, D) → queries with keys (…, H + K, E), values (…, K·E) and the same by head."""
        config = self.config
        kv_dim = config.kv_heads * config.head_dim
        qk, v = self.wqkv(x).split((config.dim + kv_dim, kv_dim), -1)
        return (
            qk.unflatten(-1, (-1, config.head_dim)),
            v,
            v.unflatten(-1, (-1, config.head_dim)),
        )

    def forward(
        self, x: Tensor, valid: Tensor, angles: Tensor, bias: Tensor
    ) -> tuple[Tensor, Slots]:
        """Attend over prefix and image tokens at once.

        Args:
            x: (B, T + N, D).
            valid: float32 (B, T, 1), 1 where the prefix holds something.
            angles: cosine and sine, float32 (N, 1, E/2, 2).
            bias: added to the scores of image tokens, float32 (B, 1, N, S + N).

        Returns:
            the attended (B, T + N, D), and the prefix's keys and values, each (B, K, S, E).
        """
        num_prefix = valid.shape[1]
        qk, v, v_heads = self._project(x)
        means = _running_mean(v[:, :num_prefix], valid)
        slots = self._slots(x[:, :num_prefix], v_heads[:, :num_prefix], means)
        out = _repeat_heads(means, self.config)
        if bias.shape[-2]:
            image = self._attend(qk[:, num_prefix:], v_heads[:, num_prefix:], slots, angles, bias)
            out = torch.cat((out, image), 1)
        return self.dropout(self.wo(out)), slots

    def _slots(self, x: Tensor, v: Tensor, means: Tensor) -> Slots:
        """Keys and values of the prefix, each (B, K, S, E)."""
        if self.prefix_keys is not None:
            keys = self.prefix_keys(x).unflatten(-1, (-1, self.config.head_dim))
            return keys.transpose(1, 2), v.transpose(1, 2)
        mean = means[:, -1].unflatten(-1, (-1, 1, self.config.head_dim))
        values = mean.expand(-1, -1, PREFIX_SLOTS, -1)
        return torch.zeros_like(values), values

    def _attend(self, qk: Tensor, v: Tensor, slots: Slots, angles: Tensor, bias: Tensor) -> Tensor:
        heads = self.config.num_heads
        q, k = rotate(qk, angles).transpose(1, 2).split((heads, qk.shape[2] - heads), 1)
        k = torch.cat((slots[0], k), 2)
        v = torch.cat((slots[1], v.transpose(1, 2)), 2)
        out = F.scaled_dot_product_attention(
            q, k, v, attn_mask=bias.type_as(q), enable_gqa=heads != k.shape[1]
        )
        return out.transpose(1, 2).flatten(2)

    def step(
        self, x: Tensor, keys: Tensor, values: Tensor, bias: Tensor, angles: Tensor, slot: Tensor
    ) -> Tensor:
        """Attend with one new token per row.

        Args:
            x: (R, D).
            keys: the layer's cache, (R, K, S, E); the token is written to `slot`.
            values: likewise.
            bias: float32 (R, 1, 1, S'): slots from S' on are ignored.
            angles: cosine and sine of the token's position, float32 (1, E/2, 2).
            slot: int64 (1,).
        """
        qk, _, v = self._project(x)
        q, k = rotate(qk, angles).split((self.config.num_heads, self.config.kv_heads), 1)
        keys.index_copy_(2, slot, k[:, :, None])
        values.index_copy_(2, slot, v[:, :, None])
        seen = bias.shape[-1]
        # the G queries of a key-value head take the place of a sequence of queries
        out = F.scaled_dot_product_attention(
            q.unflatten(1, (self.config.kv_heads, -1)),
            keys[:, :, :seen],
            values[:, :, :seen],
            attn_mask=bias.type_as(q),
        )
        attended: Tensor = self.wo(out.flatten(1))
        return attended


def _running_mean(values: Tensor, valid: Tensor) -> Tensor:
    """Mean over the valid positions so far, (B, T, K·E) → (B, T, K·E); 0 before the first."""
    counts = valid.cumsum(1).clamp(min=1)
    return ((values.float() * valid).cumsum(1) / counts).type_as(values)


def _repeat_heads(values: Tensor, config: GPTConfig) -> Tensor:
    """(B, T, K·E) → (B, T, D): each key-value head serves G query heads."""
    groups = config.num_heads // config.kv_heads
    by_head = values.unflatten(-1, (-1, config.head_dim))
    return by_head.repeat_interleave(groups, -2).flatten(-2) if groups > 1 else values


class TransformerBlock(nn.Module):
    """Attention and feed-forward, each on the normalised stream and added to it."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.feed_forward = FeedForward(config)
        self.attention_norm = RMSNorm(config.dim, config.norm_eps)
        self.ffn_norm = RMSNorm(config.dim, config.norm_eps)

    def forward(
        self, x: Tensor, valid: Tensor, angles: Tensor, bias: Tensor
    ) -> tuple[Tensor, Slots]:
        """See `Attention.forward`."""
        attended, slots = self.attention(self.attention_norm(x), valid, angles, bias)
        x = x + attended
        return x + self.feed_forward(self.ffn_norm(x)), slots

    def step(
        self, x: Tensor, keys: Tensor, values: Tensor, bias: Tensor, angles: Tensor, slot: Tensor
    ) -> Tensor:
        """See `Attention.step`."""
        x = x + self.attention.step(self.attention_norm(x), keys, values, bias, angles, slot)
        out: Tensor = x + self.feed_forward(self.ffn_norm(x))
        return out

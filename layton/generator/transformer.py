"""The autoregressive transformer of LlamaGen and LaytonGen: image tokens behind a condition prefix.

Axes: B sequences, T prefix positions, N image tokens, R rows of a decode step, D width,
K key-value heads, E head width, L layers, S cache slots, of which P for the prefix, V codes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from layton.errors import ConfigError
from layton.generator.config import GPTConfig
from layton.generator.embedders import CaptionEmbedder, ClassEmbedder
from layton.generator.layers import (
    Attention,
    RMSNorm,
    Slots,
    TransformerBlock,
    prefix_bias,
    prefix_slots,
    rotary_table,
)

__all__ = ["GPT", "KVCache", "Prefix"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Prefix:
    """All that image tokens need to know of their prefix.

    Attributes:
        keys, values: of each layer, (L, B, K, P', E) with P' ≤ P.
        bias: added to the scores of the keys, float32 (B, P').
        logits: of the first image token, float32 (B, V).
    """

    keys: Tensor
    values: Tensor
    bias: Tensor
    logits: Tensor

    def select(self, rows: Sequence[int]) -> "Prefix":
        """The prefixes of these sequences, in this order; repeats are allowed."""
        index = torch.tensor(rows, device=self.logits.device)
        return Prefix(
            keys=self.keys.index_select(1, index),
            values=self.values.index_select(1, index),
            bias=self.bias.index_select(0, index),
            logits=self.logits.index_select(0, index),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class KVCache:
    """Static memory of R sequences: P slots for the prefix, then one for each image token.

    Attributes:
        keys, values: (L, R, K, S, E).
        bias: added to the scores, float32 (R, 1, 1, S): the prefix's, then 0 for seen tokens,
            −∞ for others.
        angles: cosine and sine of every position, float32 (N, E/2, 2).
    """

    keys: Tensor
    values: Tensor
    bias: Tensor
    angles: Tensor

    @property
    def num_prefix(self) -> int:
        """P."""
        return self.keys.shape[3] - len(self.angles)

    @property
    def num_rows(self) -> int:
        """R."""
        return self.bias.shape[0]

    def rows(self, count: int) -> "KVCache":
        """The first `count` rows, sharing memory."""
        return KVCache(
            keys=self.keys[:, :count],
            values=self.values[:, :count],
            bias=self.bias[:count],
            angles=self.angles,
        )

    def fill(self, prefix: Prefix) -> None:
        """Forget everything and store the prefixes, one per row."""
        end = self.num_prefix
        # a text's last word always has the same slot, even beside longer texts
        start = end - prefix.bias.shape[1]
        self.keys[:, :, :, start:end] = prefix.keys
        self.values[:, :, :, start:end] = prefix.values
        self.bias.fill_(-torch.inf)
        self.bias[:, 0, 0, start:end] = prefix.bias


class GPT(nn.Module):
    """Next-token prediction over the image codes of one image, row by row.

    Args:
        config: the sizes. Weights start as in the published models: normal, the output layer 0.

    Raises:
        ConfigError: sizes that contradict each other.
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        if config.problem:
            raise ConfigError("GPTConfig", config.problem, "Correct the configuration.")
        self.config = config
        is_class = config.condition == "class"
        self.cls_embedding = ClassEmbedder(config) if is_class else CaptionEmbedder(config)
        self.tok_embeddings = nn.Embedding(config.codebook_size, config.dim)
        self.dropout = nn.Dropout(config.token_dropout)
        self.layers = nn.ModuleList(TransformerBlock(config) for _ in range(config.num_layers))
        self.norm = RMSNorm(config.dim, config.norm_eps)
        self.output = nn.Linear(config.dim, config.codebook_size, bias=False)
        self._initialize()

    def _initialize(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
        nn.init.zeros_(self.output.weight)
        for module in self.modules():
            if isinstance(module, Attention) and module.prefix_keys is not None:
                nn.init.zeros_(module.prefix_keys.weight)

    def forward(
        self,
        condition: Tensor,
        codes: Tensor,
        *,
        mask: Tensor | None = None,
        dropped: Tensor | None = None,
    ) -> Tensor:
        """Logits of every image token given those before it (teacher forcing).

        Args:
            condition: classes int64 (B,), or left-padded text features (B, T, text_dim).
            codes: int64 (B, M) with M < N: the tokens before the last one to predict.
            mask: bool (B, T), True where the features hold text; None means everywhere.
            dropped: bool (B,), True where the null condition replaces the condition.

        Returns:
            float32 (B, M + 1, V): logits of the tokens 0 … M.
        """
        prefix = self.cls_embedding(condition, dropped)
        x = torch.cat((prefix, self.tok_embeddings(codes)), 1)
        first = prefix.shape[1] - 1
        hidden, _ = self._run(self.dropout(x), _valid(prefix, mask))
        logits: Tensor = self.output(self.norm(hidden[:, first:]))
        return logits.float()

    def prefill(self, embedded: Tensor, mask: Tensor | None = None) -> Prefix:
        """Run the prefixes.

        Args:
            embedded: output of `cls_embedding`, left-padded, (B, T, D).
            mask: bool (B, T), True where a position holds something; None means everywhere.
        """
        valid = _valid(embedded, mask)
        hidden, slots = self._run(embedded, valid)
        return Prefix(
            keys=torch.stack([keys for keys, _ in slots]),
            values=torch.stack([values for _, values in slots]),
            bias=self._slot_bias(valid),
            logits=self.output(self.norm(hidden[:, -1])).float(),
        )

    def _run(self, x: Tensor, valid: Tensor) -> tuple[Tensor, list[Slots]]:
        count = x.shape[1] - valid.shape[1]
        angles = rotary_table(self.config)[:count, None].to(x.device)
        bias = _causal_bias(self._slot_bias(valid), count)
        slots = []
        for layer in self.layers:
            x, own = layer(x, valid, angles, bias)
            slots.append(own)
        return x, slots

    def _slot_bias(self, valid: Tensor) -> Tensor:
        """Added to the scores of the prefix's keys, float32 (B, P')."""
        weight = self.config.prefix_weight
        if not self.config.prefix_keys:
            return prefix_bias(valid.sum((1, 2)) * weight)
        each = torch.full_like(valid[..., 0], math.log(weight))
        return each.masked_fill(valid[..., 0] == 0, -torch.inf)

    def new_cache(self, num_rows: int) -> KVCache:
        """Memory for `num_rows` sequences, in the dtype and on the device of the weights."""
        config, like = self.config, self.tok_embeddings.weight
        slots = prefix_slots(config) + config.num_tokens
        shape = (config.num_layers, num_rows, config.kv_heads, slots, config.head_dim)
        bias = torch.empty(num_rows, 1, 1, slots, device=like.device)
        return KVCache(
            keys=like.new_zeros(shape),
            values=like.new_zeros(shape),
            bias=bias,
            angles=rotary_table(config).to(like.device),
        )

    def step(self, tokens: Tensor, position: Tensor, cache: KVCache, num_seen: int) -> Tensor:
        """Feed one token per row; return the logits of the next ones.

        Args:
            tokens: int64 (R,), the image tokens at `position`.
            position: int64 (1,).
            cache: of R rows; the tokens' keys and values are written to it.
            num_seen: image tokens to attend to, more than `position`; later ones are masked.

        Returns:
            float32 (R, V).
        """
        slot = position + cache.num_prefix
        cache.bias.index_fill_(3, slot, 0.0)
        bias = cache.bias[..., : cache.num_prefix + num_seen]
        angles = cache.angles.index_select(0, position)
        x: Tensor = self.tok_embeddings(tokens)
        for i, layer in enumerate(self.layers):
            assert isinstance(layer, TransformerBlock)
            x = layer.step(x, cache.keys[i], cache.values[i], bias, angles, slot)
        logits: Tensor = self.output(self.norm(x))
        return logits.float()


def _valid(embedded: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return torch.ones(*embedded.shape[:2], 1, device=embedded.device)
    return mask[..., None].float()


def _causal_bias(slots: Tensor, count: int) -> Tensor:
    """Scores' bias of `count` image tokens over the prefix's keys, (B, P'), and themselves."""
    size = slots.shape[1]
    shape = (len(slots), 1, count, size + count)
    bias = torch.full(shape, -torch.inf, device=slots.device).triu(size + 1)
    bias[..., :size] = slots[:, None, None]
    return bias

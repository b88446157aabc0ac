"""The prefix of the transformer: classes or text features become its first tokens.

Axes: B sequences, T prefix positions, D width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from layton.generator.config import GPTConfig

__all__ = ["CaptionEmbedder", "ClassEmbedder"]


class ClassEmbedder(nn.Module):
    """One prefix token per class; the null class is the last."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.embedding_table = nn.Embedding(config.num_classes + 1, config.dim)

    def forward(self, classes: Tensor, dropped: Tensor | None = None) -> Tensor:
        """int64 (B,), bool (B,) → (B, 1, D); dropped ones get the null class."""
        if dropped is not None:
            null = self.embedding_table.num_embeddings - 1
            classes = classes.masked_fill(dropped, null)
        out: Tensor = self.embedding_table(classes)[:, None]
        return out


class Projection(nn.Module):
    """Text features to the width of the transformer: linear, GELU (tanh form), linear."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.text_dim, config.dim, bias=False)
        self.fc2 = nn.Linear(config.dim, config.dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, text_dim) → (B, T, D)."""
        out: Tensor = self.fc2(F.gelu(self.fc1(x), approximate="tanh"))
        return out


class CaptionEmbedder(nn.Module):
    """Projected text features; the null text is a learned row of features for each position."""

    uncond_embedding: Tensor

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.cap_proj = Projection(config)
        null = torch.randn(config.num_prefix_tokens, config.text_dim) / config.text_dim**0.5
        self.register_buffer("uncond_embedding", null)

    def null(self, count: int) -> Tensor:
        """Features of the null text behind `count` valid positions: the last ones."""
        return self.uncond_embedding[self.uncond_embedding.shape[0] - count :]

    def forward(self, features: Tensor, dropped: Tensor | None = None) -> Tensor:
        """(B, T, text_dim), bool (B,) → (B, T, D); dropped rows get the null text."""
        features = features.type_as(self.uncond_embedding)
        if dropped is not None:
            null = self.null(features.shape[1])
            features = torch.where(dropped[:, None, None], null, features)
        out: Tensor = self.cap_proj(features)
        return out

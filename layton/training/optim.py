"""The optimiser and its learning rate as a function of the step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn

    from layton.training.recipe import OptimizerRecipe

__all__ = ["learning_rate", "make_optimizer"]


def make_optimizer(
    parameters: Iterable[nn.Parameter], recipe: OptimizerRecipe
) -> torch.optim.AdamW:
    """Fused AdamW; weight decay acts on matrices and convolutions, not on norms and biases."""
    trained = list(parameters)
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": recipe.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=recipe.lr,
        betas=recipe.betas,
        eps=recipe.eps,
        fused=True,
    )


def learning_rate(step: int, num_steps: int, recipe: OptimizerRecipe) -> float:
    """Linear warm-up from 0, then constant, or half a cosine down to final_lr · lr."""
    if step < recipe.warmup_steps:
        return recipe.lr * (step + 1) / (recipe.warmup_steps + 1)
    if recipe.schedule == "constant":
        return recipe.lr
    done = (step - recipe.warmup_steps) / max(1, num_steps - recipe.warmup_steps)
    wave = 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))
    return recipe.lr * (recipe.final_lr + (1.0 - recipe.final_lr) * wave)

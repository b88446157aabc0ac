"""The optimiser and its learning rate as a function of the step."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import nn

    from layton.training.recipe import OptimizerRecipe

__all__ = ["learning_rate", "make_optimizer"]


def make_optimizer(
    parameters: Iterable[nn.Parameter],
    recipe: OptimizerRecipe,
    *,
    lr_scales: Mapping[nn.Parameter, float] = MappingProxyType({}),
) -> torch.optim.AdamW:
    """Fused AdamW; weight decay acts on matrices and convolutions, not on norms and biases.

    Args:
        parameters: those to move.
        recipe: its settings.
        lr_scales: what some parameters' learning rates are multiplied with; 1 for the others. Kept
            in each group as `lr_scale`.
    """
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for p in parameters:
        groups.setdefault((p.ndim >= 2, lr_scales.get(p, 1.0)), []).append(p)
    return torch.optim.AdamW(
        [
            {
                "params": members,
                "weight_decay": recipe.weight_decay if decays else 0.0,
                "lr_scale": scale,
            }
            for (decays, scale), members in sorted(groups.items(), reverse=True)
        ],
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

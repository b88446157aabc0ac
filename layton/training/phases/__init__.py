"""The phases, by the name in a recipe's field `phase`.

A phase is a recipe (validated fields) and a module; its forward pass computes one batch's losses.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from layton.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from layton.training.phases.base import PhaseRecipe

__all__ = ["PHASES", "recipe_kind"]

# name → module under layton.training.phases with the phase's `Recipe`
PHASES: Mapping[str, str] = {
    "vq": "vq",
    "vae": "vae",
    "diffusion": "diffusion",
    "alignment": "alignment",
    "distillation": "distillation",
    "consistency": "latent_consistency",
    "gpt": "gpt",
}


def recipe_kind(tables: Mapping[str, Any], *, source: str) -> type[PhaseRecipe]:
    """The recipe class of the phase that the tables name.

    Raises:
        ConfigError: no phase, or one that does not exist.
    """
    name = tables.get("phase")
    if not isinstance(name, str) or name not in PHASES:
        raise ConfigError(
            source,
            f"phase is {name!r}" if name is not None else "names no phase",
            f"Known: {', '.join(PHASES)}.",
        )
    kind: type[PhaseRecipe] = import_module(f"{__name__}.{PHASES[name]}").Recipe
    return kind

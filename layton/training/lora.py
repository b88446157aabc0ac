"""A LoRA on the decoder's U-Net in training: add it, switch it off for the teacher, merge it.

PEFT does the work (arXiv 2106.09685); this is what the phases need of it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydantic import PositiveInt

from layton.errors import MissingPartError
from layton.tokenizer import TARGETS
from layton.training.recipe import StrictModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

__all__ = ["LoRARecipe", "add_lora", "lora_state", "merged_state", "without_lora"]

_NAME = "trained"


class LoRARecipe(StrictModel):
    """A low-rank addition to the U-Net's weights."""

    rank: PositiveInt = 64
    """r."""
    alpha: PositiveInt = 64
    """The product is added times alpha / rank."""
    targets: tuple[str, ...] = TARGETS
    """Layers that get one, by the end of their name."""


def add_lora(unet: Any, recipe: LoRARecipe) -> None:
    """Freeze the U-Net and add a trainable LoRA to it, which starts at zero.

    Raises:
        MissingPartError: PEFT is not installed.
    """
    try:
        from peft import LoraConfig
    except ImportError:
        raise MissingPartError(
            "peft", "is not installed", "pip install 'layton-bench[train]'"
        ) from None
    unet.requires_grad_(False)
    unet.add_adapter(
        LoraConfig(r=recipe.rank, lora_alpha=recipe.alpha, target_modules=list(recipe.targets)),
        adapter_name=_NAME,
    )


@contextmanager
def without_lora(unet: Any) -> Iterator[None]:
    """Switch the LoRA off while the context is open."""
    unet.disable_adapters()
    try:
        yield
    finally:
        unet.enable_adapters()


def lora_state(unet: Any) -> dict[str, Tensor]:
    """Return the LoRA alone, with names that diffusers and `layton.tokenizer.lora` read."""
    from peft.utils import get_peft_model_state_dict

    state: dict[str, Tensor] = get_peft_model_state_dict(unet, adapter_name=_NAME)
    return state


def merged_state(unet: Any) -> dict[str, Tensor]:
    """Return the U-Net's state dict with the LoRA merged; the U-Net itself is not changed."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    state: dict[str, Tensor] = {}
    wrapped = {n: m for n, m in unet.named_modules() if isinstance(m, BaseTunerLayer)}
    for key, tensor in unet.state_dict().items():
        owner, inside, part = key.partition(".base_layer.")
        if inside:
            layer: Any = wrapped[owner]
            delta = layer.get_delta_weight(_NAME) if part == "weight" else 0.0
            state[f"{owner}.{part}"] = tensor + delta
        elif ".lora_" not in key:
            state[key] = tensor
    return state

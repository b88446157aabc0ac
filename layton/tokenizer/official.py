"""The released tokenizer file's layout → ours.

The official code wraps the U-Net with PEFT. A changed layer X is therefore stored as
`decoder.unet.base_model.model.X.base_layer.weight`, with `X.lora_A.default.weight` and
`X.lora_B.default.weight`. The file also keeps the VQ tokenizer's `post_quant_conv`, which is never
read. Everything else has our names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from layton.errors import CheckpointError
from layton.tokenizer.lora import LoRAPair, is_target, merged_weight
from layton.weights import compare

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["check_official", "from_official", "is_official", "official_layout", "without_unused"]

_OURS = "decoder.unet."
_WRAPPED = "decoder.unet.base_model.model."
_UNUSED = ("post_quant_conv.weight", "post_quant_conv.bias")


def is_official(state: Mapping[str, Tensor]) -> bool:
    """Whether these keys are in the official layout (wrapped U-Net)."""
    return any(key.startswith(_WRAPPED) for key in state)


def official_layout(wanted: Mapping[str, Tensor], *, rank: int) -> dict[str, Tensor]:
    """Keys and shapes (meta tensors) of the official file for a model of ours.

    Args:
        wanted: the model's state dict.
        rank: rank of the LoRA.
    """
    layout: dict[str, Tensor] = {}
    for key, tensor in wanted.items():
        shape = tuple(tensor.shape)
        base = _base_key(key)
        layout[base] = _meta(shape)
        if base.endswith(".base_layer.weight"):
            layer = base.removesuffix(".base_layer.weight")
            layout[f"{layer}.lora_A.default.weight"] = _meta((rank, *shape[1:]))
            layout[f"{layer}.lora_B.default.weight"] = _meta(
                (shape[0], rank, *(1 for _ in shape[2:]))
            )
    dim, z_channels = wanted["quant_conv.weight"].shape[:2]
    layout["post_quant_conv.weight"] = _meta((z_channels, dim, 1, 1))
    layout["post_quant_conv.bias"] = _meta((z_channels,))
    return layout


def from_official(
    state: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    *,
    alpha: float,
    source: str,
    cast: Callable[[str, Tensor], Tensor] = lambda _, tensor: tensor,
) -> dict[str, Tensor]:
    """Merge the LoRA and rename: the official file's tensors under our keys.

    Args:
        state: the official file's state dict.
        wanted: our model's state dict (meta tensors will do).
        alpha: PEFT's lora_alpha, which the file does not hold; 8 for the released models.
        source: name of the file in messages.
        cast: applied to every (key, tensor) when it is made. The merged weights then never all
            exist in the file's own precision.

    Raises:
        CheckpointError: a key is missing, unknown or of another shape.
    """
    check_official(state, wanted, source=source)
    return {
        key: cast(key, _merged(state, _base_key(key), alpha))
        for key in wanted
        if _base_key(key) in state
    }


def check_official(
    state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], *, source: str
) -> None:
    """Compare an official file with our model's state dict.

    Raises:
        CheckpointError: a key is missing, unknown or of another shape.
    """
    ranks = {tensor.shape[0] for key, tensor in state.items() if ".lora_A." in key}
    if len(ranks) != 1:
        raise CheckpointError(source, f"LoRA ranks {sorted(ranks)}, expected one rank throughout")
    report = compare(state, official_layout(wanted, rank=ranks.pop()), optional=["codebook_used"])
    if not report.fits:
        raise CheckpointError(
            source, f"does not fit the official tokenizer of that name\n{report}", "Check its name."
        )


def without_unused(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state without the entries of the official layout that are never read."""
    return {key: tensor for key, tensor in state.items() if key not in _UNUSED}


def _base_key(key: str) -> str:
    if not key.startswith(_OURS):
        return key
    layer, _, parameter = key.removeprefix(_OURS).rpartition(".")
    wrap = ".base_layer" if is_target(layer) else ""
    return f"{_WRAPPED}{layer}{wrap}.{parameter}"


def _merged(state: Mapping[str, Tensor], base: str, alpha: float) -> Tensor:
    layer = base.removesuffix(".base_layer.weight")
    if layer == base:
        return state[base]
    pair = LoRAPair(
        down=state[f"{layer}.lora_A.default.weight"], up=state[f"{layer}.lora_B.default.weight"]
    )
    return merged_weight(state[base], pair, scale=alpha / pair.rank)


def _meta(shape: tuple[int, ...]) -> Tensor:
    return torch.empty(shape, device="meta")

"""LoRA files of every common naming → exact merge into a U-Net's weights.

W' = W + scale · B·A, where a convolution's A has the kernel's size and its B is 1×1 (Hu et al.,
arXiv 2106.09685). Scale = strength · alpha / rank where an alpha is known.

Namings read:
- PEFT: `base_model.model.X.lora_A.weight`
- diffusers: `unet.X.lora_A.weight`, `unet.X.lora.down.weight`,
  `unet.X.processor.to_q_lora.down.weight`
- kohya: `lora_unet_X_Y.lora_down.weight`, module names as in diffusers or in the original SDXL code
Layton has no text encoder, so entries for one are left out.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from layton.errors import CheckpointError, raising
from layton.weights import read_state

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "TARGETS",
    "LoRA",
    "LoRAPair",
    "is_target",
    "match_lora",
    "merge_lora",
    "merged_weight",
    "parse_lora",
    "read_lora",
]

# the layers that Layton's, TLCM's and HyperSD's LoRA change, by the end of their name
TARGETS = (
    "to_q",
    "to_k",
    "to_v",
    "to_out.0",
    "proj_in",
    "proj_out",
    "ff.net.0.proj",
    "ff.net.2",
    "conv1",
    "conv2",
    "conv_shortcut",
    "downsamplers.0.conv",
    "upsamplers.0.conv",
    "time_emb_proj",
)

_SIDES = (
    (".lora_A.default.weight", "down"),
    (".lora_B.default.weight", "up"),
    (".lora_A.weight", "down"),
    (".lora_B.weight", "up"),
    (".lora_down.weight", "down"),
    (".lora_up.weight", "up"),
    (".lora.down.weight", "down"),
    (".lora.up.weight", "up"),
    ("_lora.down.weight", "down"),
    ("_lora.up.weight", "up"),
    (".alpha", "alpha"),
)
_PREFIXES = ("base_model.model.", "unet.", "lora_unet_")
_TEXT_PREFIXES = ("text_encoder", "lora_te", "te1.", "te2.")


@dataclass(frozen=True, kw_only=True, slots=True)
class LoRAPair:
    """The low-rank change of one layer.

    Attributes:
        down: A, (r, in) or (r, in, kh, kw).
        up: B, (out, r) or (out, r, 1, 1).
        alpha: numerator of the scale; None: the file does not say.
    """

    down: Tensor
    up: Tensor
    alpha: float | None = None

    @property
    def rank(self) -> int:
        """Inner width r."""
        return int(self.down.shape[0])

    def delta(self, scale: float) -> Tensor:
        """The change scale · B·A in float32, shaped like the layer's weight."""
        product = self.up.float().flatten(1) @ self.down.float().flatten(1)
        return (scale * product).view(self.up.shape[0], *self.down.shape[1:])


# layer as the file names it → its pair
LoRA = dict[str, LoRAPair]


def is_target(layer: str) -> bool:
    """Whether a U-Net layer of that name carries LoRA in the published files."""
    return layer.endswith(tuple(f".{target}" for target in TARGETS))


def read_lora(path: Path | str) -> LoRA:
    """Read a LoRA file, or a PEFT folder (adapter_model.safetensors + adapter_config.json).

    Raises:
        CheckpointError: cannot be read, or holds more than a plain LoRA.
    """
    path = Path(path)
    if not path.is_dir():
        return parse_lora(read_state(path), source=str(path))
    return parse_lora(
        read_state(path / "adapter_model.safetensors"), source=str(path), alpha=_peft_alpha(path)
    )


def parse_lora(state: Mapping[str, Tensor], *, source: str, alpha: float | None = None) -> LoRA:
    """Sort a LoRA's tensors by layer.

    Args:
        state: key → tensor in any of the namings above.
        source: name of the file in messages.
        alpha: of every layer that states none itself.

    Raises:
        CheckpointError: a key that does not belong to a plain LoRA, or a layer with only one half.
    """
    layers: dict[str, dict[str, Tensor]] = {}
    for key, tensor in state.items():
        if key.startswith(_TEXT_PREFIXES):
            continue
        suffix, side = next(((s, side) for s, side in _SIDES if key.endswith(s)), ("", ""))
        if not side:
            raise CheckpointError(source, f"{key} is not part of a plain LoRA", "Convert the file.")
        layers.setdefault(_layer_name(key.removesuffix(suffix)), {})[side] = tensor
    if half := [name for name, parts in layers.items() if not {"down", "up"} <= parts.keys()]:
        raise CheckpointError(source, f"{half[0]} has only one half of its LoRA")
    if not layers:
        raise CheckpointError(source, "holds no LoRA for a U-Net")
    return {
        name: LoRAPair(
            down=parts["down"],
            up=parts["up"],
            alpha=float(parts["alpha"]) if "alpha" in parts else alpha,
        )
        for name, parts in layers.items()
    }


@torch.no_grad()
def merge_lora(unet: nn.Module, lora: LoRA, *, strength: float = 1.0, source: str = "LoRA") -> int:
    """Add a LoRA to the weights of a U-Net, in place; all or nothing.

    Returns:
        How many layers changed.

    Raises:
        CheckpointError: a layer of the file is not in the U-Net, or has another shape.
    """
    changes = match_lora(unet, lora, strength=strength, source=source)
    for name, (pair, scale) in changes.items():
        layer: Any = unet.get_submodule(name)
        layer.weight.data = merged_weight(layer.weight, pair, scale=scale)
    return len(changes)


def match_lora(
    unet: nn.Module, lora: LoRA, *, strength: float = 1.0, source: str = "LoRA"
) -> dict[str, tuple[LoRAPair, float]]:
    """A LoRA's layers under the U-Net's own names, each with its scale.

    Layers whose file states no alpha get scale `strength` (alpha = rank), as in diffusers. The
    U-Net may be on the meta device.

    Raises:
        CheckpointError: a layer of the file is not in the U-Net, or has another shape.
    """
    names = _known_names(unet)
    changes: dict[str, tuple[LoRAPair, float]] = {}
    for given, pair in lora.items():
        if given not in names:
            raise CheckpointError(source, f"the U-Net has no layer {given}", "Use SDXL's LoRA.")
        layer: Any = unet.get_submodule(names[given])
        shape, wanted = (*pair.up.shape[:1], *pair.down.shape[1:]), tuple(layer.weight.shape)
        # a 1×1 convolution and a linear layer are the same thing
        if wanted not in (shape, shape[:2]):
            raise CheckpointError(source, f"{given} changes {shape}, the U-Net has {wanted}")
        scale = strength * (1.0 if pair.alpha is None else pair.alpha / pair.rank)
        changes[names[given]] = pair, scale
    return changes


def merged_weight(weight: Tensor, pair: LoRAPair, *, scale: float) -> Tensor:
    """W + scale · B·A, summed in float32, in the weight's shape and dtype."""
    delta = pair.delta(scale).view(weight.shape).to(weight.device)
    return (weight.detach().float() + delta).to(weight.dtype)


def _layer_name(key: str) -> str:
    prefix = next((p for p in _PREFIXES if key.startswith(p)), "")
    name = key.removeprefix(prefix)
    # attention processors of old diffusers: attn1.processor.to_out → attn1.to_out.0
    name = re.sub(r"\.processor\.(to_out)$", r".\1.0", name)
    return name.replace(".processor.", ".")


def _known_names(unet: nn.Module) -> dict[str, str]:
    # every spelling of a layer's name that a file may use → its name in the module
    names: dict[str, str] = {}
    layers_per_block = len(unet.get_submodule("down_blocks.0.resnets"))  # type: ignore[arg-type]
    for name, module in unet.named_modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            original = _original_name(name, layers_per_block)
            for spelling in (name, original):
                names[spelling] = names[spelling.replace(".", "_")] = name
    return names


_OUTSIDE_BLOCKS = {
    "conv_in": "input_blocks.0.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}
_RESNET_PARTS = {
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}


def _original_name(name: str, layers_per_block: int) -> str:
    """A diffusers layer's name in the original SDXL code, where blocks are numbered through."""
    match = re.match(
        r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.+)|mid_block\.(\w+)\.(\d+)\.(.+)", name
    )
    if match is None:
        return _OUTSIDE_BLOCKS.get(name, name)
    side, block, kind, index, rest, middle_kind, middle_index, middle_rest = match.groups()
    if side is None:
        place = 1 if middle_kind == "attentions" else 2 * int(middle_index)
        return f"middle_block.{place}.{_RESNET_PARTS.get(middle_rest, middle_rest)}"
    start = int(block) * (layers_per_block + 1)
    if kind == "downsamplers":
        return f"input_blocks.{start + layers_per_block + 1}.0.op"
    if kind == "upsamplers":
        return f"output_blocks.{start + layers_per_block}.2.conv"
    rest = _RESNET_PARTS.get(rest, rest)
    place = 1 if kind == "attentions" else 0
    if side == "down":
        return f"input_blocks.{start + int(index) + 1}.{place}.{rest}"
    return f"output_blocks.{start + int(index)}.{place}.{rest}"


def _peft_alpha(folder: Path) -> float:
    path = folder / "adapter_config.json"
    with raising(CheckpointError, str(path), "cannot be read", "Download it again."):
        config = json.loads(path.read_text("utf-8-sig"))
        if config.get("use_dora") or config.get("use_rslora") or config.get("alpha_pattern"):
            raise CheckpointError(str(path), "is not a plain LoRA (DoRA, rsLoRA or alpha patterns)")
        return float(config["lora_alpha"])

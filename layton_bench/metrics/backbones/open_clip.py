"""CLIP checkpoints in open_clip's layout, as towers of transformers.

The two libraries name and cut the same network differently: open_clip keeps query, key and value
in one matrix, and its projections transposed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

_PARTS = {
    "ln_1": "layer_norm1", "ln_2": "layer_norm2", "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2",
}  # fmt: skip
_SINGLES = {
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "logit_scale": "logit_scale",
}
_TRANSPOSED = {
    "visual.proj": "visual_projection.weight",
    "text_projection": "text_projection.weight",
}
_BLOCK = re.compile(r"(?P<tower>visual\.)?transformer\.resblocks\.(?P<i>\d+)\.(?P<part>.+)")
_BUFFERS = {"attn_mask"}


def to_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert open_clip's state dict to that of ``CLIPModel``. Raise KeyError for unknown names."""
    converted: dict[str, Tensor] = {}
    for name, value in state.items():
        if name in _BUFFERS:
            continue
        if name in _SINGLES:
            converted[_SINGLES[name]] = value
        elif name in _TRANSPOSED:
            converted[_TRANSPOSED[name]] = value.T.contiguous()
        else:
            converted |= _block(name, value)
    return converted


def _block(name: str, value: Tensor) -> dict[str, Tensor]:
    match = _BLOCK.fullmatch(name)
    if match is None:
        raise KeyError(name)
    tower = "vision_model" if match["tower"] else "text_model"
    layer = f"{tower}.encoder.layers.{match['i']}"
    if match["part"].startswith("attn.in_proj_"):
        kind = match["part"].removeprefix("attn.in_proj_")
        thirds = value.chunk(3)
        return {
            f"{layer}.self_attn.{letter}_proj.{kind}": third.contiguous()
            for letter, third in zip("qkv", thirds, strict=True)
        }
    part, kind = match["part"].rsplit(".", 1)
    return {f"{layer}.{_PARTS[part]}.{kind}": value}


def load_image_tower(folder: Path, file: str, *, device: str) -> Any:
    """Load a ``CLIPVisionModelWithProjection`` from a folder with config.json and checkpoint."""
    from transformers import CLIPVisionModelWithProjection

    return _tower(folder, file, CLIPVisionModelWithProjection, ("vision", "visual"), device)


def load_text_tower(folder: Path, file: str, *, device: str) -> Any:
    """Load a ``CLIPTextModelWithProjection`` from a folder with config.json and checkpoint."""
    from transformers import CLIPTextModelWithProjection

    return _tower(folder, file, CLIPTextModelWithProjection, ("text", "text"), device)


def _tower(
    folder: Path, file: str, model_class: Callable[..., Any], names: tuple[str, str], device: str
) -> Any:
    import torch

    from layton_bench.metrics.backbones.pretrained import (
        require_files,
        tower_config,
        unusable,
    )
    from layton_bench.weights import load_state_dict

    require_files(folder, (file,), name="hpsv2")
    config = tower_config(folder, names[0], name="hpsv2")
    state = to_transformers(load_state_dict(folder / file, key="state_dict"))
    own = {
        name: value.float()
        for name, value in state.items()
        if name.startswith((f"{names[0]}_model.", f"{names[1]}_projection."))
    }
    with torch.random.fork_rng():
        model = model_class(config)  # buffers are made here, so not on the meta device
    missing, unexpected = model.load_state_dict(own, strict=False)
    strange = [name for name in missing if "position_ids" not in name] + unexpected
    if strange:
        raise unusable(
            "hpsv2", folder, f"{len(strange)} parameters do not fit, for example {strange[0]}"
        )
    return model.eval().to(device)

"""ImageReward v1.0 (Xu et al. 2023).

It has BLIP's image encoder, BLIP's text encoder with cross-attention to the image, and a linear
head on the first token of the text. The result is standardised by mean and deviation of its
training set.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from layton_bench.metrics.backbones.clip import MEAN, STD
from layton_bench.metrics.backbones.pillow import resize_then_crop

if TYPE_CHECKING:
    from torch import Tensor

NAME = "image-reward"
_SIDE_PX = 224
_MAX_TOKENS = 35
# Mean and deviation of the raw reward, from the published code.
_REWARD_MEAN, _REWARD_STD = 0.16717362830052426, 1.0333394966054072
_BLOCK_PARTS = {
    "norm1": "layer_norm1", "norm2": "layer_norm2", "attn.qkv": "self_attn.qkv",
    "attn.proj": "self_attn.projection", "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2",
}  # fmt: skip
_SINGLES = {
    "cls_token": "embeddings.class_embedding", "pos_embed": "embeddings.position_embedding",
    "patch_embed.proj.weight": "embeddings.patch_embedding.weight",
    "patch_embed.proj.bias": "embeddings.patch_embedding.bias",
    "norm.weight": "post_layernorm.weight", "norm.bias": "post_layernorm.bias",
}  # fmt: skip


class ImageReward:
    """Rewards of images for prompts.

    Args:
        vision: a ``BlipVisionModel`` in eval mode.
        text: a ``BlipTextModel`` in eval mode.
        tokenizer: BERT's.
        head: rows (B, width) → (B, 1).
        device: where the models are.
    """

    def __init__(self, vision: Any, text: Any, tokenizer: Any, head: Any, *, device: str) -> None:
        self._vision = vision
        self._text = text
        self._tokenizer = tokenizer
        self._head = head
        self._device = device

    @classmethod
    def load(cls, folder: Path, *, device: str = "cpu") -> Self:
        """Load the model from ImageReward.pt, med_config.json and vocab.txt in a folder.

        Raises:
            MissingWeightsError: a part of the model is missing in the checkpoint.
        """
        from transformers import BertTokenizer

        from layton_bench.metrics.backbones.linear_chain import LinearChain
        from layton_bench.metrics.backbones.pretrained import require_files
        from layton_bench.weights import load_state_dict

        require_files(folder, ("ImageReward.pt", "med_config.json", "vocab.txt"), name=NAME)
        state = load_state_dict(folder / "ImageReward.pt")
        settings = json.loads((folder / "med_config.json").read_text("utf-8"))
        vision, text = build(state, settings, folder)
        tokenizer = BertTokenizer(str(folder / "vocab.txt"))
        head = LinearChain(state, "mlp.layers.")
        return cls(vision.to(device), text.to(device), tokenizer, head, device=device)

    def __call__(self, images: Tensor, texts: Sequence[str]) -> Tensor:
        """Return standardised rewards float64 (B,) of uint8 RGB images (B, 3, H, W)."""
        import torch

        tokens = self._tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=_MAX_TOKENS,
            return_tensors="pt",
        ).to(self._device)  # fmt: skip
        mean, std = (torch.tensor(v, device=self._device)[:, None, None] for v in (MEAN, STD))
        with torch.inference_mode():
            side = self._vision.config.image_size
            x = resize_then_crop(images, side).to(self._device).float() / 255
            seen = self._vision(pixel_values=(x - mean) / std).last_hidden_state
            read = self._text(
                input_ids=tokens.input_ids, attention_mask=tokens.attention_mask,
                encoder_hidden_states=seen,
                encoder_attention_mask=torch.ones(seen.shape[:2], device=self._device).long(),
            ).last_hidden_state[:, 0]  # fmt: skip
        raw = self._head(read.double().cpu().numpy())[:, 0]
        return (torch.from_numpy(raw) - _REWARD_MEAN) / _REWARD_STD


def build(
    state: Mapping[str, Tensor], settings: Mapping[str, Any], folder: Path
) -> tuple[Any, Any]:
    """Both encoders with the checkpoint's weights; sizes of the image encoder are read off it."""
    import torch
    from transformers import BlipTextConfig, BlipTextModel, BlipVisionConfig, BlipVisionModel

    prefix = "blip.visual_encoder."
    visual = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    width, _, patch, _ = visual["patch_embed.proj.weight"].shape
    grid = int((visual["pos_embed"].shape[1] - 1) ** 0.5)
    vision_config = BlipVisionConfig(
        hidden_size=width, intermediate_size=visual["blocks.0.mlp.fc1.weight"].shape[0],
        num_hidden_layers=1 + max(int(k.split(".")[1]) for k in visual if k.startswith("blocks.")),
        num_attention_heads=max(1, width // 64), patch_size=patch, image_size=grid * patch,
        layer_norm_eps=1e-6, hidden_act="gelu",
    )  # fmt: skip
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
             "vocab_size", "max_position_embeddings", "layer_norm_eps", "hidden_act")  # fmt: skip
    own = {name: settings[name] for name in names if name in settings}
    text_config = BlipTextConfig(**own, encoder_hidden_size=width)
    with torch.random.fork_rng():
        vision: Any = BlipVisionModel(vision_config)
        text: Any = BlipTextModel(text_config, add_pooling_layer=False)
    prefix = "blip.text_encoder."
    textual = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    _fill(vision, _vision_names(visual), folder)
    _fill(text, textual, folder)
    return vision.eval(), text.eval()


def _vision_names(visual: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Entries of BLIP's image encoder under the names of transformers."""
    renamed = {}
    for name, value in visual.items():
        if name in _SINGLES:
            renamed[_SINGLES[name]] = value
        elif name.startswith("blocks."):
            _, number, rest = name.split(".", 2)
            part, kind = rest.rsplit(".", 1)
            renamed[f"encoder.layers.{number}.{_BLOCK_PARTS[part]}.{kind}"] = value
    return renamed


def _fill(model: Any, state: Mapping[str, Tensor], folder: Path) -> None:
    """Load a state dict; entries the model has no use for are left, lacking ones are an error."""
    from layton_bench.metrics.backbones.pretrained import unusable

    missing, _ = model.load_state_dict(dict(state), strict=False)
    lacking = [name for name in missing if "position_ids" not in name]
    if lacking:
        reason = f"{len(lacking)} parameters are missing, for example {lacking[0]}"
        raise unusable(NAME, folder, reason)

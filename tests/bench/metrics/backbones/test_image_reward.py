"""ImageReward from the official layout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from prompt_batches import batch, scores

from layton_bench.errors import MissingWeightsError
from layton_bench.metrics.backbones import clip
from layton_bench.metrics.backbones.image_reward import ImageReward
from layton_bench.metrics.backbones.pillow import resize_then_crop


def save_tiny_image_reward(folder: Path):
    """BLIP's encoders of transformers, saved under the official checkpoint's names."""
    from transformers import BlipTextConfig, BlipTextModel, BlipVisionConfig, BlipVisionModel

    torch.manual_seed(3)
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *["a", "red", "cup", "two", "dogs", "on", "grass"],
    ]
    settings = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 2, "vocab_size": len(words), "max_position_embeddings": 64,
        "layer_norm_eps": 1e-12, "hidden_act": "gelu", "add_cross_attention": True,
    }  # fmt: skip
    vision = BlipVisionModel(
        BlipVisionConfig(
            hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=1,
            image_size=32, patch_size=8, layer_norm_eps=1e-6,
        )
    ).eval()  # fmt: skip
    sizes = {k: v for k, v in settings.items() if k != "add_cross_attention"}
    text = BlipTextModel(
        BlipTextConfig(**sizes, encoder_hidden_size=64), add_pooling_layer=False
    ).eval()
    own, state = vision.state_dict(), {}
    renamed = {
        "cls_token": "embeddings.class_embedding", "pos_embed": "embeddings.position_embedding",
        **{f"patch_embed.proj.{k}": f"embeddings.patch_embedding.{k}" for k in ("weight", "bias")},
        **{f"norm.{k}": f"post_layernorm.{k}" for k in ("weight", "bias")},
    }  # fmt: skip
    for i in range(2):
        for kind in ("weight", "bias"):
            for theirs, ours in (
                ("norm1", "layer_norm1"), ("norm2", "layer_norm2"), ("attn.qkv", "self_attn.qkv"),
                ("attn.proj", "self_attn.projection"), ("mlp.fc1", "mlp.fc1"),
                ("mlp.fc2", "mlp.fc2"),
            ):  # fmt: skip
                renamed[f"blocks.{i}.{theirs}.{kind}"] = f"encoder.layers.{i}.{ours}.{kind}"
    state |= {f"blip.visual_encoder.{theirs}": own[ours] for theirs, ours in renamed.items()}
    state |= {f"blip.text_encoder.{name}": value for name, value in text.state_dict().items()}
    head = torch.nn.Sequential(torch.nn.Linear(32, 4), torch.nn.Dropout(), torch.nn.Linear(4, 1))
    state |= {f"mlp.layers.{name}": value for name, value in head.state_dict().items()}
    state["blip.temp"] = torch.ones(())  # of training; not used
    folder.mkdir()
    torch.save(state, folder / "ImageReward.pt")
    (folder / "med_config.json").write_text(json.dumps(settings))
    (folder / "vocab.txt").write_text("\n".join(words))
    return vision, text, head.eval()


@pytest.mark.filterwarnings("ignore")  # of transformers
def test_image_reward_from_the_official_layout(tmp_path: Path, images: torch.Tensor) -> None:
    vision, text, head = save_tiny_image_reward(tmp_path / "image-reward")
    found = scores("image-reward", tmp_path, batch(images))
    rows = torch.tensor([[2, 5, 6, 7, 3], [2, 8, 9, 10, 11]])  # [CLS] a red cup [SEP] …
    rows = torch.nn.functional.pad(rows, (0, 30))
    rows[1, 5] = 3
    mask = (rows > 0).long()
    mean, std = (torch.tensor(v)[:, None, None] for v in (clip.MEAN, clip.STD))
    with torch.no_grad():
        x = (resize_then_crop(images, 32).float() / 255 - mean) / std
        seen = vision(pixel_values=x).last_hidden_state
        read = text(
            input_ids=rows, attention_mask=mask, encoder_hidden_states=seen,
            encoder_attention_mask=torch.ones(seen.shape[:2]).long(),
        ).last_hidden_state[:, 0]  # fmt: skip
        wanted = (head(read)[:, 0] - 0.16717362830052426) / 1.0333394966054072
    assert found == pytest.approx(wanted.tolist(), abs=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_an_image_reward_checkpoint_without_a_part_is_refused(tmp_path: Path) -> None:
    save_tiny_image_reward(tmp_path / "w")
    state = torch.load(tmp_path / "w" / "ImageReward.pt", weights_only=True)
    del state["blip.text_encoder.encoder.layer.0.crossattention.self.key.bias"]
    torch.save(state, tmp_path / "w" / "ImageReward.pt")
    with pytest.raises(MissingWeightsError, match=r"1 parameters are missing.*crossattention"):
        ImageReward.load(tmp_path / "w")

"""HPSv2 and its checkpoint in open_clip's layout."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from prompt_batches import TEXTS, batch, scores, tiny
from reference_models import reference_cosines

from layton_bench.errors import MissingWeightsError
from layton_bench.metrics.backbones import clip
from layton_bench.metrics.backbones.open_clip import to_transformers
from layton_bench.metrics.backbones.pillow import resize_then_crop


def open_clip_state(model) -> dict[str, torch.Tensor]:
    """A tiny ``CLIPModel`` cut as open_clip cuts it: written here from its layout, by hand."""
    own = model.state_dict()
    state = {
        "logit_scale": own["logit_scale"],
        "visual.proj": own["visual_projection.weight"].T,
        "text_projection": own["text_projection.weight"].T,
        "visual.class_embedding": own["vision_model.embeddings.class_embedding"],
        "visual.positional_embedding": own["vision_model.embeddings.position_embedding.weight"],
        "visual.conv1.weight": own["vision_model.embeddings.patch_embedding.weight"],
        "token_embedding.weight": own["text_model.embeddings.token_embedding.weight"],
        "positional_embedding": own["text_model.embeddings.position_embedding.weight"],
        "attn_mask": torch.zeros(77, 77),
    }
    for kind in ("weight", "bias"):
        state[f"visual.ln_pre.{kind}"] = own[f"vision_model.pre_layrnorm.{kind}"]
        state[f"visual.ln_post.{kind}"] = own[f"vision_model.post_layernorm.{kind}"]
        state[f"ln_final.{kind}"] = own[f"text_model.final_layer_norm.{kind}"]
        for tower, prefix in (("vision_model", "visual."), ("text_model", "")):
            for i in range(2):
                old, new = f"{tower}.encoder.layers.{i}", f"{prefix}transformer.resblocks.{i}"
                state[f"{new}.attn.in_proj_{kind}"] = torch.cat(
                    [own[f"{old}.self_attn.{letter}_proj.{kind}"] for letter in "qkv"]
                )
                for theirs, ours in (
                    ("attn.out_proj", "self_attn.out_proj"), ("ln_1", "layer_norm1"),
                    ("ln_2", "layer_norm2"), ("mlp.c_fc", "mlp.fc1"), ("mlp.c_proj", "mlp.fc2"),
                ):  # fmt: skip
                    state[f"{new}.{theirs}.{kind}"] = own[f"{old}.{ours}.{kind}"]
    return state


def test_hpsv2_from_open_clips_layout(tmp_path: Path, images: torch.Tensor) -> None:
    model = tiny(tmp_path, "hpsv2")
    (tmp_path / "hpsv2" / "model.safetensors").unlink()
    torch.save(
        {"epoch": 1, "state_dict": open_clip_state(model)},
        tmp_path / "hpsv2" / "HPS_v2.1_compressed.pt",
    )
    cosines = reference_cosines(model, tmp_path / "hpsv2", images, list(TEXTS))
    found = scores("hpsv2", tmp_path, batch(images))
    assert found == pytest.approx([100 * c for c in cosines], abs=1e-4)


def test_half_a_checkpoint_is_refused(tmp_path: Path, images: torch.Tensor) -> None:
    state = open_clip_state(tiny(tmp_path, "hpsv2"))
    del state["visual.ln_post.bias"]
    torch.save({"state_dict": state}, tmp_path / "hpsv2" / "HPS_v2.1_compressed.pt")
    with pytest.raises(MissingWeightsError, match="1 parameters do not fit"):
        scores("hpsv2", tmp_path, batch(images))
    with pytest.raises(KeyError, match=r"strange\.weight"):
        to_transformers({"strange.weight": torch.zeros(1)})


def test_the_layout_is_open_clips(tmp_path: Path, images: torch.Tensor) -> None:
    """The library itself, where installed, on the same weights."""
    open_clip = pytest.importorskip("open_clip")
    model = tiny(tmp_path, "hpsv2")
    theirs = open_clip.model.CLIP(
        embed_dim=16,
        vision_cfg={"layers": 2, "width": 32, "head_width": 16, "patch_size": 8, "image_size": 32,
                    "mlp_ratio": 1.0},
        text_cfg={"context_length": 77, "vocab_size": model.config.text_config.vocab_size,
                  "width": 32, "heads": 2, "layers": 2, "mlp_ratio": 1.0},
        quick_gelu=True,
    ).eval()  # fmt: skip
    state = open_clip_state(model)
    del state["attn_mask"]
    theirs.load_state_dict(state)
    mean, std = (torch.tensor(v)[:, None, None] for v in (clip.MEAN, clip.STD))
    x = (resize_then_crop(images, 32).float() / 255 - mean) / std
    with torch.no_grad():
        wanted = theirs.encode_image(x)
        found = model.visual_projection(model.vision_model(pixel_values=x).pooler_output)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert set(to_transformers(theirs.state_dict())) == set(to_transformers(state))

"""Scorers of pictures for prompts: tiny models of the real classes in the real layouts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from geneval_models import save_tiny_clip
from pixel_cases import photo
from reference_models import reference_cosines

from layton_bench.errors import MissingWeightsError
from layton_bench.metrics import prompt
from layton_bench.metrics.backbones import clip
from layton_bench.metrics.backbones.image_reward import ImageReward
from layton_bench.metrics.backbones.linear_chain import LinearChain
from layton_bench.metrics.backbones.open_clip import to_transformers
from layton_bench.metrics.backbones.pillow import resize_then_crop
from layton_bench.metrics.base import MetricContext
from layton_bench.metrics.features import FeatureRunner
from layton_bench.types import Prompt, ScoredBatch

SPECS = {spec.name: spec for spec in prompt.SPECS}
TEXTS = ("a red cup", "two dogs on grass")


@pytest.fixture
def images() -> torch.Tensor:
    pictures = [photo(name) for name in ("coffee", "chelsea")]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


def batch(images: torch.Tensor, texts: tuple[str | None, ...] = TEXTS) -> ScoredBatch:
    prompts = tuple(Prompt(key=f"{i}", text=text) for i, text in enumerate(texts))
    keys = tuple(p.key for p in prompts)
    return ScoredBatch(keys=keys, candidates=images, prompts=prompts)


def scores(name: str, root: Path, given: ScoredBatch) -> list[float]:
    find = root.joinpath
    features = FeatureRunner({spec.name: spec for spec in clip.SPECS}, find)
    metric = SPECS[name].make(MetricContext(features=features, weights=find))
    metric.update(given)
    column = metric.per_sample()[name]
    return [column[key] for key in given.keys]


def tiny(root: Path, name: str):
    from transformers import CLIPModel

    (root / name).mkdir()
    save_tiny_clip(root / name)
    return CLIPModel.from_pretrained(root / name).eval()


def test_clip_scores(tmp_path: Path, images: torch.Tensor) -> None:
    model = tiny(tmp_path, "clip-vit-l-14")
    cosines = reference_cosines(model, tmp_path / "clip-vit-l-14", images, list(TEXTS))
    found = scores("clip-score", tmp_path, batch(images))
    assert found == pytest.approx([max(0, 100 * c) for c in cosines], abs=1e-4)
    model = tiny(tmp_path, "clip-vit-b-32")
    texts = [f"A photo depicts {text}" for text in TEXTS]
    cosines = reference_cosines(model, tmp_path / "clip-vit-b-32", images, texts)
    found = scores("clip-score-b32", tmp_path, batch(images))
    assert found == pytest.approx([max(0, 2.5 * c) for c in cosines], abs=1e-5)


def test_pickscore_is_scaled_by_the_models_own_scale(tmp_path: Path, images: torch.Tensor) -> None:
    model = tiny(tmp_path, "pickscore")
    cosines = reference_cosines(model, tmp_path / "pickscore", images, list(TEXTS))
    scale = float(model.logit_scale.detach().exp())
    assert scale > 10
    found = scores("pickscore", tmp_path, batch(images))
    assert found == pytest.approx([scale * c for c in cosines], abs=1e-4)
    assert any(value < 0 for value in found) or min(cosines) >= 0  # not clipped


def test_a_picture_without_words_is_an_error(tmp_path: Path, images: torch.Tensor) -> None:
    tiny(tmp_path, "clip-vit-l-14")
    with pytest.raises(ValueError, match="prompt in words"):
        scores("clip-score", tmp_path, batch(images, ("a cup", None)))


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


def test_aesthetic_is_a_chain_of_linear_layers(tmp_path: Path, images: torch.Tensor) -> None:
    model = tiny(tmp_path, "clip-vit-l-14")
    torch.manual_seed(2)
    head = torch.nn.Sequential(
        torch.nn.Linear(16, 8), torch.nn.Dropout(0.2), torch.nn.Linear(8, 4),
        torch.nn.Dropout(0.1), torch.nn.Linear(4, 1),
    ).eval()  # fmt: skip
    torch.save({f"layers.{k}": v for k, v in head.state_dict().items()}, tmp_path / "aesthetic")
    mean, std = (torch.tensor(v)[:, None, None] for v in (clip.MEAN, clip.STD))
    with torch.no_grad():
        x = (resize_then_crop(images, 32).float() / 255 - mean) / std
        rows = model.visual_projection(model.vision_model(pixel_values=x).pooler_output)
        wanted = head(rows / rows.norm(dim=1, keepdim=True))[:, 0].tolist()
    assert scores("aesthetic", tmp_path, batch(images)) == pytest.approx(wanted, abs=1e-5)


def test_linear_chain_by_hand() -> None:
    state = {
        "layers.10.weight": torch.tensor([[1.0, 1.0]]), "layers.10.bias": torch.tensor([0.5]),
        "layers.2.weight": torch.tensor([[2.0], [3.0]]), "layers.2.bias": torch.tensor([1.0, 0.0]),
    }  # fmt: skip
    assert LinearChain(state)(np.array([[2.0]])).tolist() == [[5 + 6 + 0.5]]


# ImageReward


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

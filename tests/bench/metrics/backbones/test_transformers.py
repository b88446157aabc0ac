"""DINOv2 and CLIP image towers: tiny models of the real classes, saved and found as real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pixel_cases import photo

from layton_bench.errors import MissingWeightsError
from layton_bench.metrics.backbones import clip, dinov2
from layton_bench.metrics.backbones.pillow import crop_then_resize, resize_then_crop, squash
from layton_bench.metrics.features import FeatureRunner
from layton_bench.types import ScoredBatch


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.stack([tensor(photo(name)) for name in ("astronaut", "coffee")])


def rows(spec, folder: Path, images: torch.Tensor) -> np.ndarray:
    runner = FeatureRunner({spec.name: spec}, lambda name: folder / name)
    batch = ScoredBatch(keys=("a", "b"), candidates=images)
    return runner.candidates(batch, spec.name, spec.taps[0]).rows


def as_pillow(image: torch.Tensor) -> Image.Image:
    return Image.fromarray(image.permute(1, 2, 0).numpy())


@pytest.mark.parametrize("size", [(192, 208), (64, 40), (224, 224), (30, 90)])
def test_resizes_are_those_of_torchvision_and_pillow(size: tuple[int, int]) -> None:
    from torchvision.transforms import v2

    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8, generator=generator)
    bicubic = v2.InterpolationMode.BICUBIC
    wanted_squash = [v2.Resize((56, 56), bicubic)(as_pillow(i)) for i in images]
    own = v2.Compose([v2.Resize(56, bicubic), v2.CenterCrop(56)])
    wanted_own = [own(as_pillow(i)) for i in images]
    square = v2.CenterCrop(min(size))
    wanted_square = [
        square(as_pillow(i)).resize((56, 56), Image.Resampling.BICUBIC) for i in images
    ]
    for resize, wanted in (
        (squash, wanted_squash), (resize_then_crop, wanted_own), (crop_then_resize, wanted_square),
    ):  # fmt: skip
        found = resize(images, 56)
        assert found.dtype == torch.uint8 and found.shape == (2, 3, 56, 56)
        assert torch.equal(found, torch.stack([tensor(np.array(w)) for w in wanted]))


def tiny_dinov2(folder: Path):
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    config = Dinov2Config(
        hidden_size=32, num_attention_heads=2, num_hidden_layers=2, image_size=518, patch_size=14
    )
    model = Dinov2Model(config).eval()
    torch.nn.init.normal_(model.embeddings.position_embeddings)
    model.save_pretrained(folder / dinov2.NAME)
    return model


def test_dinov2_equals_timm(tmp_path: Path, images: torch.Tensor) -> None:
    timm = pytest.importorskip("timm")
    model = tiny_dinov2(tmp_path)
    theirs = timm.models.vision_transformer.VisionTransformer(
        img_size=224, patch_size=14, embed_dim=32, depth=2, num_heads=2, num_classes=0,
        init_values=1.0,
    ).eval()  # fmt: skip
    own = model.state_dict()
    state = {
        "cls_token": own["embeddings.cls_token"],
        "pos_embed": dinov2.positions_at(own["embeddings.position_embeddings"], 16),
        "norm.weight": own["layernorm.weight"],
        "norm.bias": own["layernorm.bias"],
    }
    for part in ("weight", "bias"):
        state[f"patch_embed.proj.{part}"] = own[f"embeddings.patch_embeddings.projection.{part}"]
    for i in range(2):
        old, new = f"encoder.layer.{i}", f"blocks.{i}"
        for part in ("weight", "bias"):
            state[f"{new}.attn.qkv.{part}"] = torch.cat(
                [_projection(own, old, letter, part) for letter in "qkv"]
            )
            state[f"{new}.attn.proj.{part}"] = _projection(own, old, "o", part)
            for name in ("norm1", "norm2", "mlp.fc1", "mlp.fc2"):
                state[f"{new}.{name}.{part}"] = own[f"{old}.{name}.{part}"]
        for k in (1, 2):
            state[f"{new}.ls{k}.gamma"] = own[f"{old}.layer_scale{k}.lambda1"]
    theirs.load_state_dict(state)
    mean, std = (torch.tensor(v)[:, None, None] for v in (dinov2._MEAN, dinov2._STD))
    with torch.no_grad():
        x = (squash(images, 224).float() / 255 - mean) / std
        wanted = theirs.forward_features(x)[:, 0].numpy()
    found = rows(dinov2.SPECS[0], tmp_path, images)
    np.testing.assert_allclose(found, wanted, atol=2e-5)


def _projection(own: dict, layer: str, letter: str, part: str) -> torch.Tensor:
    """A projection under the names of transformers 5 or of 4."""
    older = {"q": "attention.query", "k": "attention.key", "v": "attention.value",
             "o": "output.dense"}[letter]  # fmt: skip
    name = f"{layer}.attention.{letter}_proj.{part}"
    return own[name if name in own else f"{layer}.attention.{older}.{part}"]


def test_position_embeddings_are_sampled_by_the_factor_of_dinov2() -> None:
    """The bicubic kernel (a = -0.75) by hand, at source coordinate (i + 1/2)·37/16.1 - 1/2."""
    ramp = torch.randn(37, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    grid = ramp[:, None].expand(37, 37)  # varies along rows alone
    embeddings = torch.cat([torch.zeros(1), grid.flatten().float()])[None, :, None]
    found = dinov2.positions_at(embeddings, 16)[0, 1:, 0].reshape(16, 16)

    def kernel(t: float) -> float:
        t, a = abs(t), -0.75
        if t <= 1:
            return (a + 2) * t**3 - (a + 3) * t**2 + 1
        return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a if t < 2 else 0.0

    for i in (0, 1, 7, 15):
        source = (i + 0.5) * 37 / 16.1 - 0.5
        base = int(np.floor(source))
        wanted = sum(
            kernel(source - j) * float(ramp[min(max(j, 0), 36)]) for j in range(base - 1, base + 3)
        )
        assert found[i, 3].item() == pytest.approx(wanted, abs=1e-5)


def tiny_clip(folder: Path, name: str, *, safe: bool = True):
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(1)
    towers = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 2,
              "num_hidden_layers": 2}  # fmt: skip
    config = CLIPConfig(
        text_config={**towers, "vocab_size": 60}, projection_dim=24,
        vision_config={**towers, "image_size": 56, "patch_size": 14},
    )  # fmt: skip
    model = CLIPModel(config).eval()
    model.save_pretrained(folder / name)
    if not safe:
        torch.save(model.state_dict(), folder / name / "pytorch_model.bin")
        (folder / name / "model.safetensors").unlink()
    return model


HUB_SPECS = [spec for spec in clip.SPECS if spec.name != clip.HPSV2]


@pytest.mark.parametrize("spec", HUB_SPECS, ids=lambda spec: spec.name)
@pytest.mark.parametrize("safe", [True, False])
def test_clip_equals_transformers(spec, safe: bool, tmp_path: Path, images: torch.Tensor) -> None:
    model = tiny_clip(tmp_path, spec.name, safe=safe)
    resize = crop_then_resize if spec.name == "clip-vit-l-14-336" else resize_then_crop
    mean, std = (torch.tensor(v)[:, None, None] for v in (clip.MEAN, clip.STD))
    with torch.no_grad():
        x = (resize(images, 56).float() / 255 - mean) / std
        tower = model.vision_model(pixel_values=x).pooler_output
        wanted = model.visual_projection(tower).numpy()
    np.testing.assert_allclose(rows(spec, tmp_path, images), wanted, atol=1e-6)


@pytest.mark.parametrize("spec", [*dinov2.SPECS, *HUB_SPECS], ids=lambda spec: spec.name)
def test_half_a_model_is_refused(spec, tmp_path: Path, images: torch.Tensor) -> None:
    from safetensors.torch import load_file, save_file

    make = tiny_dinov2 if spec.name == dinov2.NAME else lambda f: tiny_clip(f, spec.name)
    make(tmp_path)
    file = tmp_path / spec.name / "model.safetensors"
    kept = dict(list(load_file(file).items())[:-1])
    save_file(kept, file, metadata={"format": "pt"})
    with pytest.raises(MissingWeightsError, match="1 parameters are missing"):
        rows(spec, tmp_path, images)

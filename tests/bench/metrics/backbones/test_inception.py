"""The FID Inception against the reference implementation and golden features, seeded weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from pixel_cases import photo
from reference_models import bare, reference_network
from seeded_weights import digest, seeded
from torch.nn import functional as F

from layton_bench.metrics.backbones.inception import (
    SPECS,
    TAPS,
    Inception,
    resize_clean,
    resize_pytorch_fid,
    resize_tf1,
)
from layton_bench.metrics.features import FeatureRunner
from layton_bench.types import ScoredBatch

TOLERANCE = 2e-5  # absolute, between honest float32 implementations


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    module = reference_network()
    with torch.device("meta"):
        network = bare(module)
    return seeded({name: tuple(v.shape) for name, v in network.state_dict().items()})


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    found = [photo(name) for name in ("astronaut", "coffee", "chelsea")]
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2)


def test_every_tap_equals_the_reference(state, images: torch.Tensor) -> None:
    network = bare(reference_network())
    torch.nn.Module.load_state_dict(network, state)
    firsts = []
    network.Mixed_6d.branch1x1.register_forward_hook(lambda m, a, out: firsts.append(out))
    with torch.no_grad():
        wanted = dict(zip(("64", "192", "768", "pool3", "logits"), network(images), strict=True))
    # mixed_6/conv of the TensorFlow graph, height then width then its first seven channels
    wanted["spatial"] = firsts[0][:, :7].permute(0, 2, 3, 1).reshape(len(images), -1)
    found = Inception(state, resize_tf1, device="cpu")(images)
    assert set(found) == set(TAPS) == set(wanted)
    for tap in TAPS:
        torch.testing.assert_close(found[tap], wanted[tap], rtol=0, atol=TOLERANCE)
    assert found["spatial"].shape == (3, 2023)


def test_golden_features(state, shared: Path) -> None:
    from PIL import Image
    from safetensors.torch import load_file

    folder = shared / "parity" / "metrics"
    expected = json.loads((folder / "inception_expected.json").read_text())
    assert digest(state) == expected["weights"]["sha256_over_sorted_keys"]
    golden = load_file(folder / "inception_features.safetensors")
    names = expected["images"][:4]
    pictures = torch.stack(
        [torch.from_numpy(np.array(Image.open(folder / "images" / f"{n}.png"))) for n in names]
    ).permute(0, 3, 1, 2)
    for resize, entries in (
        (resize_tf1, {"pool3": "tf1.2048", "logits": "tf1.logits_unbiased", "768": "tf1.768"}),
        (resize_clean, {"pool3": "clean.2048"}),
        (resize_pytorch_fid, {"pool3": "pytorch_fid_legacy.2048"}),
    ):
        found = Inception(state, resize, device="cpu")(pictures)
        for tap, name in entries.items():
            torch.testing.assert_close(found[tap], golden[name][:4], rtol=0, atol=TOLERANCE)


def test_features_do_not_depend_on_the_batch(state, images: torch.Tensor) -> None:
    network = Inception(state, resize_clean, device="cpu")
    whole = network(images)["pool3"]
    alone = torch.cat([network(image[None])["pool3"] for image in images])
    torch.testing.assert_close(alone, whole, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("size", [(192, 208), (64, 48), (512, 512), (299, 299), (1, 7)])
def test_the_resizes_are_those_of_the_libraries(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8, generator=generator)
    tf1 = pytest.importorskip("torch_fidelity.interpolate_compat_tensorflow")
    wanted = tf1.interpolate_bilinear_2d_like_tensorflow1x(
        images.float(), size=(299, 299), align_corners=False
    )
    assert torch.equal(resize_tf1(images), (wanted - 128) / 128)
    from cleanfid.resize import make_resizer

    resizer = make_resizer("PIL", False, "bicubic", (299, 299))
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow deprecates the mode clean-fid names
        arrays = [resizer(image.permute(1, 2, 0).numpy()) for image in images]
    wanted = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)
    torch.testing.assert_close(resize_clean(images) * 128 + 128, wanted, rtol=0, atol=5e-5)
    wanted = F.interpolate(images.float(), size=(299, 299), mode="bilinear", align_corners=False)
    torch.testing.assert_close((resize_pytorch_fid(images) + 1) * 127.5, wanted, rtol=0, atol=1e-3)


def test_resizes_of_the_golden_photo(shared: Path) -> None:
    from PIL import Image

    folder = shared / "parity" / "metrics"
    golden = json.loads((folder / "resize_expected.json").read_text())["stats"]["breakwater"]
    image = torch.from_numpy(np.array(Image.open(folder / "images" / "breakwater.png")))
    image = image.permute(2, 0, 1)[None]
    for name, resized in (
        ("tf1_bilinear", resize_tf1(image) * 128 + 128),
        ("clean_pil_bicubic_float", resize_clean(image) * 128 + 128),
        ("torch_bilinear_no_antialias", (resize_pytorch_fid(image) + 1) * 127.5),
    ):
        wanted = golden["256x256"][name]
        assert resized.double().mean((0, 2, 3)).tolist() == pytest.approx(wanted["mean"], abs=1e-3)
        for place, value in wanted["px"].items():
            row, column = map(int, place.split(","))
            assert resized[0, :, row, column].tolist() == pytest.approx(value, abs=5e-3)


def test_loaded_through_the_registry(state, images: torch.Tensor, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "w.pth")
    runner = FeatureRunner({s.name: s for s in SPECS}, lambda name: tmp_path / "w.pth")
    batch = ScoredBatch(keys=("a", "b", "c"), candidates=images, references=images)
    found = {s.name: runner.candidates(batch, s.name, "pool3").rows for s in SPECS}
    assert [rows.shape for rows in found.values()] == [(3, 2048)] * 3
    gap = np.abs(found["inception-tf1"] - found["inception-clean"]).max()
    assert gap > 1e-2  # two conventions, two features
    direct = Inception(state, resize_tf1, device="cpu")(images)["pool3"].numpy()
    np.testing.assert_array_equal(found["inception-tf1"], direct)


def test_a_missing_entry_is_named(state: Mapping[str, torch.Tensor]) -> None:
    lacking = {name: value for name, value in state.items() if name != "fc.weight"}
    with pytest.raises(KeyError, match=r"fc\.weight"):
        Inception(lacking, resize_tf1, device="cpu")

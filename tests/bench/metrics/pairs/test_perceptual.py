"""LPIPS, DISTS and pyiqa's metrics against the reference packages, with seeded weights.

The weights go the whole way: saved to a file, added to a registry, found by name, loaded.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from pair_batches import store, tensor, values
from pixel_cases import photo
from seeded_weights import digest, seeded

from layton_bench.errors import MissingWeightsError
from layton_bench.metrics.pairs import perceptual
from layton_bench.metrics.pairs.perceptual import Dists, Lpips, lpips_heads

SPECS = {spec.name: spec for spec in perceptual.SPECS}


NETWORKS = ("alex", "vgg", "squeeze")


# sha256 of the trunks, from the golden data
TRUNKS = {"alex": "3ae34e8b", "vgg": "", "squeeze": ""}


@cache
def trunk(network: str) -> dict[str, torch.Tensor]:
    """Torchvision's names with weights drawn under the golden data's names."""
    from torchvision import models

    with torch.device("meta"):
        features = getattr(models, perceptual._NETWORKS[network])(weights=None).features
    shapes = {f"{network}.features.{k}": tuple(v.shape) for k, v in features.state_dict().items()}
    drawn = seeded(shapes)
    assert digest(drawn, without=f"{network}.").startswith(TRUNKS[network])
    return {name.removeprefix(f"{network}."): value for name, value in drawn.items()}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.filterwarnings("ignore")  # lpips calls torchvision by deprecated names
def test_lpips_equals_its_package(network: str, tmp_path: Path, pairs) -> None:
    lpips = pytest.importorskip("lpips")
    theirs = lpips.LPIPS(net=network, pnet_rand=True, verbose=False)
    state = trunk(network)
    layers = [m for m in theirs.net.modules() if isinstance(m, torch.nn.Conv2d)]
    names = [k.removesuffix(".weight") for k in state if k.endswith(".weight")]
    for layer, name in zip(layers, names, strict=True):
        layer.weight.data, layer.bias.data = state[f"{name}.weight"], state[f"{name}.bias"]
    with torch.no_grad():
        wanted = theirs(*(x / 127.5 - 1 for x in pairs)).flatten().double()
    weights = store(tmp_path, {perceptual.LPIPS_WEIGHTS[network]: state})
    found = torch.tensor(list(values(SPECS[f"lpips-{network}"], weights, pairs).values()))
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-9)
    assert found[3] == 0 and found[:3].min() > 1e-3


@pytest.mark.parametrize("network", NETWORKS)
def test_lpips_equals_the_golden_pairs(network: str, shared: Path) -> None:
    from PIL import Image

    folder = shared / "parity" / "metrics"
    wanted = json.loads((folder / "lpips_expected.json").read_text())["nets"][network]
    state = trunk(network)
    assert (
        digest({f"{network}.{k}": v for k, v in state.items()}, without=f"{network}.")
        == (wanted["trunk_sha256"])
    )
    distance = Lpips(network, state, lpips_heads(network), device="cpu")
    for name in sorted(wanted["pairs"])[: 1 if network == "vgg" else 4]:
        reference = np.array(Image.open(folder / "images" / f"{name}.png"))
        brighter = np.clip(reference.astype(float) + 40, 0, 255).astype(np.uint8)
        parts = distance.parts(tensor(brighter)[None], tensor(reference)[None])[0]
        golden = wanted["pairs"][name]["bright40"]
        assert float(parts.sum()) == pytest.approx(golden["lpips"], rel=1e-5)
        assert parts.tolist() == pytest.approx(golden["layers"], rel=1e-5)


def test_lpips_is_symmetric_and_independent_of_the_batch(pairs) -> None:
    distance = Lpips("squeeze", trunk("squeeze"), lpips_heads("squeeze"), device="cpu")
    whole = distance(*pairs)
    torch.testing.assert_close(distance(pairs[1], pairs[0]), whole, rtol=1e-6, atol=1e-10)
    alone = torch.cat([distance(a[None], b[None]) for a, b in zip(*pairs, strict=True)])
    torch.testing.assert_close(alone, whole, rtol=1e-5, atol=1e-9)


def test_lpips_heads_are_the_published_ones(shared: Path) -> None:
    from safetensors.torch import load_file

    golden = load_file(shared / "parity" / "metrics" / "lpips_heads_v0.1.safetensors")
    for network in NETWORKS:
        for tap, head in enumerate(lpips_heads(network)):
            assert torch.equal(head, golden[f"{network}.lin{tap}"])


def test_different_sizes_are_an_error(pairs, tmp_path: Path) -> None:
    weights = store(tmp_path, {"squeezenet1-1": trunk("squeeze")})
    with pytest.raises(ValueError, match=r"candidates of shape \(4, 3, 96, 112\), references of"):
        values(SPECS["lpips-squeeze"], weights, (pairs[0], pairs[1][:, :, :90]))


def test_the_wrong_networks_weights_are_refused(tmp_path: Path, pairs) -> None:
    weights = store(tmp_path, {"alexnet": trunk("squeeze")})
    with pytest.raises(RuntimeError, match="Missing key"):
        values(SPECS["lpips-alex"], weights, pairs)


@pytest.mark.parametrize("name", SPECS)
def test_missing_weights_are_never_replaced(name: str, tmp_path: Path, pairs) -> None:
    first = SPECS[name].weights[0]
    with pytest.raises(MissingWeightsError, match=f"run layton-bench weights pull {first}"):
        values(SPECS[name], store(tmp_path, {}), pairs)


def test_dists_equals_pyiqa(tmp_path: Path, pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyiqa.archs import dists_arch
    from torchvision import models

    state = trunk("vgg")

    def vgg16(weights: object = None) -> torch.nn.Module:
        with torch.device("meta"):
            network = models.vgg16(weights=None)
        network.features.load_state_dict(
            {k.removeprefix("features."): v for k, v in state.items()}, assign=True
        )
        return network

    monkeypatch.setattr(dists_arch, "models", type("models", (), {"vgg16": staticmethod(vgg16)}))
    theirs = dists_arch.DISTS(pretrained=False).eval()
    generator = torch.Generator().manual_seed(0)
    own = {name: torch.rand(1, 1475, 1, 1, generator=generator) for name in ("alpha", "beta")}
    theirs.alpha.data, theirs.beta.data = own["alpha"], own["beta"]
    with torch.no_grad():
        wanted = theirs(*(x.float() / 255 for x in pairs)).flatten().double()
    weights = store(tmp_path, {"vgg16": state, "dists": own})
    found = torch.tensor(list(values(SPECS["dists"], weights, pairs).values()))
    torch.testing.assert_close(found.double(), wanted, rtol=2e-5, atol=1e-6)
    assert abs(found[3]) < 1e-9 and found[:3].min() > 1e-3


def test_dists_of_an_image_and_itself_is_zero() -> None:
    image = tensor(photo("coffee"))[None]
    alpha, beta = torch.rand(1475), torch.rand(1475)
    found = Dists(trunk("vgg"), alpha, beta, device="cpu")(image, image)
    assert found.item() == pytest.approx(0, abs=1e-12)

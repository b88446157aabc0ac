"""LPIPS, DISTS and pyiqa's metrics against the reference packages, with seeded weights.

The weights go the whole way: saved to a file, added to a registry, found by name, loaded.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from pixel_cases import distorted, photo
from seeded_weights import digest, seeded

from layton_bench.errors import MissingWeightsError, UnknownNameError
from layton_bench.metrics.base import MetricContext
from layton_bench.metrics.pairs import perceptual, pyiqa as pyiqa_metrics
from layton_bench.metrics.pairs.perceptual import Dists, Lpips, lpips_heads
from layton_bench.types import ScoredBatch
from layton_bench.weights.catalogue import WEIGHTS
from layton_bench.weights.store import WeightsStore

SPECS = {spec.name: spec for spec in perceptual.SPECS}
NETWORKS = ("alex", "vgg", "squeeze")
PYIQA = pyiqa_metrics.SPECS[0]
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


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)


@pytest.fixture(scope="module")
def pairs() -> tuple[torch.Tensor, torch.Tensor]:
    kinds = ("blur2", "noise25", "bright40", "self")
    names = ("astronaut", "chelsea", "coffee", "chelsea")
    candidates = [tensor(distorted(n, k)) for n, k in zip(names, kinds, strict=True)]
    references = [tensor(photo(n)) for n in names]
    return tuple(torch.stack(side)[..., 40:136, 30:142] for side in (candidates, references))


def store(tmp_path: Path, files: dict[str, dict[str, torch.Tensor]]) -> WeightsStore:
    """A registry without the published digests, with these weights added from files."""
    from layton_bench.weights.store import WeightsEntry, WeightsFile

    entries = {
        name: WeightsEntry(
            name=name, files=(WeightsFile(path="weights.pth", url="http://x/y"),), licence=""
        )
        for name in [entry.name for entry in WEIGHTS]
    }
    found = WeightsStore(entries, tmp_path / "weights")
    for name, state in files.items():
        torch.save(state, tmp_path / "given.pth")
        found.add(name, tmp_path / "given.pth")
    return found


def values(spec: object, weights: WeightsStore, pair: tuple[torch.Tensor, torch.Tensor]):
    context = MetricContext(features=None, weights=weights.find)  # type: ignore[arg-type]
    metric = spec.make(context)  # type: ignore[attr-defined]
    keys = tuple(f"{i}" for i in range(len(pair[0])))
    metric.update(ScoredBatch(keys=keys, candidates=pair[0], references=pair[1]))
    return metric.per_sample()[spec.name]  # type: ignore[attr-defined]


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


# pyiqa


def pyiqa_spec(name: str):
    match = PYIQA.pattern.fullmatch(name)
    assert match is not None
    return PYIQA.make_spec(match)


@pytest.mark.filterwarnings("ignore")  # pyiqa's dependencies
@pytest.mark.parametrize("name", ["fsim", "vif", "gmsd", "nlpd", "vsi", "ssimc", "psnr"])
def test_metrics_without_weights_work_offline(name: str, shared: Path, tmp_path: Path) -> None:
    from PIL import Image

    folder = shared / "parity" / "metrics"
    golden = json.loads((folder / "pairs_expected.json").read_text())["pairs"]["wool"]["bright40"]
    reference = np.array(Image.open(folder / "images" / "wool.png"))
    brighter = np.clip(reference.astype(float) + 40, 0, 255).astype(np.uint8)
    pair = tensor(brighter)[None], tensor(reference)[None]
    found = values(pyiqa_spec(f"pyiqa:{name}"), store(tmp_path, {}), pair)
    assert found["0"] == pytest.approx(golden[f"pyiqa_{name}"], rel=2e-5)


@pytest.mark.filterwarnings("ignore")
def test_a_pyiqa_metric_of_several_images(pairs, tmp_path: Path) -> None:
    import pyiqa

    found = values(pyiqa_spec("pyiqa:gmsd"), store(tmp_path, {}), pairs)
    net = pyiqa.create_metric("gmsd", device=torch.device("cpu"))
    wanted = net(*(x.float() / 255 for x in pairs))
    assert list(found.values()) == pytest.approx(wanted.flatten().tolist(), rel=1e-5, abs=1e-8)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("musiq", "pyiqa-musiq_koniq_ckpt"),
        ("niqe", "pyiqa-niqe_modelparameters"),
        ("lpips", "alexnet"),
        ("clipiqa", "openai-clip-rn50"),
        ("arniqa", "resnet50"),
    ],
)
def test_pyiqa_downloads_nothing(
    name: str, needs: str, tmp_path: Path, pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    def refuse(*args: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(MissingWeightsError) as caught:
        values(pyiqa_spec(f"pyiqa:{name}"), store(tmp_path, {}), pairs)
    assert caught.value.remedy == f"run layton-bench weights pull {needs}"


@pytest.mark.filterwarnings("ignore")
def test_pyiqa_reads_weights_from_the_registry(tmp_path: Path, pairs) -> None:
    from pyiqa.archs.cnniqa_arch import CNNIQA

    torch.manual_seed(0)
    net = CNNIQA(pretrained=None).eval()
    weights = store(tmp_path, {"pyiqa-cnniqa_koniq10k": {"params": net.state_dict()}})
    spec = pyiqa_spec("pyiqa:cnniqa")
    assert (spec.direction, spec.needs) == ("higher", frozenset())
    found = values(spec, weights, pairs)
    with torch.no_grad():
        wanted = [net(x[None].float() / 255).item() for x in pairs[0]]
    assert list(found.values()) == pytest.approx(wanted, rel=1e-4)


def test_pyiqa_names() -> None:
    assert pyiqa_spec("pyiqa:gmsd").direction == "lower"
    assert pyiqa_spec("pyiqa:vif").needs == {"reference"}
    with pytest.raises(UnknownNameError, match="pyiqa:fsim"):
        pyiqa_spec("pyiqa:fsin")
    with pytest.raises(UnknownNameError):  # a metric of sets has its own name here
        pyiqa_spec("pyiqa:fid")
    assert not re.compile(PYIQA.pattern).fullmatch("pyiqa:../x")

"""Metrics of the package pyiqa: values, weights from the registry alone, names."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from pair_batches import store, tensor, values

from layton_bench.errors import MissingWeightsError, UnknownNameError
from layton_bench.metrics.pairs import pyiqa as pyiqa_metrics

PYIQA = pyiqa_metrics.SPECS[0]


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

"""Published numbers: read, shown apart, and explained by the protocol that reaches them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from lab import Bench
from skimage import data
from skimage.metrics import structural_similarity

from layton_bench.errors import UserError
from layton_bench.images import to_uint8
from layton_bench.metrics.pairs.published import ssim_range2
from layton_bench.registry.plugins import Plugins
from layton_bench.run.gap import explain_gap, rerounded
from layton_bench.run.plan import RunOptions
from layton_bench.run.published import paper_metric
from layton_bench.types import ScoredBatch

HEAD = "model,suite,metric,value,source,protocol,note\n"


def test_names_in_papers() -> None:
    assert (paper_metric("rFID"), paper_metric("ssim")) == ("fid", "ssim")
    with pytest.raises(UserError, match="no published variants"):
        paper_metric("colour-bias")


def test_ssim_range2_is_what_the_script_computes() -> None:
    photo = data.astronaut()[100:164, 200:264]
    worse = (photo.astype(int) * 7 // 8 + 9).astype(np.uint8)
    batch = ScoredBatch(
        keys=("a",),
        references=torch.from_numpy(photo.copy()).permute(2, 0, 1)[None],
        candidates=torch.from_numpy(worse).permute(2, 0, 1)[None],
    )
    expected = structural_similarity(worse / 255.0, photo / 255.0, channel_axis=-1, data_range=2.0)
    assert ssim_range2(batch)[0] == pytest.approx(expected, abs=1e-12)
    canonical = structural_similarity(worse, photo, channel_axis=-1, data_range=255)
    assert ssim_range2(batch)[0] > canonical


def test_another_rounding_sees_the_same_floats() -> None:
    decoded = torch.linspace(-1, 1, 3 * 16).reshape(1, 3, 4, 4)
    batch = ScoredBatch(keys=("a",), candidates=to_uint8(decoded, "round"), decoded=decoded)
    other = rerounded("truncate", batch)
    assert torch.equal(other.candidates, to_uint8(decoded, "truncate"))
    assert not torch.equal(other.candidates, batch.candidates)
    assert rerounded("truncate", batch) is other


def test_the_protocol_that_reaches_a_number_comes_first(tmp_path: Path) -> None:
    plugins = Plugins()
    options = RunOptions(limit=3, device="cpu", batch_size=3, out=tmp_path)
    (found,) = explain_gap(plugins, "photos-256", "jpeg-q10", {"psnr": 99.0}, options)
    assert len(found.combinations) == 4 * 4 * 2  # crops × roundings × variants
    target = next(
        c for c in found.combinations
        if (c.protocol, c.rounding, c.metric) == ("adm-center-crop@1", "truncate", "psnr-pooled")
    )  # fmt: skip
    (again,) = explain_gap(plugins, "photos-256", "jpeg-q10", {"psnr": target.value}, options)
    best = again.combinations[0]
    assert (best.protocol, best.metric) == (target.protocol, target.metric)
    assert best.gap == 0.0
    gaps = [abs(c.gap) for c in again.combinations]
    assert gaps == sorted(gaps)
    assert again.n == 3
    llamagen = [c for c in again.combinations if "LlamaGen" in c.scripts]
    assert [(c.protocol, c.rounding, c.metric) for c in llamagen] == [
        ("adm-center-crop@1", "floor-128", "psnr")
    ]


def test_what_is_not_available_is_said(bench: Bench) -> None:
    words = ("--suite", "photos-256", "--limit", "2", "--device", "cpu")
    outcome = bench("explain-gap", "jpeg-q10", *words, "--reported", "rfid=2.19", "--json")
    assert outcome.code == 0
    (told,) = json.loads(outcome.out)
    assert {c["value"] for c in told["combinations"]} == {None}
    assert "weights 'inception-fid' not found" in told["combinations"][0]["note"]
    assert bench("explain-gap", "jpeg-q10", *words, "--reported", "ssim").code == 2
    assert "has no published number" in bench("explain-gap", "jpeg-q10", *words).err

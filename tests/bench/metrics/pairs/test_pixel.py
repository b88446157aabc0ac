"""Pixel metrics against the reference libraries' numbers and cases worked by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from pixel_batches import SPECS, batch_of, flat, score
from pixel_cases import DISTORTIONS, PHOTOS, PIXEL, distorted, photo

from layton_bench.errors import ModelOutputError
from layton_bench.metrics.base import MetricContext
from layton_bench.metrics.pairs import colour
from layton_bench.metrics.pairs.pixel import ColourBias, PooledPSNR
from layton_bench.types import MetricValue, ScoredBatch

# Both sides compute in float64; torchmetrics keeps the exponents of MS-SSIM in float32 (1e-8), and
# colours next to grey lose digits in the hue on either side (1e-8 a pixel).
TOLERANCE = {"ms-ssim": 1e-7, "delta-e": 1e-9}


PER_IMAGE = ("psnr", "ssim", "ssim-skimage", "ms-ssim", "delta-e", "colour-bias-a", "colour-bias-b")


@pytest.fixture(scope="module")
def golden() -> dict:
    return json.loads(PIXEL.read_text(encoding="utf-8"))


@pytest.mark.parametrize("distortion", DISTORTIONS)
def test_every_pair_scores_as_the_reference_libraries_say(golden, distortion):
    names = list(PHOTOS)
    batch = batch_of([distorted(n, distortion) for n in names], [photo(n) for n in names], names)
    for metric_name in PER_IMAGE:
        metric = SPECS[metric_name].make(MetricContext(features=None))
        metric.update(batch)
        got = metric.per_sample()[metric_name]
        for name in names:
            expected = float(golden["pairs"][name][distortion][metric_name])
            tolerance = TOLERANCE.get(metric_name, 1e-10)
            assert got[name] == pytest.approx(expected, abs=tolerance), (metric_name, name)


def test_the_mean_is_over_images_not_over_the_set(golden):
    names = list(PHOTOS)
    batch = batch_of([distorted(n, "blur2") for n in names], [photo(n) for n in names], names)
    per_image = [golden["pairs"][n]["blur2"]["psnr"] for n in names]
    value = score("psnr", batch)
    assert value.value == pytest.approx(np.mean(per_image), abs=1e-10)
    assert value.n == len(names)
    assert value.low < value.value < value.high
    assert score("psnr-pooled", batch).value < value.value


@pytest.mark.parametrize("distortion", [d for d in DISTORTIONS if d != "self"])
def test_pooled_psnr_is_torchmetrics_default(golden, distortion):
    names = list(PHOTOS)
    batch = batch_of([distorted(n, distortion) for n in names], [photo(n) for n in names], names)
    value = score("psnr-pooled", batch)
    # torchmetrics casts its running sums to float32 whatever the input is
    assert value.value == pytest.approx(golden["psnr-pooled"][distortion], abs=2e-5)
    assert value.low < value.value < value.high


def test_an_exact_copy_is_perfect_to_the_last_bit():
    batch = batch_of([photo("coffee")], [photo("coffee")])
    perfect = {"ssim": 1.0, "ssim-skimage": 1.0, "ms-ssim": 1.0, "psnr": math.inf}
    for name in SPECS:
        assert score(name, batch).value == perfect.get(name, math.inf if "psnr" in name else 0.0)


def test_some_exact_copies_are_left_out_of_the_mean_and_counted():
    value = score("psnr", batch_of(flat((10,) * 3, (20,) * 3), flat((15,) * 3, (20,) * 3)))
    assert value.value == pytest.approx(20 * math.log10(51))
    assert value.note == "1 of 2 infinite, left out of the mean"
    value = score("psnr", batch_of(flat((1, 2, 3)), flat((1, 2, 3))))
    assert (value.value, value.low, value.high, value.n) == (math.inf, math.inf, math.inf, 1)
    assert value.note == "infinite for every sample"


def test_colour_bias_is_the_length_of_the_shared_drift():
    reference = flat((120, 120, 120), (120, 120, 120))
    redder, greener = flat((150, 120, 120))[0], flat((120, 135, 120))[0]
    shared_drift = score("colour-bias", batch_of([redder, redder], reference))
    lab = colour.lab_from_rgb(torch.tensor([[150, 120], [120, 120], [120, 120]], dtype=torch.uint8))
    expected_a, expected_b = (lab[1:, 0] - lab[1:, 1]).tolist()
    assert shared_drift.value == pytest.approx(math.hypot(expected_a, expected_b), abs=1e-9)
    assert shared_drift.low == pytest.approx(shared_drift.value)
    assert shared_drift.high == pytest.approx(shared_drift.value)
    assert score("colour-bias", batch_of([redder, greener], reference)).value < shared_drift.value
    assert score("colour-bias-a", batch_of([redder], reference[:1])).value > 10
    assert score("colour-bias-a", batch_of([greener], reference[:1])).value < -5


def test_brightness_without_colour_is_no_colour_bias():
    value = score("colour-bias", batch_of(flat((180, 180, 180)), flat((100, 100, 100))))
    assert value.value == pytest.approx(0, abs=0.01)


def test_without_samples_nothing_is_claimed():
    for name in SPECS:
        assert score(name) == MetricValue(value=None, n=0, note="no samples")


def test_intervals_do_not_depend_on_the_seed():
    rng = np.random.default_rng(1)
    pairs = [rng.integers(0, 256, (6, 16, 16, 3), dtype=np.uint8) for _ in range(2)]
    batch = batch_of(*pairs)
    for name in ("psnr", "psnr-pooled", "colour-bias"):
        assert score(name, batch, seed=0) == score(name, batch, seed=1)


def loaded(metric, **columns):
    """The value of a metric that has seen the numbers given, one a sample."""
    keys = np.array([f"{i:03}" for i in range(len(next(iter(columns.values()))))])
    metric.load_state({"keys": keys, **columns})
    return metric.compute()


def test_the_intervals_of_values_that_are_no_means_hold():
    """Pooled PSNR of skewed errors; the length of a drift, none and one of its standard error."""
    rng = np.random.default_rng(0)
    context = MetricContext(features=None)
    covered = {"psnr": 0, 0.0: 0, 0.3: 0}
    for _ in range(500):
        errors = np.exp(rng.standard_normal(10))
        value = loaded(PooledPSNR(context), values=errors)
        truth = 20 * math.log10(255) - 10 * math.log10(math.exp(0.5))
        covered["psnr"] += value.low <= truth <= value.high
        for drift in (0.0, 0.3):
            a, b = rng.standard_normal((2, 10))
            value = loaded(ColourBias(context), a=a + drift, b=b)
            covered[drift] += value.low <= drift <= value.high
    # percentiles of resamples: 0 % of no drift and 82 % of the small one
    assert covered["psnr"] >= 0.92 * 500
    assert covered[0.0] >= 0.93 * 500
    assert covered[0.3] >= 0.93 * 500


def test_a_reference_is_needed():
    batch = ScoredBatch(keys=("a",), candidates=torch.zeros(1, 3, 16, 16, dtype=torch.uint8))
    with pytest.raises(ModelOutputError, match="reference image for every sample"):
        score("psnr", batch)


def test_equals_the_values_computed_with_the_reference_tools(shared):
    """80 pairs of real photographs; codecs and blur are read from files."""
    from PIL import Image

    folder = shared / "parity" / "metrics"
    expected = json.loads((folder / "pairs_expected.json").read_text())
    batches, wanted = [], {}
    for name, distortions in expected["pairs"].items():
        reference = np.asarray(Image.open(folder / "images" / f"{name}.png").convert("RGB"))
        for kind, suffix in (("jpeg10", "jpg"), ("blur2", "png")):
            path = folder / "images" / "distorted" / f"{name}_{kind}.{suffix}"
            candidate = np.asarray(Image.open(path).convert("RGB"))
            key = f"{name}-{kind}"
            batches.append(batch_of([candidate], [reference], [key]))
            wanted[key] = distortions[kind]
    for name, field, tolerance in (
        ("psnr", "psnr_skimage_u8", 1e-10),
        ("ssim", "ssim_torchmetrics_f64", 1e-11),
        ("ssim-skimage", "ssim_skimage_gauss_u8", 1e-11),
        ("ms-ssim", "ms_ssim_torchmetrics_f64", 1e-7),
        ("delta-e", "deltaE2000_mean", 1e-10),
    ):
        metric = SPECS[name].make(MetricContext(features=None))
        for batch in batches:
            metric.update(batch)
        got = metric.per_sample()[name]
        assert {k: pytest.approx(v[field], abs=tolerance) for k, v in wanted.items()} == got

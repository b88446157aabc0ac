"""Pixel metrics against the reference libraries' numbers and cases worked by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from pixel_cases import DISTORTIONS, PHOTOS, PIXEL, distorted, photo

from layton_bench.metrics.base import MetricContext
from layton_bench.metrics.pairs import colour, pixel, pixel_scores, ssim
from layton_bench.metrics.pairs.pixel import ColourBias, PooledPSNR
from layton_bench.types import MetricValue, ScoredBatch

SPECS = {spec.name: spec for spec in pixel.SPECS}
# Both sides compute in float64; torchmetrics keeps the exponents of MS-SSIM in float32 (1e-8), and
# colours next to grey lose digits in the hue on either side (1e-8 a pixel).
TOLERANCE = {"ms-ssim": 1e-7, "delta-e": 1e-9}
PER_IMAGE = ("psnr", "ssim", "ssim-skimage", "ms-ssim", "delta-e", "colour-bias-a", "colour-bias-b")


@pytest.fixture(scope="module")
def golden() -> dict:
    return json.loads(PIXEL.read_text(encoding="utf-8"))


def batch_of(candidates, references, keys=None) -> ScoredBatch:
    """A batch from arrays uint8 (H, W, 3)."""
    stacked = [
        torch.stack([torch.from_numpy(np.array(a)).permute(2, 0, 1) for a in images])
        for images in (candidates, references)
    ]
    keys = tuple(keys or (f"k{i}" for i in range(len(candidates))))
    return ScoredBatch(keys=keys, candidates=stacked[0], references=stacked[1])


def flat(*levels: tuple[int, int, int], side: int = 16) -> list[np.ndarray]:
    return [np.full((side, side, 3), rgb, dtype=np.uint8) for rgb in levels]


def score(name: str, *batches: ScoredBatch, seed: int = 0) -> MetricValue:
    metric = SPECS[name].make(MetricContext(features=None, seed=seed))
    for batch in batches:
        metric.update(batch)
    return metric.compute()


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


def test_psnr_by_hand():
    # a difference of 5 everywhere: MSE 25, PSNR 20 log10(255 / 5)
    value = score("psnr", batch_of(flat((10, 10, 10)), flat((15, 15, 15))))
    assert value.value == pytest.approx(20 * math.log10(51), abs=1e-12)
    # in one of three channels only: MSE 25 / 3
    value = score("psnr", batch_of(flat((10, 10, 10)), flat((10, 15, 10))))
    assert value.value == pytest.approx(20 * math.log10(51) + 10 * math.log10(3), abs=1e-12)


def test_black_against_white_is_zero_db_and_does_not_overflow():
    # 3 · 1024² · 255² is more than 2³⁷
    black, white = flat((0, 0, 0), side=1024), flat((255, 255, 255), side=1024)
    assert score("psnr", batch_of(black, white)).value == 0.0
    assert score("brightness-bias", batch_of(white, black)).value == pytest.approx(255)


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


@pytest.mark.parametrize(
    ("name", "side", "reason"),
    [
        ("ms-ssim", 175, "MS-SSIM needs sides of 176 px or more"),
        ("ssim", 10, "SSIM needs sides of 11 px or more"),
        ("ssim-skimage", 10, "SSIM needs sides of 11 px or more"),
    ],
)
def test_images_smaller_than_the_window_have_no_value_but_a_reason(name, side, reason):
    def noise(seed: int, side: int) -> np.ndarray:
        return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)

    value = score(name, batch_of([noise(0, side)], [noise(1, side)]))
    assert value.value is None
    assert value.note == reason
    value = score(name, batch_of([noise(0, side + 1)], [noise(1, side + 1)]))
    assert value.value == pytest.approx(0, abs=0.2)
    assert value.note == ""


@pytest.mark.parametrize("shape", [(11, 11), (11, 40), (37, 23), (176, 189), (207, 177)])
def test_odd_and_narrow_sizes_equal_torchmetrics(shape):
    from torchmetrics.functional import image as tm

    rng = np.random.default_rng(3)
    x, y = (rng.integers(0, 256, (2, 3, *shape), dtype=np.uint8) for _ in range(2))
    y[1] = x[1] // 2 + 40
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    got = ssim.similarity(x, y)
    x_01, y_01 = x.double() / 255, y.double() / 255
    expected = tm.structural_similarity_index_measure(x_01, y_01, data_range=1.0, reduction="none")
    torch.testing.assert_close(got.full, expected, rtol=0, atol=1e-11)
    if min(shape) >= 176:
        expected = tm.multiscale_structural_similarity_index_measure(
            x_01, y_01, data_range=1.0, reduction="none"
        )
        torch.testing.assert_close(ssim.multi_scale(x, y, got), expected, rtol=0, atol=1e-7)


def test_ms_ssim_counts_negative_contrast_as_zero():
    # a picture against its negative: the structure term is negative, a root of it undefined
    reference = photo("coffee")
    assert score("ms-ssim", batch_of([255 - reference], [reference])).value == 0.0


def test_both_filters_take_the_same_windows():
    planes = torch.rand(2, 20, 31, generator=torch.Generator().manual_seed(0)).double() * 255
    by_opencv, by_torch = ssim._windowed_by_opencv(planes), ssim._windowed_by_torch(planes)
    torch.testing.assert_close(by_torch, by_opencv, rtol=1e-13, atol=0)


# Sharma, Wu, Dalal (2005), table 1: L1 a1 b1, L2 a2 b2, ΔE00. The 34 pairs include hues either
# side of 0°, opposite hues, greys and the blue region of the rotation term.
SHARMA = """
50.0000 2.6772 -79.7751 50.0000 0.0000 -82.7485 2.0425
50.0000 3.1571 -77.2803 50.0000 0.0000 -82.7485 2.8615
50.0000 2.8361 -74.0200 50.0000 0.0000 -82.7485 3.4412
50.0000 -1.3802 -84.2814 50.0000 0.0000 -82.7485 1.0000
50.0000 -1.1848 -84.8006 50.0000 0.0000 -82.7485 1.0000
50.0000 -0.9009 -85.5211 50.0000 0.0000 -82.7485 1.0000
50.0000 0.0000 0.0000 50.0000 -1.0000 2.0000 2.3669
50.0000 -1.0000 2.0000 50.0000 0.0000 0.0000 2.3669
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0009 7.1792
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0010 7.1792
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0011 7.2195
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0012 7.2195
50.0000 -0.0010 2.4900 50.0000 0.0009 -2.4900 4.8045
50.0000 -0.0010 2.4900 50.0000 0.0010 -2.4900 4.8045
50.0000 -0.0010 2.4900 50.0000 0.0011 -2.4900 4.7461
50.0000 2.5000 0.0000 50.0000 0.0000 -2.5000 4.3065
50.0000 2.5000 0.0000 73.0000 25.0000 -18.0000 27.1492
50.0000 2.5000 0.0000 61.0000 -5.0000 29.0000 22.8977
50.0000 2.5000 0.0000 56.0000 -27.0000 -3.0000 31.9030
50.0000 2.5000 0.0000 58.0000 24.0000 15.0000 19.4535
50.0000 2.5000 0.0000 50.0000 3.1736 0.5854 1.0000
50.0000 2.5000 0.0000 50.0000 3.2972 0.0000 1.0000
50.0000 2.5000 0.0000 50.0000 1.8634 0.5757 1.0000
50.0000 2.5000 0.0000 50.0000 3.2592 0.3350 1.0000
60.2574 -34.0099 36.2677 60.4626 -34.1751 39.4387 1.2644
63.0109 -31.0961 -5.8663 62.8187 -29.7946 -4.0864 1.2630
61.2901 3.7196 -5.3901 61.4292 2.2480 -4.9620 1.8731
35.0831 -44.1164 3.7933 35.0232 -40.0716 1.5901 1.8645
22.7233 20.0904 -46.6940 23.0331 14.9730 -42.5619 2.0373
36.4612 47.8580 18.3852 36.2715 50.5065 21.2231 1.4146
90.8027 -2.0831 1.4410 91.1528 -1.6435 0.0447 1.4441
90.9257 -0.5406 -0.9208 88.6381 -0.8985 -0.7239 1.5381
6.7747 -0.2908 -2.4247 5.8714 -0.0985 -2.2286 0.6377
2.0776 0.0795 -1.1350 0.9033 -0.0636 -0.5514 0.9082
"""


def test_ciede2000_equals_the_published_test_data():
    table = torch.tensor([[float(v) for v in line.split()] for line in SHARMA.strip().splitlines()])
    table = table.double()
    x, y, expected = table[:, 0:3].T, table[:, 3:6].T, table[:, 6]
    # published to four decimals
    torch.testing.assert_close(colour.ciede2000(x, y), expected, rtol=0, atol=5.1e-5)
    torch.testing.assert_close(colour.ciede2000(y, x), expected, rtol=0, atol=5.1e-5)


def test_ciede2000_equals_scikit_image_over_the_whole_colour_cube():
    from skimage.color import deltaE_ciede2000, rgb2lab

    rng = np.random.default_rng(5)
    x, y = (rng.integers(0, 256, (20_000, 3), dtype=np.uint8) for _ in range(2))
    x[:2000] = x[:2000, :1]  # greys
    y[1000:3000] = y[1000:3000, :1]
    x[:50] = 0
    y[25:75] = 0
    expected = deltaE_ciede2000(rgb2lab(x), rgb2lab(y))
    lab_x, lab_y = (colour.lab_from_rgb(torch.from_numpy(p.T.copy())) for p in (x, y))
    np.testing.assert_allclose(lab_x.T.numpy(), rgb2lab(x), rtol=0, atol=1e-11)
    # greys carry a chroma of rounding errors, whose hue both sides read to some eight digits
    np.testing.assert_allclose(colour.ciede2000(lab_x, lab_y).numpy(), expected, atol=1e-7)


def test_brightness_bias_is_signed_and_weighs_channels_as_luma():
    grey = flat((100, 100, 100))
    assert score("brightness-bias", batch_of(flat((93, 93, 93)), grey)).value == pytest.approx(-7)
    assert score("brightness-bias", batch_of(flat((100, 110, 100)), grey)).value == pytest.approx(
        7.152
    )


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


def test_on_a_gpu_all_planes_go_at_once_to_the_same_numbers(monkeypatch):
    """The path of other devices, taken on the CPU: torch's filter, batches of planes, no chunks."""
    pairs = [(distorted("coffee", d), photo("coffee")) for d in ("blur2", "cast")]
    batch = batch_of([c for c, _ in pairs], [r for _, r in pairs])
    names = ("ssim", "ms-ssim", "delta-e", "psnr", "brightness-bias", "colour-bias")
    on_cpu = {name: score(name, batch) for name in names}
    batch.memo.clear()
    monkeypatch.setattr(torch.Tensor, "is_cpu", False)
    monkeypatch.setattr(ssim, "_windowed_by_opencv", None)
    monkeypatch.setattr(pixel_scores, "_squared_by_opencv", None)
    for name in names:
        assert score(name, batch).value == pytest.approx(on_cpu[name].value, rel=1e-12)


def test_where_float64_is_missing_the_cpu_computes():
    batch = batch_of([distorted("coffee", "cast")], [photo("coffee")])
    metric = SPECS["ssim"].make(MetricContext(features=None, device="mps"))
    metric.update(batch)
    assert metric.compute() == score("ssim", batch)


def test_a_reference_is_needed():
    batch = ScoredBatch(keys=("a",), candidates=torch.zeros(1, 3, 16, 16, dtype=torch.uint8))
    with pytest.raises(ValueError, match="reference image for every sample"):
        score("psnr", batch)


def test_shared_work_is_done_once_a_batch(monkeypatch):
    calls = []
    similarity = ssim.similarity
    monkeypatch.setattr(ssim, "similarity", lambda x, y: calls.append(1) or similarity(x, y))
    batch = batch_of([photo("coffee")], [distorted("coffee", "cast")])
    metrics = [SPECS[n].make(MetricContext(features=None)) for n in ("ssim", "ssim-skimage")]
    for metric in metrics:
        metric.update(batch)
    assert len(calls) == 1


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

"""KID and CMMD against goldens, brute force and leaving samples out."""

from __future__ import annotations

import re
from pathlib import Path

import feature_cases as cases
import numpy as np
import pytest

from layton_bench.metrics.sets import gram as gram_module, kernel
from layton_bench.metrics.sets.gram import Gram
from layton_bench.metrics.sets.kernel import (
    cmmd,
    cubic,
    gaussian_gap,
    kernel_sums,
    mmd_unbiased,
)

SUBSETS = re.compile(r"torch_fidelity_poly3_subsets(\d+)_size(\d+)_seed2020_f64")


@pytest.fixture(params=["held", "by blocks"])
def _both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "by blocks":
        monkeypatch.setattr(gram_module, "_HELD_ROWS", 1)
        monkeypatch.setattr(gram_module, "_BLOCK_ELEMENTS", 700)


def draws(n: int, m: int, size: int, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.RandomState(2020)
    return [(rng.choice(n, size, False), rng.choice(m, size, False)) for _ in range(count)]


def check_kid(first: np.ndarray, second: np.ndarray, wanted: dict, rel: float) -> None:
    gram = Gram(first, second)
    n, m = len(first), len(second)
    assert mmd_unbiased(kernel_sums(gram, cubic)) == pytest.approx(
        wanted["full_unbiased_f64"], rel=rel
    )
    found = 0
    for name, value in wanted.items():
        if match := SUBSETS.fullmatch(name):
            chosen = draws(n, m, int(match[2]), int(match[1]))
            for products in (gram, None):
                kids = kernel.kid_of_subsets(first, second, chosen, products)
                assert kids.mean() == pytest.approx(value["mean"], rel=rel)
                assert kids.std() == pytest.approx(value["std"], rel=rel, abs=1e-12)
            found += 1
    clean = wanted["cleanfid_npseed0_subsets100_max1000_f64"]
    kids = kernel.kid_of_subsets(first, second, kernel.draw_as_clean_fid(n, m, min(n, m)), gram)
    assert kids.mean() == pytest.approx(clean, rel=rel)
    assert found


@pytest.mark.usefixtures("_both_ways")
@pytest.mark.parametrize("name", cases.SMALL)
def test_kid_equals_the_libraries(name: str) -> None:
    rows, wanted = cases.features(), cases.expected()["cases"][name]["kid"]
    check_kid(rows[f"{name}.fake"], rows[f"{name}.real"], wanted, 1e-11)


@pytest.mark.parametrize("name", [*cases.LARGE, "large_offset"])
def test_kid_of_every_golden_case(shared: Path, name: str) -> None:
    fake, real, wanted = cases.shared_case(shared, name)
    # kernels near 1e18: even float64 of the reference is good to 1e-4 only
    check_kid(fake, real, wanted["kid"], 5e-4 if name == "large_offset" else 1e-9)


@pytest.mark.usefixtures("_both_ways")
def test_cmmd_equals_the_formula() -> None:
    rows, wanted = cases.features(), cases.expected()["cases"]["rank_deficient"]["cmmd"]
    first, second = rows["rank_deficient.fake"], rows["rank_deficient.real"]
    raw = cmmd(kernel_sums(Gram(first, second), gaussian_gap))
    assert raw == pytest.approx(wanted["raw_f64"], rel=1e-12)
    unit = cmmd(kernel_sums(Gram(kernel._unit(first), kernel._unit(second)), gaussian_gap))
    assert unit == pytest.approx(wanted["l2norm_f64"], rel=1e-7)  # normalised in float32 there


@pytest.mark.parametrize("is_paired", [True, False])
@pytest.mark.parametrize("is_unbiased", [True, False])
def test_the_interval_is_that_of_leaving_out_each_sample(
    is_paired: bool, is_unbiased: bool
) -> None:
    rng = np.random.default_rng(0)
    first = rng.standard_normal((14, 5))
    second = rng.standard_normal((14 if is_paired else 11, 5)) + 0.3
    if is_unbiased:
        function, estimate, scale = cubic, mmd_unbiased, 1.0
    else:
        function, estimate, scale = gaussian_gap, cmmd, -1000.0

    def value(a: np.ndarray, b: np.ndarray) -> float:
        return estimate(kernel_sums(Gram(a, b), function))

    sums = kernel_sums(Gram(first, second), function)
    whole = estimate(sums)
    low, high = kernel.jackknife_interval(
        sums, whole, is_paired=is_paired, is_unbiased=is_unbiased, scale=scale
    )

    def spread(values: list[float]) -> float:
        a = np.array(values)
        return (len(a) - 1) / len(a) * ((a - a.mean()) ** 2).sum()

    def cut(rows: np.ndarray, i: int) -> np.ndarray:
        return np.delete(rows, i, 0)

    if is_paired:
        variance = spread([value(cut(first, i), cut(second, i)) for i in range(len(first))])
    else:
        variance = spread([value(cut(first, i), second) for i in range(len(first))])
        variance += spread([value(first, cut(second, i)) for i in range(len(second))])
    assert high - whole == pytest.approx(1.959963984540054 * variance**0.5, rel=1e-9)
    assert whole - low == pytest.approx(high - whole, rel=1e-9)


def test_subsets_smaller_than_a_thousand_are_said() -> None:
    spec = next(spec for spec in kernel.SPECS if spec.name == "kid")
    metric = spec.make(cases.context())
    for batch in cases.batches(cases.pictures(30, 0), cases.pictures(30, 1), 8, list(range(30))):
        metric.update(batch)
    value = metric.compute()
    assert value.note == "subsets of 30, fewer than 1,000" and value.n == 30
    assert value.std == pytest.approx(0, abs=1e-12)  # every subset is the whole


def test_torch_fidelity_agrees() -> None:
    module = pytest.importorskip("torch_fidelity.metric_kid")
    import torch

    rng = np.random.default_rng(3)
    first, second = rng.standard_normal((120, 16)), rng.standard_normal((90, 16)) + 0.2
    theirs = module.kid_features_to_metric(
        torch.from_numpy(first), torch.from_numpy(second), kid_subsets=100, kid_subset_size=50,
        rng_seed=2020, verbose=False, kid_kernel="poly", kid_kernel_poly_degree=3,
        kid_kernel_poly_gamma=None, kid_kernel_poly_coef0=1,
    )  # fmt: skip
    chosen = kernel.draw_as_torch_fidelity(120, 90, 50)
    ours = kernel.kid_of_subsets(first, second, chosen, Gram(first, second))
    assert ours.mean() == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-10)
    assert ours.std() == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-10)

"""KID over subsets against goldens and torch-fidelity."""

from __future__ import annotations

import re
from pathlib import Path

import feature_cases as cases
import numpy as np
import pytest

from layton_bench.metrics.sets.discrepancy import cubic, kernel_sums, mmd_unbiased
from layton_bench.metrics.sets.gram import Gram
from layton_bench.metrics.sets.subsets import (
    draw_as_clean_fid,
    draw_as_torch_fidelity,
    kid_of_subsets,
)

SUBSETS = re.compile(r"torch_fidelity_poly3_subsets(\d+)_size(\d+)_seed2020_f64")


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
                kids = kid_of_subsets(first, second, chosen, products)
                assert kids.mean() == pytest.approx(value["mean"], rel=rel)
                assert kids.std() == pytest.approx(value["std"], rel=rel, abs=1e-12)
            found += 1
    clean = wanted["cleanfid_npseed0_subsets100_max1000_f64"]
    kids = kid_of_subsets(first, second, draw_as_clean_fid(n, m, min(n, m)), gram)
    assert kids.mean() == pytest.approx(clean, rel=rel)
    assert found


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("name", cases.SMALL)
def test_kid_equals_the_libraries(name: str) -> None:
    rows, wanted = cases.features(), cases.expected()["cases"][name]["kid"]
    check_kid(rows[f"{name}.fake"], rows[f"{name}.real"], wanted, 1e-11)


@pytest.mark.parametrize("name", [*cases.LARGE, "large_offset"])
def test_kid_of_every_golden_case(shared: Path, name: str) -> None:
    fake, real, wanted = cases.shared_case(shared, name)
    # kernels near 1e18: even float64 of the reference is good to 1e-4 only
    check_kid(fake, real, wanted["kid"], 5e-4 if name == "large_offset" else 1e-9)


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
    chosen = draw_as_torch_fidelity(120, 90, 50)
    ours = kid_of_subsets(first, second, chosen, Gram(first, second))
    assert ours.mean() == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-10)
    assert ours.std() == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-10)

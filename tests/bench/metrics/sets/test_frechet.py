"""Fréchet distances against exact goldens, hand-worked cases and reference libraries."""

from __future__ import annotations

import json
import re
from pathlib import Path

import feature_cases as cases
import numpy as np
import pytest
import torch
from feature_sets import distance_of_rows

from layton_bench.errors import UserError
from layton_bench.metrics.features import FeatureChunk
from layton_bench.metrics.sets import frechet
from layton_bench.metrics.sets.feature_sets import FeatureSets
from layton_bench.metrics.sets.frechet import (
    frechet_distance,
    frechet_infinity,
    frechet_interval,
    influences,
)
from layton_bench.metrics.sets.moments import Moments, write_statistics

SPECS = {spec.name: spec for spec in frechet.SPECS if hasattr(spec, "name")}


FROM_FILE = next(spec for spec in frechet.SPECS if hasattr(spec, "pattern"))


@pytest.mark.parametrize("name", cases.SMALL)
def test_equal_to_the_nuclear_norm(name: str) -> None:
    rows, fid = cases.features(), cases.expected()["cases"][name]["fid"]
    value = distance_of_rows(rows[f"{name}.fake"], rows[f"{name}.real"])
    assert value == pytest.approx(fid["nuclear_norm_f64"], rel=1e-12)
    # the libraries' square roots of non-symmetric products come out a little lower
    assert value == pytest.approx(fid["torch_fidelity_f64_features"], rel=1e-6)
    assert value == pytest.approx(fid["cleanfid_f64_features"], rel=1e-6)


@pytest.mark.parametrize("name", [*cases.LARGE, "large_offset"])
def test_equal_to_every_golden_case(shared: Path, name: str) -> None:
    fake, real, wanted = cases.shared_case(shared, name)
    value = distance_of_rows(fake, real)
    assert value == pytest.approx(wanted["fid"]["nuclear_norm_f64"], rel=1e-9, abs=1e-12)
    assert value >= 0


def test_two_gaussians_worked_by_hand() -> None:
    # means 0 and (3, 4), covariances diag(4, 1) and diag(1, 9): 25 + (2-1)² + (1-3)²
    moments = [
        Moments.of_covariance(np.zeros(2), np.diag([4.0, 1.0])),
        Moments.of_covariance(np.array([3.0, 4.0]), np.diag([1.0, 9.0])),
    ]
    assert frechet_distance(*moments) == pytest.approx(30, rel=1e-14)


def test_identical_and_constant_sets() -> None:
    rows = np.random.default_rng(3).standard_normal((40, 60)).astype(np.float32)
    assert distance_of_rows(rows, rows) == pytest.approx(0, abs=1e-12)
    constant = np.full((10, 60), 0.1, np.float32)
    assert distance_of_rows(constant, constant) == 0
    assert distance_of_rows(constant, constant + np.float32(1)) == pytest.approx(60, rel=1e-6)


def test_infinity_equals_the_golden_fit(shared: Path) -> None:
    fake, real, _ = cases.shared_case(shared, "general")
    path = shared / "parity" / "metrics" / "features_expected.json"
    wanted = json.loads(path.read_text())["fid_infinity"]
    assert list(frechet.subset_sizes(500)) == wanted["sizes"]
    intercept, slope = frechet_infinity(fake, Moments.of_rows(real))
    assert intercept == pytest.approx(wanted["intercept"], rel=1e-9)
    assert slope == pytest.approx(wanted["slope"], rel=1e-9)


def test_infinity_removes_the_bias_of_few_samples() -> None:
    rng = np.random.default_rng(4)
    real = Moments.of_covariance(np.zeros(8), np.eye(8))
    fake = rng.standard_normal((2000, 8)).astype(np.float32)  # the same Gaussian: truly 0
    few = frechet_distance(Moments.of_rows(fake[:400]), real)
    assert abs(frechet_infinity(fake, real)[0]) < few / 4


@pytest.mark.parametrize(("n", "first", "last"), [(50_000, 5000, 50_000), (1000, 200, 1000)])
def test_infinity_sizes(n: int, first: int, last: int) -> None:
    sizes = frechet.subset_sizes(n)
    assert (len(sizes), sizes[0], sizes[-1]) == (15, first, last)


def sets_of(first: np.ndarray, second: np.ndarray, *, is_paired: bool) -> FeatureSets:
    chunks = [
        FeatureChunk(keys=tuple(f"{side}{i:04}" for i in range(len(rows))), rows=rows)
        for side, rows in (("", first), ("" if is_paired else "r", second))
    ]
    return FeatureSets(chunks[0], chunks[1], 0, cases.runner())


@pytest.mark.parametrize(("n", "d", "rel"), [(400, 12, 0.05), (150, 12, 0.12), (30, 60, 0.25)])
@pytest.mark.parametrize("is_paired", [True, False])
def test_the_interval_is_that_of_leaving_out_each_sample(
    n: int, d: int, rel: float, is_paired: bool
) -> None:
    rng = np.random.default_rng(5)
    second = (rng.standard_normal((n, d)) * np.logspace(0, -1, d)).astype(np.float32)
    first = (second + 0.5 * rng.standard_normal((n, d)) * np.logspace(0, -1, d) + 0.2).astype(
        np.float32
    )
    moments = Moments.of_rows(first), Moments.of_rows(second)
    value = frechet_distance(*moments)
    parts = influences(sets_of(first, second, is_paired=is_paired), *moments)
    low, high = frechet_interval(value, *parts, is_paired=is_paired)

    def left_out(i: int, which: str) -> float:
        a = np.delete(first, i, 0) if "a" in which else first
        b = np.delete(second, i, 0) if "b" in which else second
        return distance_of_rows(a, b)

    variance = 0.0
    for which in ["ab"] if is_paired else ["a", "b"]:
        values = np.array([left_out(i, which) for i in range(n)])
        variance += (n - 1) / n * ((values - values.mean()) ** 2).sum()
    # first order in 1/n against exact leaving out, and coarser with fewer samples than features
    assert (high - value) / 1.959964 == pytest.approx(variance**0.5, rel=rel)
    assert low == pytest.approx(max(0.0, value - (high - value)), rel=1e-12)


def test_the_interval_covers() -> None:
    """Candidates from N(0, 1.1²), references from N(0, 1) in one dimension: the truth is 0.01."""
    rng = np.random.default_rng(6)
    hits = 0
    for _ in range(200):
        first = 1.1 * rng.standard_normal((4000, 1)).astype(np.float32)
        second = rng.standard_normal((4000, 1)).astype(np.float32)
        moments = Moments.of_rows(first), Moments.of_rows(second)
        value = frechet_distance(*moments)
        parts = influences(sets_of(first, second, is_paired=False), *moments)
        low, high = frechet_interval(value, *parts, is_paired=False)
        hits += low <= 0.01 <= high
    assert 176 <= hits <= 200


def test_fid_against_a_file_equals_fid_against_its_images(tmp_path: Path) -> None:
    candidates, references = cases.pictures(80, 1), cases.pictures(60, 2)
    rows = cases.Corner()(references)["pool3"].numpy()
    path = tmp_path / "refs.npz"
    write_statistics(path, Moments.of_rows(rows))
    match = FROM_FILE.pattern.fullmatch(f"fid@{path}")
    assert match is not None
    spec = FROM_FILE.make_spec(match)
    metric = spec.make(cases.context())
    for batch in cases.batches(candidates, None, 32, list(range(80))):
        metric.update(batch)
    value = metric.compute()
    wanted = distance_of_rows(cases.Corner()(candidates)["pool3"].numpy(), rows)
    assert value.value == pytest.approx(wanted, rel=1e-9)
    assert value.note == "biased, n=80" and re.fullmatch("[0-9a-f]{12}", spec.signature["stats"])


def test_statistics_of_another_width_give_a_reason(tmp_path: Path) -> None:
    write_statistics(tmp_path / "w.npz", Moments.of_rows(np.eye(5)))
    match = FROM_FILE.pattern.fullmatch(f"sfid@{tmp_path / 'w.npz'}")
    assert match is not None
    with pytest.raises(UserError, match="no entry mu_s"):
        FROM_FILE.make_spec(match)
    match = FROM_FILE.pattern.fullmatch(f"fid@{tmp_path / 'w.npz'}")
    assert match is not None
    metric = FROM_FILE.make_spec(match).make(cases.context())
    metric.update(cases.batches(cases.pictures(4, 0), None, 4, [0, 1, 2, 3])[0])
    assert metric.compute().note == "the statistics have 5 features, not 48"


@pytest.mark.filterwarnings("ignore:The `disp` argument:DeprecationWarning")  # clean-fid's call
def test_torch_fidelity_and_clean_fid_agree_on_full_rank() -> None:
    fid_module = pytest.importorskip("torch_fidelity.metric_fid")
    clean = pytest.importorskip("cleanfid.fid")
    rng = np.random.default_rng(9)
    first, second = rng.standard_normal((300, 24)), 1.2 * rng.standard_normal((200, 24)) + 0.1
    value = distance_of_rows(first, second)
    stats = [fid_module.fid_features_to_statistics(torch.from_numpy(r)) for r in (first, second)]
    theirs = fid_module.fid_statistics_to_metric(*stats, False)["frechet_inception_distance"]
    assert value == pytest.approx(theirs, rel=1e-9)
    theirs = clean.frechet_distance(
        first.mean(0), np.cov(first, rowvar=False), second.mean(0), np.cov(second, rowvar=False)
    )
    assert value == pytest.approx(theirs, rel=1e-9)


def test_names_and_conventions() -> None:
    assert list(SPECS) == ["fid", "clean-fid", "fid-pytorch", "sfid", "fd-dinov2", "fid-inf"]
    assert SPECS["fid"].signature["resize"] != SPECS["clean-fid"].signature["resize"]
    assert {spec.direction for spec in SPECS.values()} == {"lower"}

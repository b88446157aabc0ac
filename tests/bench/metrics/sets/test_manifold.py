"""Precision, recall, density and coverage against goldens and exact brute force."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import feature_cases as cases
import numpy as np
import pytest

from layton_bench.metrics.sets import gram as gram_module, manifold
from layton_bench.metrics.sets.gram import Gram
from layton_bench.metrics.sets.manifold import ball_counts, nearest, neighbourhoods


@pytest.fixture(params=["held", "by blocks"])
def _both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "by blocks":
        monkeypatch.setattr(gram_module, "_HELD_ROWS", 1)
        monkeypatch.setattr(gram_module, "_BLOCK_ELEMENTS", 900)


def check(first: np.ndarray, second: np.ndarray, prc: dict, *, density: bool = True) -> None:
    gram = Gram(first, second)
    for k in (1, 3, 5):
        if f"torch_fidelity_k{k}_f64" not in prc:
            continue
        closed_wanted, open_wanted = prc[f"torch_fidelity_k{k}_f64"], prc[f"prdc_k{k}_f64"]
        found = [nearest(gram, side, k) for side in ("candidates", "references")]
        closed = neighbourhoods(gram, (found[0].squares[:, k - 1], found[1].squares[:, k - 1]))
        # torch-fidelity averages in float32
        assert closed.is_precise.mean() == pytest.approx(closed_wanted["precision"], abs=1e-7)
        assert closed.is_recalled.mean() == pytest.approx(closed_wanted["recall"], abs=1e-7)
        in_ball = ball_counts(gram, found[1], k).counts[0].sum(axis=0)
        assert (in_ball > 0).mean() == pytest.approx(open_wanted["coverage"], abs=1e-12)
        if density:
            assert in_ball.sum() / k / len(first) == pytest.approx(
                open_wanted["density"], abs=1e-12
            )


@pytest.mark.usefixtures("_both_ways")
@pytest.mark.parametrize("name", cases.SMALL)
def test_equal_to_the_libraries(name: str) -> None:
    rows, wanted = cases.features(), cases.expected()["cases"][name]
    check(rows[f"{name}.fake"], rows[f"{name}.real"], wanted.get("prc", {}))


@pytest.mark.parametrize("name", [*cases.LARGE, "large_offset"])
def test_every_golden_case(shared: Path, name: str) -> None:
    fake, real, wanted = cases.shared_case(shared, name)
    # prdc is one ball of 13,601 off at large offsets: see the next test
    check(fake, real, wanted["prc"], density=name != "large_offset")


def test_density_at_a_large_offset_is_that_of_exact_distances(shared: Path) -> None:
    fake, real, wanted = cases.shared_case(shared, "large_offset")
    wide = [rows.astype(np.longdouble) for rows in (fake, real)]
    own, across = (
        ((a[:, None] - wide[1][None]) ** 2).sum(-1) for a in (wide[1], wide[0])
    )  # 300 x 300 and 500 x 300
    counted = int((across < np.sort(own, axis=1)[:, 5]).sum())
    gram = Gram(fake, real)
    found = ball_counts(gram, nearest(gram, "references", 5), 5).counts[0]
    assert int(found.sum()) == counted == 13_601
    assert counted / 5 / 500 == pytest.approx(wanted["prc"]["prdc_k5_f64"]["density"], abs=5e-4)


def exact_squares(first: np.ndarray, second: np.ndarray) -> list[list[Fraction]]:
    return [
        [
            sum((Fraction(float(a)) - Fraction(float(b))) ** 2 for a, b in zip(x, y, strict=True))
            for y in second
        ]
        for x in first
    ]


@pytest.mark.usefixtures("_both_ways")
@pytest.mark.parametrize("offset", [0.0, 4096.0])
def test_ties_are_decided_as_in_exact_arithmetic(offset: float) -> None:
    """Rows on a coarse grid: most distances equal some radius."""
    rng = np.random.default_rng(0)
    first = (rng.integers(0, 3, (25, 3)) + offset).astype(np.float32)
    second = (rng.integers(0, 3, (20, 3)) + offset).astype(np.float32)
    gram = Gram(first, second)
    k = 2

    def radii(rows: np.ndarray, k: int) -> list[Fraction]:
        squares = exact_squares(rows, rows)
        return [
            sorted(s for j, s in enumerate(row) if j != i)[k - 1] for i, row in enumerate(squares)
        ]

    own, theirs = radii(first, k), radii(second, k)
    across = exact_squares(first, second)
    found = [nearest(gram, side, k + 1) for side in ("candidates", "references")]
    squares = tuple(each.squares[:, k - 1] for each in found)
    np.testing.assert_allclose(squares[0], [float(r) for r in own], rtol=1e-12, atol=1e-12)
    closed = neighbourhoods(gram, squares)
    n, m = len(first), len(second)
    assert closed.is_precise.tolist() == [
        any(across[i][j] <= theirs[j] for j in range(m)) for i in range(n)
    ]
    assert closed.is_recalled.tolist() == [
        any(across[i][j] <= own[i] for i in range(n)) for j in range(m)
    ]
    counts = ball_counts(gram, found[1], k).counts
    wider = radii(second, k + 1)
    for level, reach in enumerate((theirs, wider)):
        assert counts[level].sum(axis=0).tolist() == [
            sum(across[i][j] < reach[j] for i in range(n)) for j in range(m)
        ]


def value_of(name: str, candidates: object, references: object, n: int):
    spec = next(spec for spec in manifold.SPECS if spec.name == name)
    metric = spec.make(cases.context())
    for batch in cases.batches(candidates, references, 7, list(range(n))):  # type: ignore[arg-type]
        metric.update(batch)
    return metric.compute()


def test_identical_sets() -> None:
    images = cases.pictures(40, 0)
    values = {name: value_of(name, images, images, 40) for name in
              ("precision", "recall", "density", "coverage")}  # fmt: skip
    # an open ball of the 5th neighbour holds the sample itself and four others: density 1 of 5/5
    assert {name: v.value for name, v in values.items()} == {
        "precision": 1, "recall": 1, "density": 1, "coverage": 1,
    }  # fmt: skip
    assert values["precision"].low == pytest.approx(0.91237, abs=1e-5)  # Wilson, 40 of 40
    assert values["precision"].n == 40


def test_all_images_the_same() -> None:
    one = cases.pictures(1, 0).expand(20, -1, -1, -1)
    # radii are 0: a closed ball still holds its centre, an open one nothing
    assert value_of("precision", one, one, 20).value == 1
    assert value_of("coverage", one, one, 20).value == 0


def test_too_few_samples_give_a_reason() -> None:
    images = cases.pictures(5, 0)
    assert value_of("precision", images, images, 5).value == 1
    value = value_of("density", images, images, 5)
    assert (value.value, value.note) == (None, "needs 6 samples, has 5")

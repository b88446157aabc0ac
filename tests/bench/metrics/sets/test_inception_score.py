"""Inception Score against goldens and cases worked by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path

import feature_cases as cases
import numpy as np
import pytest

from layton_bench.metrics.sets.inception_score import SPECS, inception_scores

NAME = re.compile(r"torch_fidelity_splits(\d+)_shuffle(\d)_seed2020")


def check(logits: np.ndarray, wanted: dict) -> None:
    assert wanted
    for name, value in wanted.items():
        match = NAME.fullmatch(name)
        assert match is not None
        scores, _ = inception_scores(logits, splits=int(match[1]), shuffle=match[2] == "1")
        assert scores.mean() == pytest.approx(value["mean"], rel=1e-12)
        assert scores.std() == pytest.approx(value["std"], rel=1e-10, abs=1e-14)


def test_equal_to_torch_fidelity() -> None:
    name = "logits_n_not_multiple"
    check(cases.features()[name], cases.expected()["inception_score"][name])


@pytest.mark.parametrize("name", ["logits_a", "logits_peaked"])
def test_every_golden_case(shared: Path, name: str) -> None:
    from safetensors.numpy import load_file

    folder = shared / "parity" / "metrics"
    wanted = json.loads((folder / "features_expected.json").read_text())["inception_score"][name]
    check(load_file(folder / "features.safetensors")[name], wanted)


def test_by_hand() -> None:
    certain = np.kron(np.eye(4), np.ones((5, 1))) * 1e4  # 5 rows sure of each of 4 classes
    assert inception_scores(certain, splits=1)[0] == pytest.approx([4])
    assert inception_scores(np.zeros((20, 4)), splits=1)[0] == pytest.approx([1])


def test_each_row_left_out() -> None:
    logits = np.random.default_rng(0).standard_normal((23, 6)) * 2
    _, without = inception_scores(logits, splits=2, shuffle=False)
    borders = [0, 11, 23]
    for i in range(23):
        scores = []
        for s in range(2):
            rows = [j for j in range(borders[s], borders[s + 1]) if j != i]
            scores.append(inception_scores(logits[rows], splits=1, shuffle=False)[0][0])
        assert without[i] == pytest.approx(np.mean(scores), rel=1e-12)


@pytest.mark.parametrize(("n", "value"), [(9, None), (10, 1.0), (25, 1.0)])
def test_small_sets(n: int, value: float | None) -> None:
    metric = SPECS[0].make(cases.context())
    images = cases.pictures(1, 0).expand(n, -1, -1, -1)  # all identical: no diversity, exactly 1
    metric.update(cases.batches(images, None, n, list(range(n)))[0])
    found = metric.compute()
    assert found.value == (pytest.approx(value) if value else None)
    assert found.note == ("needs 10 samples, has 9" if n == 9 else f"biased, n={n}")
    assert (found.low is None) == (n < 20)  # a split of one row has none to leave out

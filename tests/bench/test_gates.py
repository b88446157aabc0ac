"""The pytest plugin: gates are collected, judged by numbers, and do not flake."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from layton_bench.errors import UserError
from layton_bench.gate_file import Throughput, read_gates
from layton_bench.gate_judge import _throughput, lower_bound, sample_losses

pytest_plugins = ["pytester"]

WHOLE = """
[[gate]]
name = "a"
suite = "photos-256"
model = "jpeg-q10"
limit = 2
bounds.psnr = {{ min = {low} }}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "x.gates.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[[gate]\n", "not valid TOML"),
        ("", "gate: Field required"),
        ('[[gate]]\nname = "a"\n', "suite and model are needed"),
        ('[[gate]]\nname = "a"\nsuite = "s"\nmodel = "m"\n', "nothing is asked"),
        (
            '[[gate]]\nname = "a"\nsuite = "s"\nmodel = "m"\nbounds.psnr = {}\n',
            "give min, max or both",
        ),
        (
            '[[gate]]\nname = "a"\nsuite = "s"\nmodel = "m"\nnot_worse.psnr = {}\n',
            "not_worse and baseline come together",
        ),
        (
            '[[gate]]\nname = "a"\nsuite = "s"\nmodel = "m"\nbounds.psnr = {minimum = 1}\n',
            "gate.0.bounds.psnr.minimum: Extra inputs are not permitted",
        ),
        (WHOLE.format(low=1) * 2, "two gates are named 'a'"),
    ],
)
def test_a_wrong_file_is_refused_by_field(tmp_path: Path, text: str, named: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(UserError) as caught:
        read_gates(path)
    assert named in str(caught.value)
    assert str(path) in str(caught.value)


def test_the_lower_bound_is_students() -> None:
    losses = np.array([0.1, 0.3, 0.2, 0.6, -0.1])
    expected = stats.ttest_1samp(losses, 0.0).confidence_interval(0.9).low
    # the lower end of a two-sided 90 % interval is the one-sided bound at 95 %
    assert lower_bound(losses, 0.95) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("direction", "expected"),
    [("higher", [1.0, -2.0]), ("lower", [-1.0, 2.0])],
)
def test_a_loss_is_positive_where_worse(direction: str, expected: list[float]) -> None:
    before, after = np.array([3.0, 1.0]), np.array([2.0, 3.0])
    assert sample_losses(before, after, direction).tolist() == expected


def test_the_loss_of_a_bias_is_that_of_distances_from_zero() -> None:
    before, after = np.array([1.0, 3.0]), np.array([-5.0, -3.0])
    # |mean| goes from 2 to 4
    assert sample_losses(before, after, "zero").mean() == pytest.approx(2.0)


def simulated(rng: np.random.Generator, n: int, factor: float) -> np.ndarray:
    """Losses of a model whose decoder draws noise, against itself made worse by a factor."""
    quality = rng.normal(0.6, 0.1, n)
    before = quality + rng.normal(0, 0.03, n)
    after = factor * quality + rng.normal(0, 0.03, n)
    return sample_losses(before, after, "higher")


def test_gates_do_not_flake_and_do_see() -> None:
    rng = np.random.default_rng(0)
    passed = sum(lower_bound(simulated(rng, 500, 1.0), 0.998) <= 0 for _ in range(2000))
    caught = sum(lower_bound(simulated(rng, 500, 0.97), 0.998) > 0 for _ in range(2000))
    assert passed >= 0.995 * 2000
    assert caught >= 0.95 * 2000


def stored(path: Path, median: float) -> Path:
    entry = {"fullname": "benchmarks/b.py::test_x", "stats": {"median": median}}
    path.write_text(json.dumps({"benchmarks": [entry]}), encoding="utf-8")
    return path


def test_throughput_is_the_ratio_of_stored_medians(tmp_path: Path) -> None:
    stored(tmp_path / "now.json", 0.33)
    stored(tmp_path / "old.json", 0.30)
    asked = Throughput(now="now.json", baseline="old.json", benchmark="benchmarks/b.py::test_x")
    found = _throughput(asked, tmp_path)
    assert (found.is_met, found.cells[4]) == (True, "1.100 ×")
    assert not _throughput(asked.model_copy(update={"max_ratio": 1.05}), tmp_path).is_met
    with pytest.raises(UserError, match=r"benchmarks/b\.py::test_x"):
        _throughput(asked.model_copy(update={"benchmark": "other"}), tmp_path)
    with pytest.raises(UserError, match="there is no such file"):
        _throughput(asked.model_copy(update={"now": "none.json"}), tmp_path)


@pytest.fixture
def session(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    return pytester


def run(session: pytest.Pytester, *words: str) -> pytest.RunResult:
    # a process of its own: torch cannot be imported twice in one
    return session.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:benchmark", *words)


def test_a_gate_passes_fails_with_a_table_and_is_chosen_by_k(session: pytest.Pytester) -> None:
    text = WHOLE.format(low=10) + WHOLE.format(low=60).replace('"a"', '"too high"')
    write(session.path, text)
    result = run(session, "--layton-bench-results", "kept", "--junitxml=junit.xml")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["gate 'too high'", "metric*verdict", "psnr*60*NOT MET"])
    # both gates were judged on one run
    assert len(list((session.path / "kept").glob("photos-256/jpeg-q10/*/record.json"))) == 1
    assert 'name="psnr"' in (session.path / "junit.xml").read_text(encoding="utf-8")
    run(session, "-k", "a and not too", "--layton-bench-results", "kept").assert_outcomes(
        passed=1, deselected=1
    )


def test_a_baseline_is_made_shown_and_held_against(session: pytest.Pytester) -> None:
    text = WHOLE.format(low=10).replace(
        "bounds.psnr = { min = 10 }", 'baseline = "base"\nnot_worse.psnr = { by = 0.1 }'
    )
    text = text.replace("limit = 2", "limit = 6")  # two pairs could show nothing at 0.998
    path = write(session.path, text)
    made = run(session, "--layton-bench-results", "kept", "--layton-bench-update-baselines")
    made.assert_outcomes(passed=1)
    made.stdout.fnmatch_lines(["*first baseline*"])
    assert sorted(p.name for p in (session.path / "base").iterdir()) == [
        "record.json",
        "samples.parquet",
    ]
    # a worse model against the same baseline
    path.write_text(text.replace("jpeg-q10", "jpeg-q2"), encoding="utf-8")
    worse = run(session, "--layton-bench-results", "kept")
    worse.assert_outcomes(failed=1)
    worse.stdout.fnmatch_lines(["psnr*loss ≤ 0.1*NOT MET"])
    updated = run(session, "--layton-bench-results", "kept", "--layton-bench-update-baselines")
    updated.assert_outcomes(passed=1)
    updated.stdout.fnmatch_lines(["*jpeg-q2*against*jpeg-q10*"])


def test_a_wrong_file_is_a_collection_error_and_an_unknown_model_a_failure(
    session: pytest.Pytester,
) -> None:
    write(session.path, "[[gate]]\n")
    unknown = WHOLE.format(low=1).replace("jpeg-q10", "jpg-q10")
    baseless = WHOLE.format(low=1).replace(
        "bounds.psnr = { min = 1 }", 'baseline = "none"\nnot_worse.psnr = {}'
    )
    (session.path / "y.gates.toml").write_text(unknown + baseless.replace('"a"', '"b"'), "utf-8")
    result = run(session, "--continue-on-collection-errors")
    result.assert_outcomes(errors=1, failed=2)
    result.stdout.fnmatch_lines_random(
        [
            "*gate.0.name: Field required*",
            "*model 'jpg-q10'*",
            "*there is none yet*--layton-bench-update-baselines*",
        ]
    )


def test_the_plugin_alone_imports_nothing_heavy() -> None:
    import subprocess
    import sys

    code = (
        "import sys, layton_bench.gates;"
        "print(sorted({'torch', 'pandas', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""The pytest plugin: gates are collected, judged by numbers, and do not flake."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from feature_sets import distances
from places import DOCS
from scipy import stats

from layton_bench.compare.pairing import paired_values
from layton_bench.errors import UserError
from layton_bench.gates.file import Gate, NotWorse, TimeLimit, read_gates
from layton_bench.gates.judge import _throughput, judge, paired_loss
from layton_bench.records.results import stored_runs

if TYPE_CHECKING:
    from lab import Lab

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


def test_the_bound_of_losses_without_skewness_is_students() -> None:
    losses, zeros = np.array([0.1, 0.3, 0.5, 0.7]), np.zeros(4)
    expected = stats.ttest_1samp(losses, 0.0).confidence_interval(0.9).low
    # the lower end of a two-sided 90 % interval is the one-sided bound at 95 %
    assert paired_loss(losses, zeros, "higher", 0.95).bound == pytest.approx(expected, rel=1e-9)
    assert paired_loss(zeros, losses, "lower", 0.95).bound == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("direction", "expected"), [("higher", -0.5), ("lower", 0.5)])
def test_a_loss_is_positive_where_worse(direction: str, expected: float) -> None:
    before, after = np.array([3.0, 1.0]), np.array([2.0, 3.0])
    assert paired_loss(before, after, direction, 0.95).mean == expected


def test_the_loss_of_a_bias_is_that_of_distances_from_zero() -> None:
    before, after = np.array([1.0, 3.0]), np.array([-5.0, -3.0])
    # |mean| goes from 2 to 4
    assert paired_loss(before, after, "zero", 0.95).mean == pytest.approx(2.0)


@pytest.mark.parametrize(("shape", "n"), [(1.0, 10), (-1.0, 10), (-1.0, 50)])
def test_skewed_losses_of_equal_models_seldom_fail_a_gate(shape: float, n: int) -> None:
    """At 95 %: few large losses among many small gains, and large gains among small losses."""
    rng = np.random.default_rng(2)
    zeros = np.zeros(n)
    failed = sum(
        paired_loss(zeros, shape * (rng.exponential(1.0, n) - 1), "lower", 0.95).bound > 0
        for _ in range(1000)
    )
    assert failed <= 0.09 * 1000  # by Student's bound 14 % for large gains at n = 10


def simulated(rng: np.random.Generator, n: int, factor: float) -> float:
    """Bound of the loss of a model whose decoder draws noise, made worse by a factor."""
    quality = rng.normal(0.6, 0.1, n)
    before = quality + rng.normal(0, 0.03, n)
    after = factor * quality + rng.normal(0, 0.03, n)
    return paired_loss(before, after, "higher", 0.998).bound


def test_gates_do_not_flake_and_do_see() -> None:
    rng = np.random.default_rng(0)
    passed = sum(simulated(rng, 500, 1.0) <= 0 for _ in range(2000))
    caught = sum(simulated(rng, 500, 0.97) > 0 for _ in range(2000))
    assert passed >= 0.995 * 2000
    assert caught >= 0.95 * 2000


def test_gates_of_sets_do_not_flake_and_do_see() -> None:
    """FID by influences, n = 500: equal decoders, and one whose noise has grown by a third."""
    rng = np.random.default_rng(0)

    def is_met(noise: tuple[float, float]) -> bool:
        a, b, table = distances(rng, noise, 500)
        pairs = paired_values("fid", a, b, table)
        return paired_loss(pairs.first, pairs.second, "lower", 0.998).bound <= 0

    assert sum(is_met((0.5, 0.5)) for _ in range(400)) >= 0.995 * 400
    assert sum(not is_met((0.5, 0.66)) for _ in range(200)) >= 0.95 * 200


def stored(path: Path, median: float, *, iqr: float = 0.0, rounds: int = 20) -> Path:
    stats = {"median": median, "iqr": iqr, "rounds": rounds}
    entry = {"fullname": "benchmarks/b.py::test_x", "stats": stats}
    path.write_text(json.dumps({"benchmarks": [entry]}), encoding="utf-8")
    return path


ASKED = TimeLimit(now="now.json", baseline="old.json", benchmark="benchmarks/b.py::test_x")


def test_throughput_is_the_ratio_of_stored_medians(tmp_path: Path) -> None:
    stored(tmp_path / "now.json", 0.33)
    stored(tmp_path / "old.json", 0.30)
    found = _throughput(ASKED, tmp_path)
    assert (found.is_met, found.cells[4]) == (True, "1.100 ×, 1.100 ×")
    assert not _throughput(ASKED.model_copy(update={"max_ratio": 1.05}), tmp_path).is_met
    with pytest.raises(UserError, match=r"benchmarks/b\.py::test_x"):
        _throughput(ASKED.model_copy(update={"benchmark": "other"}), tmp_path)
    with pytest.raises(UserError, match="there is no such file"):
        _throughput(ASKED.model_copy(update={"now": "none.json"}), tmp_path)


def test_a_noisy_benchmark_fails_only_where_it_is_shown_to_be_slower(tmp_path: Path) -> None:
    stored(tmp_path / "old.json", 0.30, iqr=0.03)
    stored(tmp_path / "now.json", 0.34, iqr=0.03)
    found = _throughput(ASKED, tmp_path)
    # ratio 1.1333; relative errors 1.2533 · 0.03/1.349/√20 / 0.30 and / 0.34; z = 2.878
    assert found.cells[4] == "1.133 ×, 1.046 ×"
    assert found.is_met
    stored(tmp_path / "now.json", 0.40, iqr=0.03)
    assert not _throughput(ASKED, tmp_path).is_met


def test_what_pytest_benchmark_really_stores_is_read(
    session: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a worker of pytest -n tells its children so, and pytest-benchmark then measures nothing
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    session.makepyfile(test_b="def test_x(benchmark): benchmark(sum, range(2000))")
    for name in ("old", "now"):
        made = session.runpytest_subprocess(
            "-p", "no:cacheprovider", "--benchmark-enable", "--benchmark-only",
            f"--benchmark-json={name}.json", "--benchmark-max-time=0.05",
        )  # fmt: skip
        made.assert_outcomes(passed=1)
    (session.path / "test_b.py").unlink()  # measured; the gates alone are run from here on
    gate = """
[[gate]]
name = "as fast"
throughput.now = "{now}.json"
throughput.baseline = "old.json"
throughput.benchmark = "test_b.py::test_x"
throughput.max_ratio = {ratio}
"""
    write(session.path, gate.format(now="now", ratio=50))
    run(session).assert_outcomes(passed=1)
    write(session.path, gate.format(now="now", ratio=0.001))
    failed = run(session)
    failed.assert_outcomes(failed=1)
    failed.stdout.fnmatch_lines(["test_b.py::test_x*time ≤ 0.001 × baseline*NOT MET"])


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


def test_gates_run_in_several_processes(session: pytest.Pytester) -> None:
    text = "".join(WHOLE.format(low=10).replace('"a"', f'"{name}"') for name in "abc")
    write(session.path, text + WHOLE.format(low=60).replace('"a"', '"d"'))
    result = run(session, "-n", "2", "--dist", "loadgroup", "--layton-bench-results", "kept")
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["gate 'd'", "psnr*NOT MET"])
    # gates of one model and suite went to one process and share its run
    assert len(list((session.path / "kept").glob("photos-256/jpeg-q10/*/record.json"))) == 1


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


def test_half_a_table_is_no_baseline(lab: Lab) -> None:
    lab.run("lab-half")
    (made,) = stored_runs(lab.bench.results)
    gate = Gate(name="a", suite="lab-64", model="lab-half", baseline="base",
                not_worse={"psnr": NotWorse()})  # fmt: skip
    shutil.copytree(made.folder, lab.bench.data / "base")
    assert judge(gate, made, lab.bench.data)[0].is_met
    table = lab.bench.data / "base" / "samples.parquet"
    table.write_bytes(table.read_bytes()[:-50])
    with pytest.raises(UserError, match=r"samples\.parquet: it is not what was written"):
        judge(gate, made, lab.bench.data)


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
        "import sys, layton_bench.gates.plugin;"
        "print(sorted({'torch', 'pandas', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_example_of_the_docs_is_a_file_of_gates(tmp_path: Path) -> None:
    docs = DOCS / "gates.md"
    example = docs.read_text("utf-8").split("```toml\n")[1].split("```")[0]
    quality, speed = read_gates(write(tmp_path, example))
    assert quality.not_worse["lpips-alex"].by == 0.01
    assert speed.throughput is not None
    assert speed.throughput.max_ratio == 1.1

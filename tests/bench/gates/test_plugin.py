"""The pytest plugin: gates are collected, run and reported."""

from __future__ import annotations

import json

import pytest
from gate_files import WHOLE, write

pytest_plugins = ["pytester"]


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
    # processes that made the same run at once lost nothing
    kept = list((session.path / "kept").glob("photos-256/jpeg-q10/*/record.json"))
    assert len({json.loads(path.read_text("utf-8"))["run_key"] for path in kept}) == 1


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
        "import sys, layton_bench.gates.plugin;"
        "print(sorted({'torch', 'pandas', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""Fixtures shared by every test."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import Bench, Lab, Outcome, Site

# A shell starts background jobs with Ctrl-C ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--attacks",
        type=int,
        default=40,
        metavar="N",
        help="attacks of each kind in tests/attack (docs/reliability.md)",
    )


@pytest.fixture(scope="session")
def attacks(request: pytest.FixtureRequest) -> int:
    """Number of attacks of each kind."""
    return int(request.config.getoption("--attacks"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of golden data beside the checkout; tests that need it skip without it."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "parity").is_dir():
        pytest.skip("no ../shared beside this checkout")
    return folder


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's caches, or depends on the user's settings."""
    for name in ("DATA", "MIRROR", "OFFLINE", "PLUGINS", "WEIGHTS"):
        monkeypatch.delenv(f"LAYTON_BENCH_{name}", raising=False)
    monkeypatch.setenv("LAYTON_BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def bench(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> Bench:
    """The command line over a data root of its own, run in the test's own folder."""
    from layton_bench.cli import console, invoke
    from layton_bench.records.results import stored_runs

    monkeypatch.chdir(tmp_path)
    for one in (console.out, console.err):
        monkeypatch.setattr(one, "_width", 240)
    data, results = tmp_path / "data", tmp_path / "results"
    data.mkdir()

    def run_command(words: list[str]) -> Outcome:
        capsys.readouterr()
        code = invoke(words)
        captured = capsys.readouterr()
        records = [run.record for run in stored_runs(results)] if results.is_dir() else []
        return Outcome(code=code, out=captured.out, err=captured.err, records=records)

    return Bench(data=data, results=results, run_command=run_command)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """An import path of the test's own; what is imported from it is forgotten afterwards."""
    folder = tmp_path / "site"
    folder.mkdir()
    path_before = list(sys.path)
    monkeypatch.syspath_prepend(folder)
    yield Site(folder)
    sys.path[:] = path_before
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def lab(bench: Bench) -> Lab:
    """Five pictures of 96 × 80."""
    made = Lab(bench, bench.data / "lab")
    made.pictures.mkdir()
    made.add(5)
    return made

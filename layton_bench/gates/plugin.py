"""pytest plugin: ``*.gates.toml`` files become test items.

Each ``[[gate]]`` is one test: a model is run on a suite, and its record is held against fixed
bounds, against a baseline run, or both. Gates of one model and suite share one run. A pytest11
plugin is imported at every start of pytest, so everything heavy is imported when a gate runs.

    [[gate]]
    name = "webp-448"
    suite = "photos-256"
    model = "webp@448B"
    bounds.psnr = { min = 22.5 }
    baseline = "baselines/webp-448"          # a run's folder, relative to this file
    not_worse.ssim = { by = 0.01 }           # fails where it is shown to be worse by more
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from layton_bench.gates.file import Gate
    from layton_bench.records import StoredRun

SUFFIX = ".gates.toml"
SECTION = "layton-bench baseline"
RESULTS = pytest.StashKey[Path]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the plugin."""
    group = parser.getgroup("layton-bench")
    group.addoption(
        "--layton-bench-update-baselines",
        action="store_true",
        help="replace the baseline run of every gate by its run of today, and show the difference",
    )
    group.addoption(
        "--layton-bench-results",
        metavar="DIR",
        help="keep the gates' runs here and reuse those whose inputs are the same",
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect ``*.gates.toml``."""
    if not file_path.name.endswith(SUFFIX):
        return None
    collector: pytest.Collector = GatesFile.from_parent(parent, path=file_path)
    return collector


class GatesFile(pytest.File):
    """One file of gates."""

    def collect(self) -> Iterator[pytest.Item]:
        """One item a gate; a file that is not as it should be is a collection error."""
        from layton_bench.errors import UserError
        from layton_bench.gates.file import read_gates

        try:
            gates = read_gates(self.path)
        except UserError as error:
            raise self.CollectError(str(error)) from error
        for gate in gates:
            yield GateItem.from_parent(self, name=gate.name, gate=gate)


class GateItem(pytest.Item):
    """One gate."""

    def __init__(self, *, gate: Gate, **arguments: object) -> None:
        super().__init__(**arguments)  # type: ignore[arg-type]
        self.gate = gate
        # with `--dist loadgroup`, gates that share a run go to one process
        self.add_marker(pytest.mark.xdist_group(f"{gate.suite} {gate.model}"))

    def runtest(self) -> None:
        """Run the model, unless another gate has, and judge; raises GateError."""
        from layton_bench.gates.judge import judge, update_baseline
        from layton_bench.gates.running import run_gate

        run = run_gate(self.gate, results_folder(self.config), self.path.parent)
        if self.config.getoption("--layton-bench-update-baselines"):
            told = update_baseline(self.gate, run, self.path.parent)
            self.add_report_section("call", SECTION, told)
        if run is not None:
            self._record(run)
        judge(self.gate, run, self.path.parent)

    def _record(self, run: StoredRun) -> None:
        """What JUnit XML shows beside the verdict."""
        self.user_properties.append(("run", run.record.run_id))
        for name, result in run.record.metrics.items():
            self.user_properties.append((name, str(result.value)))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> str:  # type: ignore[override]
        """The gate's own table; anything else as pytest shows it."""
        from layton_bench.errors import UserError
        from layton_bench.gates.judge import GateError

        if isinstance(excinfo.value, GateError | UserError):
            return f"gate '{self.gate.name}'\n{excinfo.value}"
        return str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where the gate stands."""
        return self.path, None, f"gate: {self.gate.name}"


def results_folder(config: pytest.Config) -> Path:
    """Where this session's gates keep their runs.

    A folder of the session's own unless one is asked for: what a record's inputs do not show, such
    as a change of the code, must not be hidden by yesterday's run.
    """
    given = config.getoption("--layton-bench-results")
    if given:
        return Path(given)
    if RESULTS not in config.stash:
        config.stash[RESULTS] = Path(tempfile.mkdtemp(prefix="layton-bench-gates-"))
    return config.stash[RESULTS]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what became of the baselines, whichever process replaced them."""
    reports = [r for outcome in ("passed", "failed") for r in terminalreporter.getreports(outcome)]
    told = [text for r in reports for title, text in r.sections if SECTION in title]
    if told:
        terminalreporter.section(SECTION)
        terminalreporter.write("\n".join(told) + "\n")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the session's runs."""
    folder = config.stash.get(RESULTS, None)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)

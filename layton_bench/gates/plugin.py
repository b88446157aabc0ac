"""pytest plugin: ``*.gates.toml`` files become test items.

Each ``[[gate]]`` is one test. It runs a model on a suite, and compares the record with fixed
bounds, with a baseline run, or with both. Gates with the same model and suite share one run. pytest
imports this plugin at every start, so heavy modules are imported only when a gate runs.

    [[gate]]
    name = "webp-448"
    suite = "photos-256"
    model = "webp@448B"
    bounds.psnr = { min = 22.5 }
    baseline = "baselines/webp-448"          # folder of a run, relative to this file
    not_worse.ssim = { by = 0.01 }           # fails if SSIM is worse by more than this
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
        help="replace the baseline of every gate by this session's run, and show what changed",
    )
    group.addoption(
        "--layton-bench-results",
        metavar="DIR",
        help="keep the runs of gates in DIR, and reuse runs with the same inputs",
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
        """Yield one item per gate. A wrong file is a collection error."""
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
        # with `--dist loadgroup`, gates that share a run go to the same process
        self.add_marker(pytest.mark.xdist_group(f"{gate.suite} {gate.model}"))

    def runtest(self) -> None:
        """Run the model, unless another gate did, and judge the run; raise GateError."""
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
        """Add the run's id and values, which JUnit XML shows beside the verdict."""
        self.user_properties.append(("run", run.record.run_id))
        for name, result in run.record.metrics.items():
            self.user_properties.append((name, str(result.value)))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> str:  # type: ignore[override]
        """Return the table of a failed gate. Show any other exception as pytest does."""
        from layton_bench.errors import UserError
        from layton_bench.gates.judge import GateError

        if isinstance(excinfo.value, GateError | UserError):
            return f"gate '{self.gate.name}'\n{excinfo.value}"
        return str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, None, str]:
        """Return the file and the name of the gate."""
        return self.path, None, f"gate: {self.gate.name}"


def results_folder(config: pytest.Config) -> Path:
    """Return the folder for the runs of this session's gates.

    The default is a temporary folder. An earlier run must not hide a change that its inputs do not
    show, such as a change of the code.
    """
    given = config.getoption("--layton-bench-results")
    if given:
        return Path(given)
    if RESULTS not in config.stash:
        config.stash[RESULTS] = Path(tempfile.mkdtemp(prefix="layton-bench-gates-"))
    return config.stash[RESULTS]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show how baselines changed, whichever process replaced them."""
    reports = [r for outcome in ("passed", "failed") for r in terminalreporter.getreports(outcome)]
    told = [text for r in reports for title, text in r.sections if SECTION in title]
    if told:
        terminalreporter.section(SECTION)
        terminalreporter.write("\n".join(told) + "\n")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the temporary folder of the session."""
    folder = config.stash.get(RESULTS, None)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)

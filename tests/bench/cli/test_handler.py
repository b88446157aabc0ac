"""One place shows every error: exit codes, streams, log files."""

import logging
import signal
import sys
from pathlib import Path

import pytest
from lab import Bench, Lab

from layton_bench import cli


@pytest.fixture
def fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours in the middle of a run."""

    def stumble(*_: object, **__: object) -> None:
        raise AssertionError("this cannot be")

    monkeypatch.setattr("layton_bench.run.identity.fingerprint", stumble)


def test_a_fault_of_ours_is_exit_code_1_with_a_log_file(lab: Lab, fault: None) -> None:
    outcome = lab.run("lab-half")
    assert (outcome.code, outcome.out) == (1, "")
    assert "Internal error: AssertionError" in outcome.err
    assert "this cannot be" in outcome.err
    (log,) = Path.cwd().glob("layton-bench-*.log")
    assert str(log) in outcome.err
    text = log.read_text()
    assert "Traceback (most recent call last)" in text
    assert "'lab-half'" in text
    assert "in stumble" in text


def test_where_the_log_goes_when_the_folder_is_read_only(
    lab: Lab, fault: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setattr(Path, "home", lambda: home)
    write, read_only = Path.write_text, {Path.cwd()}

    def refuse(self: Path, *words, **named):
        if self.suffix == ".log" and self.parent in read_only:
            raise PermissionError(13, "Permission denied")
        return write(self, *words, **named)

    monkeypatch.setattr(Path, "write_text", refuse)
    assert lab.run("lab-half").code == 1
    assert len(list(home.glob("layton-bench-*.log"))) == 1
    read_only.add(home)
    outcome = lab.run("lab-half")
    assert outcome.code == 1
    assert "in stumble" in outcome.err
    assert "no folder was writable" in outcome.err


def test_an_interrupt_outside_a_pass_is_exit_code_130(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def press(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("layton_bench.run.identity.fingerprint", press)
    outcome = lab.run("lab-half")
    assert (outcome.code, outcome.out, outcome.records) == (130, "", [])


def test_logging_is_set_up_once(bench: Bench) -> None:
    bench("list", "runs")
    bench("list", "runs")
    assert len(logging.getLogger("layton_bench").handlers) == 1


def test_the_entry_point_exits_with_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["layton-bench", "list", "nothing"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2

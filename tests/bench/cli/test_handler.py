"""One place shows every error: exit codes, streams, log files."""

import asyncio
import logging
import signal
import sys
import time
from pathlib import Path

import pytest
import typer
from lab import Bench, Lab, Outcome

from layton_bench import cli
from layton_bench.cli.app import app
from layton_bench.cli.command import Command


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
    assert "No folder was writable" in outcome.err


def test_logging_is_set_up_once(bench: Bench) -> None:
    bench("list", "runs")
    bench("list", "runs")
    assert len(logging.getLogger("layton_bench").handlers) == 1


def test_the_entry_point_exits_with_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["layton-bench", "list", "nothing"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2


@pytest.fixture
def raising(lab: Lab, monkeypatch: pytest.MonkeyPatch):
    """A run in which an error is raised outside every guard."""

    def run(error: BaseException) -> Outcome:
        def stumble(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr("layton_bench.run.identity.fingerprint", stumble)
        return lab.run("lab-half")

    return run


@pytest.mark.parametrize(
    "error",
    [SystemExit(0), SystemExit("bye"), KeyboardInterrupt(), EOFError("Ran out of input"),
     GeneratorExit(), BrokenPipeError(32, "Broken pipe"), asyncio.CancelledError()],
    ids=repr,
)  # fmt: skip
def test_only_ctrl_c_ends_a_command_without_a_log(raising, error: BaseException) -> None:
    outcome = raising(error)
    assert (outcome.code, outcome.out) == (1, "")
    assert f"Internal error: {type(error).__name__}" in outcome.err
    (log,) = Path.cwd().glob("layton-bench-*.log")
    assert "in stumble" in log.read_text()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (PermissionError(13, "Permission denied", "a/b.png"), "a/b.png: Permission denied."),
        (OSError(28, "No space left on device", "c"), "Free some space on its disk."),
        (FileNotFoundError(2, "No such file or directory", "d"), "d: there is no such file."),
        (OSError(5, "Input/output error"), "a file: Input/output error."),
        (UnicodeDecodeError("utf-8", b"\xe9", 0, 1, "invalid"), "Save it as UTF-8."),
        (MemoryError(), "Use a smaller --batch-size or --limit."),
    ],
    ids=repr,
)
def test_files_and_memory_are_no_internal_errors(raising, error: Exception, told: str) -> None:
    outcome = raising(error)
    assert (outcome.code, outcome.out) == (2, "")
    assert told in outcome.err
    assert "Internal error" not in outcome.err
    # without the name of a file, only the traceback says where it was
    has_name = getattr(error, "filename", None) is not None
    assert len(list(Path.cwd().glob("layton-bench-*.log"))) == (0 if has_name else 1)


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_a_huge_message_and_one_that_cannot_be_made(raising) -> None:
    started = time.monotonic()
    outcome = raising(ValueError("x" * 50_000_000))
    assert (outcome.code, len(outcome.err) < 5000) == (1, True)
    assert "(50,000,000 characters)" in outcome.err
    assert time.monotonic() - started < 20
    assert "Internal error: Mute" in raising(Mute()).err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_outside_a_pass(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    before = signal.getsignal(number)
    monkeypatch.setattr(
        "layton_bench.run.identity.fingerprint", lambda *_, **__: signal.raise_signal(number)
    )
    outcome = lab.run("lab-half")
    assert (outcome.code, outcome.out, outcome.records) == (code, "", [])
    assert "Interrupted." in outcome.err
    assert signal.getsignal(number) is before


def test_every_command_keeps_stdout_for_results() -> None:
    def leaves(command) -> list:
        inner = getattr(command, "commands", {})
        return [leaf for one in inner.values() for leaf in leaves(one)] or [command]

    found = leaves(typer.main.get_command(app))
    assert len(found) > 15
    assert {type(command) for command in found} == {Command}

"""Errors end a command once, in words, with the right exit code."""

import errno
import os

import pytest

from layton.cli import commands
from layton.errors import ConfigError


@pytest.fixture
def failing(layton, tmp_path, monkeypatch):
    """Run a command that raises the given exception, in an empty working directory."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def run(error):
        def broken(*_):
            raise error

        monkeypatch.setattr(commands, "_load", broken)
        (tmp_path / "a.png").write_bytes(b"")
        return layton("encode", tmp_path / "a.png", "-o", "x.npz")

    return run


def test_an_unexpected_error_ends_with_1_and_a_log(failing, tmp_path):
    code, out, err = failing(ZeroDivisionError("division by zero"))
    assert (code, out) == (1, "")
    (log,) = (tmp_path / "work").glob("layton-*.log")
    assert err.startswith("Internal error: ZeroDivisionError: division by zero\n")
    assert str(log) in err
    assert "Traceback" not in err
    text = log.read_text()
    assert "Traceback" in text
    assert "ZeroDivisionError: division by zero" in text
    assert f"'{tmp_path / 'a.png'}'" in text


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConfigError("thing", "reason", "Remedy."), "Error: thing: reason.\nRemedy.\n"),
        (ConfigError("thing", "reason."), "Error: thing: reason.\n"),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "x.npz"),
            "Error: x.npz: No space left on device.\n"
            "Check the path, its permissions and its disk.\n",
        ),
        (MemoryError(), "Error: memory: not enough.\nUse a smaller --batch-size.\n"),
        (
            UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
            "Error: a text: is not UTF-8 ('utf-8' codec can't decode byte 0xff in position 0:"
            " invalid start byte).\nSave it as UTF-8.\n",
        ),
        (ConfigError("a\x1b[31m", "b\x07"), "Error: a\\x1b[31m: b\\x07.\n"),
    ],
)
def test_a_problem_of_the_user_ends_with_2(failing, tmp_path, error, said):
    code, out, err = failing(error)
    assert (code, out, err) == (2, "", said)
    assert list((tmp_path / "work").iterdir()) == []


def test_endless_messages_are_cut(failing):
    code, _, err = failing(ConfigError("thing", "x" * 50_000_000))
    assert code == 2
    assert len(err) < 5000


def test_ctrl_c_ends_with_130(failing):
    assert failing(KeyboardInterrupt())[0] == 130


def test_no_command_shows_the_help(layton):
    code, out, err = layton("--help")
    assert code == 0
    assert all(name in out + err for name in ("encode", "decode", "roundtrip", "train", "extract"))

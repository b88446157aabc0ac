"""stdout and stderr in every state that a shell can give them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from lab import Lab, Site
from processes import environment

from layton_bench.cli import streams
from layton_bench.cli.console import visible
from layton_bench.records import RunRecord

LIST = ("list", "protocols")


def shell(line: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """A line of a shell in which ``bench`` is the command line."""
    script = f'set -o pipefail; bench() {{ "{sys.executable}" -m layton_bench "$@"; }}; {line}'
    return subprocess.run(
        ["bash", "-c", script], cwd=cwd, env={**environment(), **variables}, capture_output=True
    )


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_every_encoding_can_show_a_table(lab: Lab, tmp_path: Path, encoding: str) -> None:
    lab.run("lab-half")
    done = shell("bench leaderboard", tmp_path, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode(encoding)
    assert "PSNR (dB) ↑" in text or "PSNR (dB) ^" in text


def test_json_loses_nothing_in_any_encoding(tmp_path: Path, lab: Lab) -> None:
    lab.add_bad("日😀é")
    (record,) = lab.run("lab-half").records
    done = shell("bench show lab-half --json", tmp_path, PYTHONIOENCODING="ascii")
    assert RunRecord.model_validate_json(done.stdout.decode("ascii")) == record
    assert rb"\u65e5\ud83d\ude00\u00e9" in done.stdout


def test_what_an_encoding_lacks_is_spelled() -> None:
    assert "→ Δ ≤".encode("cp1252", "layton_bench.spell") == b"-> d <="
    assert "日\udce9".encode("ascii", "layton_bench.spell") == rb"\u65e5\udce9"
    assert "日".encode("utf-8", "layton_bench.spell") == "日".encode()


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("bench list protocols >&-", 0),
        ("bench list protocols 2>&-", 0),
        ("bench list nothing 2>&-", 2),
        ("bench list protocols <&- >&- 2>&-", 0),
        ("bench --version >&-", 0),
        ("bench list protocols | true", 0),
        ("bench list protocols --json | true", 0),
        ("bench --help | true", 0),
    ],
)
def test_a_closed_stream_stops_nothing(tmp_path: Path, line: str, code: int) -> None:
    done = shell(line, tmp_path)
    assert done.returncode == code
    assert b"Traceback" not in done.stderr
    assert b"Error" not in done.stderr or code == 2
    assert list(tmp_path.glob("*.log")) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a disk that is always full")
def test_a_full_disk_behind_stdout_is_named(tmp_path: Path) -> None:
    done = shell("bench list models > /dev/full", tmp_path)
    assert done.returncode == 2
    assert b"standard output: No space left on device" in done.stderr
    assert list(tmp_path.glob("*.log")) == []


@pytest.mark.parametrize("columns", ["0", "", "wide", "-3"])
def test_columns_that_say_nothing_count_as_not_set(tmp_path: Path, columns: str) -> None:
    unset = shell("unset COLUMNS; bench list protocols", tmp_path)
    assert shell("bench list protocols", tmp_path, COLUMNS=columns).stdout == unset.stdout


def test_a_narrow_table_cuts_nothing(tmp_path: Path) -> None:
    def letters(text: bytes) -> list[str]:
        return sorted("".join(text.decode().split()))

    wide, narrow, one = (
        shell("bench weights list", tmp_path, COLUMNS=columns).stdout
        for columns in ("200", "60", "1")
    )
    assert letters(wide) == letters(narrow) == letters(one)
    assert max(map(len, narrow.decode().splitlines())) <= 60


LOUD = """
import os, sys, subprocess
from layton_bench import Codes, ModelCard, ModelSpec, hookimpl

print("while it is imported")

class Loud:
    def __init__(self):
        print("in Python")
        os.write(1, b"in C\\n")
        subprocess.run([sys.executable, "-c", "print('in a child')"])
    def encode(self, images):
        sys.__stdout__.write("past sys.stdout\\n")
        return Codes(size_px=tuple(images.shape[-2:]), latents=images)
    def decode(self, codes, seeds):
        print("→ in decode")
        return codes.latents * 0.9

@hookimpl
def layton_bench_register_models(register):
    card = ModelCard(name="loud", kind="tokenizer", family="own", summary="prints")
    register(ModelSpec(card=card, load=lambda context: Loud()))
"""


def test_what_plugins_print_goes_to_stderr(tmp_path: Path, site: Site) -> None:
    plugin = site.module("a_loud_one", LOUD)
    words = "run --suite photos-256 --limit 1 --metric psnr --model loud --json"
    done = shell(f"bench --plugin {plugin} {words}", tmp_path, PYTHONIOENCODING="cp1252")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["model"]["name"] == "loud"
    said = done.stderr.decode("cp1252")
    for words in ("while it is imported", "in Python", "in C", "in a child", "past sys.stdout",
                  "-> in decode"):  # fmt: skip
        assert words in said, words


def test_without_docstrings_and_asserts(tmp_path: Path) -> None:
    line = "bench run --suite photos-256 --limit 1 --metric psnr --model jpeg-q10 --json"
    done = shell(line, tmp_path, PYTHONOPTIMIZE="2")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["metrics"]["psnr"]["n"] == 1


def test_control_characters_are_shown_and_not_obeyed() -> None:
    assert visible("a\x1b[31mred\x07\x9b1m\u202eabc\tb\n") == "a␛[31mred␇�1m�abc\tb\n"


def test_control_characters_do_not_reach_the_terminal(bench, site: Site) -> None:
    plugin = site.module(
        "escaping",
        """
        from layton_bench import ModelCard, ModelSpec, hookimpl

        @hookimpl
        def layton_bench_register_models(register):
            summary = "\\x1b]0;x\\x07 \\u202e"
            card = ModelCard(name="esc", kind="tokenizer", family="f", summary=summary)
            register(ModelSpec(card=card, load=lambda context: None))
        """,
    )
    shown = bench("--plugin", plugin, "list", "models")
    assert "\x1b" not in shown.out and "\u202e" not in shown.out
    assert "␛]0;x" in shown.out
    asked = bench("--plugin", plugin, "list", "models", "--json")
    assert "\x1b" not in asked.out and "\u202e" not in asked.out
    (row,) = [row for row in json.loads(asked.out) if row["model"] == "esc"]
    assert row["summary"] == "\x1b]0;x\x07 \u202e"


def test_descriptors_that_are_closed_are_taken(tmp_path: Path) -> None:
    """A file opened afterwards does not become stdout, into which C libraries print."""
    code = (
        "import os; from layton_bench.cli.streams import occupy_standard_descriptors as occupy;"
        "os.close(0); os.close(1); occupy(); f = open('f', 'w'); os.write(1, b'lost');"
        "assert f.fileno() > 2; os.write(2, str(os.fstat(1).st_size).encode())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"0")
    assert (tmp_path / "f").read_bytes() == b""


def test_nowhere_keeps_nothing() -> None:
    sink = streams.nowhere()
    assert sink.write("abc") == 3
    assert not sink.isatty()

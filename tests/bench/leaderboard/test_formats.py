import json
from pathlib import Path

import pytest
from board_cases import psnr, rated

from layton_bench.errors import UserError
from layton_bench.leaderboard.board import boards
from layton_bench.leaderboard.formats import render, write_leaderboard
from layton_bench.leaderboard.reported import Reported


def test_markdown_has_ranks_rates_and_what_others_reported() -> None:
    made = boards([rated("a", 256.0, 20.0, 0.1, 1), rated("b", 512.0, 21.0, 0.2, 2)])
    published = [Reported(model="x", suite="s", metric="m", value=2.5, source="a | paper")]
    text = render(made, "md", published=published)
    assert "| Rank | Model | bits/image |" in text
    assert "| 1 | b | 512 | **21.00** | 0.20 |" in text
    assert "| b | 512 | 64 | 2.000 | ● 21.00 | 0.20 |" in text
    assert text.index("Rate and distortion") < text.index("Reported elsewhere, not measured here")
    assert r"a \| paper" in text
    assert "\n\n\n" not in text


def test_the_command_selects_and_formats(lab) -> None:
    lab.run("lab-half", "lab-grey")
    out = lab.bench.results
    done = lab.bench("leaderboard", "--out", out, "--model", "lab-h*", "--format", "latex")
    assert (done.code, done.out.count(r"\begin{table}")) == (0, 1)
    assert "lab-half" in done.out
    assert "lab-grey" not in done.out
    done = lab.bench("leaderboard", "--out", out, "--metric", "level", "--format", "json")
    assert {row["metric"] for row in json.loads(done.out)} == {"level"}
    done = lab.bench("leaderboard", "--out", out, "--format", "model-index")
    assert done.code == 2
    assert "Choose one with --model NAME." in done.err


def test_a_run_writes_the_leaderboard_that_the_command_prints(lab) -> None:
    lab.run("lab-half", "lab-grey")
    out = lab.bench.results
    printed = lab.bench("leaderboard", "--out", out, "--suite", "lab-64").out
    assert printed.startswith("### lab-64")
    assert "| Rank | Model |" in printed
    assert (out / "lab-64" / "leaderboard.md").read_text("utf-8") == printed
    (out / "lab-64" / "leaderboard.md").unlink()
    assert write_leaderboard(out, "lab-64").read_text("utf-8") == printed


def test_a_leaderboard_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "tiny-16").write_text("in the way")
    with pytest.raises(UserError, match=r"leaderboard\.md: cannot be written"):
        write_leaderboard(tmp_path, "tiny-16")


HOSTILE = "\x1b[2J\x1b]0;x\x07\x9b31m\u202e\r\n=cmd|' /C calc'!A0"


@pytest.mark.parametrize("form", ["md", "csv", "json", "latex"])
def test_no_format_holds_escape_sequences(form: str) -> None:
    made = psnr("m", 1.0, card={"title": HOSTILE}, result={
        "note": HOSTILE, "label": HOSTILE, "signature": HOSTILE, "unit": HOSTILE,
    })  # fmt: skip
    text = render(boards([made]), form)
    assert "calc" in text
    assert not [c for c in text if not c.isprintable() and c != "\n"]


def test_a_huge_text_is_cut() -> None:
    made = psnr("m", None, result={"unavailable": "x" * 50_000_000})
    assert len(render(boards([made]), "md")) < 5000
    assert len(render(boards([made]), "latex")) < 5000

"""Boards on terminals of any width."""

import re

import pytest
from lab import Lab

from layton_bench.cli import console


def test_a_narrow_terminal_has_a_row_for_each_metric(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = lab.run("lab-half", "lab-gain").out
    monkeypatch.setattr(console.out, "_width", 40)
    narrow = lab.run("lab-half", "lab-gain").out
    value = f"{lab.run('lab-half').records[0].metrics['psnr'].value:.2f}"
    # every cell is there both ways, and every line fits
    assert re.search(rf"│ lab-half │ +[\d,]+ │ +{value} ", wide)
    assert re.search(rf"│ PSNR \(dB\) ↑ +│ +{value} │ +{value} │", narrow)
    assert max(map(len, narrow.splitlines())) <= 40


def test_numbers_are_shown_however_narrow_the_terminal(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = f"--set marks={'x' * 200} --limit 1"
    (record,) = lab.run("lab-slow", more=more).records
    monkeypatch.setattr(console.out, "_width", 60)
    assert f"{record.metrics['psnr'].value:.2f}" in lab.run("lab-slow", more=more).out

"""A file of gates is validated before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from gate_files import WHOLE, write
from places import DOCS

from layton_bench.errors import UserError
from layton_bench.gates.file import read_gates


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[[gate]\n", "not valid TOML"),
        ("", "gate: Field required"),
        ('[[gate]]\nname = "a"\n', "suite and model are missing"),
        ('[[gate]]\nname = "a"\nsuite = "s"\nmodel = "m"\n', "there is no condition"),
        (
            '[[gate]]\nname = "a"\nsuite = "s"\nmodel = "m"\nbounds.psnr = {}\n',
            "give min, max or both",
        ),
        (
            '[[gate]]\nname = "a"\nsuite = "s"\nmodel = "m"\nnot_worse.psnr = {}\n',
            "not_worse needs baseline",
        ),
        (
            '[[gate]]\nname = "a"\nsuite = "s"\nmodel = "m"\nbounds.psnr = {minimum = 1}\n',
            "gate.0.bounds.psnr.minimum: Extra inputs are not permitted",
        ),
        (WHOLE.format(low=1) * 2, "two gates are named 'a'"),
    ],
)
def test_a_wrong_file_is_refused_by_field(tmp_path: Path, text: str, named: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(UserError) as caught:
        read_gates(path)
    assert named in str(caught.value)
    assert str(path) in str(caught.value)


def test_the_example_of_the_docs_is_a_file_of_gates(tmp_path: Path) -> None:
    docs = DOCS / "gates.md"
    example = docs.read_text("utf-8").split("```toml\n")[1].split("```")[0]
    quality, speed = read_gates(write(tmp_path, example))
    assert quality.not_worse["lpips-alex"].by == 0.01
    assert speed.throughput is not None
    assert speed.throughput.max_ratio == 1.1

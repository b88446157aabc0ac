import csv
import io
import json

import pytest
from board_cases import psnr

from layton_bench.leaderboard.as_data import to_frame
from layton_bench.leaderboard.board import boards
from layton_bench.leaderboard.formats import render


def test_csv_and_json_hold_every_value() -> None:
    made = boards([
        psnr("a", 30.125, 1, result={"low": 29.0, "high": 31.0}, options={"steps": 2}),
        psnr("b", float("inf"), 2, result={"note": "identical, all"}),
        psnr("c", None, 3, result={"unavailable": "no weights"}),
    ])  # fmt: skip
    table = list(csv.DictReader(io.StringIO(render(made, "csv"))))
    assert [(row["model"], row["value"]) for row in table] == [
        ("b", "inf"), ("a", "30.125"), ("c", ""),
    ]  # fmt: skip
    assert table[1]["options"] == '{"steps": 2}'
    assert table[0]["note"] == "identical, all"
    values = json.loads(render(made, "json"), parse_constant=pytest.fail)
    assert [row["value"] for row in values] == ["Infinity", 30.125, None]
    assert values[1] | {"run": ""} == {
        "suite": "tiny-16", "model": "a", "options": '{"steps": 2}', "dtype": "float32",
        "metric": "psnr", "value": 30.125, "low": 29.0, "high": 31.0, "n": 10,
        "direction": "higher", "bits_per_image": None, "status": "complete", "expected": 10,
        "failed": 0, "data": "d" * 64, "signature": "psnr|n:10|v1", "note": "", "run": "",
    }  # fmt: skip
    assert values[2]["note"] == "unavailable: no weights"
    assert list(to_frame(made)["run"]) == [row["run"] for row in values]


@pytest.mark.parametrize("name", ["=1+2", "+1", "-x", "@SUM(A1)", '=HYPERLINK("http://x")', "\t=1"])
def test_no_text_of_a_csv_file_is_a_formula(name: str) -> None:
    made = boards([psnr(name, -1.5, result={"note": name})])
    (row,) = csv.DictReader(io.StringIO(render(made, "csv")))
    assert row["model"] == row["note"] == f"'{name.strip()}"
    assert row["value"] == "-1.5"  # a number is no text
    assert json.loads(render(made, "json"))[0]["model"] == name.strip()

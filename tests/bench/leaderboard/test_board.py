import csv
import io
import itertools
import json

import pytest
from fakes import record, result, suite

from layton_bench.errors import UserError
from layton_bench.leaderboard.board import (
    Board,
    boards,
    display_name,
    format_value,
    marks,
    notes,
    render,
    to_frame,
    to_markdown,
)
from layton_bench.records.record import RunRecord
from layton_bench.types import Failure

FID = {"label": "rFID", "direction": "lower", "unit": "", "signature": "rfid|n:10|v1"}
BIAS = {"label": "Bias", "direction": "zero", "unit": "", "signature": "bias|n:10|v1"}
USAGE = {"label": "Usage", "direction": "none", "unit": "%", "signature": "usage|n:10|v1"}


def psnr(model: str, value: float | None, number: int = 1, **changes) -> RunRecord:
    metrics = {"psnr": result(value, **changes.pop("result", {}))}
    return record(model, number=number, metrics=metrics, **changes)


def one(records: list[RunRecord], **asked) -> Board:
    (board,) = boards(records, **asked)
    return board


def names(board: Board) -> list[str]:
    return [r.model.name for r in board.records]


def rows(markdown: str) -> list[list[str]]:
    """Cells of every table row but the alignment."""
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in lines
        if not line.startswith("|:-")
    ]


def test_the_whole_table_best_in_bold_with_arrows_intervals_and_bits() -> None:
    first = record("webp", number=1, bits_per_image=3584.4, metrics={
        "psnr": result(27.256, low=26.0, high=28.5), "fid": result(12.5, **FID),
    })  # fmt: skip
    second = record("avif", number=2, bits_per_image=3600.0, metrics={
        "psnr": result(28.5), "fid": result(14.0, **FID),
    })  # fmt: skip
    assert to_markdown(boards([first, second])) == (
        "### tiny-16 v1: 10 images, canonical@1, rounding round, data dddddddddddd\n"
        "\n"
        "| Model | bits/image | PSNR (dB) ↑ | rFID ↓ |\n"
        "|:---|---:|---:|---:|\n"
        "| avif | 3,600 | **28.50** | 14.00 |\n"
        "| webp | 3,584 | 27.26 [26.00, 28.50] | **12.50** |\n"
        "\n"
        "- `psnr|n:10|v1`\n"
        "- `rfid|n:10|v1`\n"
    )


def test_no_runs_say_so() -> None:
    assert render([], "md") == "No runs yet.\n"
    assert json.loads(render([], "json")) == []
    assert render([], "csv").startswith("suite,model,options,")


@pytest.mark.parametrize(
    ("changes", "best"),
    [({}, "c"), (FID, "a"), (BIAS, "b"), (USAGE, None)],
)
def test_the_best_depends_on_the_direction(changes: dict[str, str], best: str | None) -> None:
    values = {"a": -3.0, "b": 0.5, "c": 2.0}
    made = [psnr(n, v, i, result=changes) for i, (n, v) in enumerate(values.items(), start=1)]
    bold = [row[0] for row in rows(to_markdown(boards(made)))[1:] if row[2].startswith("**")]
    assert bold == ([best] if best else [])


def test_the_arrow_says_which_way_is_better() -> None:
    metrics = {
        "psnr": result(), "fid": result(**FID), "bias": result(**BIAS), "usage": result(**USAGE),
    }  # fmt: skip
    assert rows(to_markdown(boards([record(metrics=metrics)])))[0] == [
        "Model", "bits/image", "PSNR (dB) ↑", "rFID ↓", "Bias →0", "Usage (%)",
    ]  # fmt: skip


def test_what_looks_equal_is_equally_good() -> None:
    made = [psnr("a", 30.001, 1), psnr("b", 30.004, 2), psnr("c", 29.9, 3)]
    assert [row[2] for row in rows(to_markdown(boards(made)))[1:]] == [
        "**30.00**", "**30.00**", "29.90",
    ]  # fmt: skip
    made = [psnr("a", 0.5, 1, result=BIAS), psnr("b", -0.5, 2, result=BIAS)]
    assert [row[2] for row in rows(to_markdown(boards(made)))[1:]] == ["**0.50**", "**-0.50**"]


def test_a_single_value_is_not_the_best_of_anything() -> None:
    assert "**" not in to_markdown(boards([psnr("a", 30.0)]))
    assert "**" not in to_markdown(boards([psnr("a", 30.0), psnr("b", None, 2)]))


def test_the_order_is_the_same_however_the_records_come() -> None:
    made = [
        psnr("d", 30.0, 1), psnr("a", 30.0, 2), psnr("c", None, 3), psnr("b", 31.0, 4),
        psnr("e", 40.0, 5, data="e" * 64), psnr("f", 50.0, 6, suite=suite(rounding="truncate")),
    ]  # fmt: skip
    texts = {to_markdown(boards(list(order))) for order in itertools.permutations(made, 6)}
    assert len(texts) == 1
    assert names(boards(made)[0]) == ["b", "a", "d", "c"]


def test_another_metric_may_be_sorted_by() -> None:
    made = [
        record("a", number=1, metrics={"psnr": result(30.0), "fid": result(9.0, **FID)}),
        record("b", number=2, metrics={"psnr": result(29.0), "fid": result(5.0, **FID)}),
        record("c", number=3, metrics={"psnr": result(31.0)}),
    ]
    assert names(one(made)) == ["c", "a", "b"]
    assert names(one(made, sort_by="fid")) == ["b", "a", "c"]
    with pytest.raises(UserError, match=r"--sort fdi: no run has that metric\. Use one of fid, p"):
        boards(made, sort_by="fdi")


DIFFERENT = {
    "data": {"data": "e" * 64},
    "protocol": {"suite": suite(protocol="adm-center-crop@1")},
    "rounding": {"suite": suite(rounding="truncate")},
    "size": {"suite": suite(size_px=32)},
    "suite": {"suite": suite(name="other-16")},
    "samples": {"completeness": {"effective": 9}, "status": "partial"},
    "limit": {
        "completeness": {"selected": 4, "effective": 4, "limit": 4}, "status": "partial",
        "data": "4" * 64,
    },
}  # fmt: skip


@pytest.mark.parametrize("case", DIFFERENT)
def test_runs_that_are_not_comparable_stand_in_tables_apart(case: str) -> None:
    changed = {"data": "d" * 64, **DIFFERENT[case]}
    made = boards([psnr("a", 30.0), psnr("b", 31.0, 2, **changed), psnr("c", 32.0, 3)])
    assert sorted(map(names, made), key=len) == [["b"], ["c", "a"]]
    assert "**" in to_markdown([board for board in made if len(board.records) == 2])


def test_runs_that_lost_different_samples_stand_in_tables_apart() -> None:
    def losing(model: str, key: str, number: int) -> RunRecord:
        failed = (Failure(key=key, stage="decode", reason="NaN"),)
        done = {"effective": 9, "failed": failed}
        return psnr(model, 30.0, number, status="partial", completeness=done)

    made = boards([losing("a", "x", 1), losing("b", "y", 2), losing("c", "x", 3)])
    assert sorted(map(names, made)) == [["a", "c"], ["b"]]


def test_the_largest_sample_comes_first() -> None:
    small = {"effective": 3, "selected": 3}
    made = boards([psnr("a", 1.0, completeness=small, status="partial"), psnr("b", 2.0, 2)])
    assert [board.title.split(" images")[0] for board in made] == [
        "tiny-16 v1: 10", "tiny-16 v1: 3 of 10",
    ]  # fmt: skip


def test_another_signature_is_shown_with_a_dagger_and_not_ranked() -> None:
    other = {"signature": "psnr|n:10|v2"}
    made = [psnr("a", 30.0, 1), psnr("b", 29.0, 2), psnr("c", 99.0, 3, result=other)]
    board = one(made)
    table = rows(to_markdown([board]))
    assert [row[0] for row in table[1:]] == ["a", "b", "c"]
    assert [row[2] for row in table[1:]] == ["**30.00**", "29.00", "99.00†"]
    assert notes(board) == ["† c, PSNR: not ranked, psnr|n:10|v2"]
    assert board.columns[0].signature == "psnr|n:10|v1"


def test_of_equally_common_signatures_the_first_models_is_ranked() -> None:
    made = [psnr("b", 30.0, 1), psnr("a", 29.0, 2, result={"signature": "psnr|n:10|v2"})]
    assert one(made).columns[0].signature == "psnr|n:10|v2"


def test_values_without_number_are_said_and_come_last() -> None:
    made = [
        psnr("a", None, 1, result={"note": "needs two samples"}),
        psnr("b", None, 2, result={"unavailable": "no weights", "n": 0}),
        psnr("c", 1.0, 3),
        record("d", number=4, metrics={}),
    ]
    board = one(made)
    assert [(row[0], row[2]) for row in rows(to_markdown([board]))[1:]] == [
        ("c", "1.00"), ("a", "n/a"), ("b", "n/a"), ("d", ""),
    ]  # fmt: skip
    assert notes(board) == ["a, PSNR: needs two samples", "b, PSNR: unavailable: no weights"]


def test_a_metric_that_nobody_has_a_value_for_has_no_column() -> None:
    board = one([psnr("b", None, 1), psnr("a", None, 2, result={"unavailable": "no weights"})])
    assert (names(board), board.columns) == (["a", "b"], ())
    assert notes(board) == ["a, PSNR: unavailable: no weights"]


def test_whatever_is_not_whole_is_marked() -> None:
    lost = (Failure(key="x", stage="read", reason="cut"),)
    limited = record(completeness={"effective": 4, "limit": 4}, status="partial")
    stopped = record(completeness={"effective": 6}, status="interrupted")
    failed = record(completeness={"effective": 9, "failed": lost}, status="partial")
    assert marks(record()) == []
    assert marks(limited) == ["partial: 4 of 10"]
    assert marks(stopped) == ["interrupted at 6 of 10"]
    assert marks(failed) == ["partial: 9 of 10", "1 failed"]
    assert "| fake ⚠ partial: 9 of 10 ⚠ 1 failed |" in to_markdown(boards([failed]))


def test_names_show_what_is_not_the_default() -> None:
    assert display_name(record("m")) == "m"
    assert display_name(record("m", card={"title": "M*"})) == "M*"
    assert display_name(record("m", options={"steps": 2}, dtype="bfloat16")) == (
        "m (steps=2, bfloat16)"
    )


def test_values_are_shown_with_their_digits() -> None:
    assert format_value(None) == ""
    assert format_value(result(None)) == "n/a"
    assert format_value(result(1.23456, digits=3)) == "1.235"
    assert format_value(result(-0.0004, digits=3)) == "0.000"
    assert format_value(result(float("inf"))) == "inf"
    assert format_value(result(1.0, low=0.5, high=1.5)) == "1.00 [0.50, 1.50]"
    assert format_value(result(1.0, low=0.5, high=1.5), with_interval=False) == "1.00"
    assert format_value(result(1.0, low=0.999, high=1.001)) == "1.00"


EVIL = "x|y<script>`*[a](b)\n| row |"


def test_nothing_in_a_name_or_note_acts_in_markdown() -> None:
    made = psnr(
        "m", 1.0, card={"title": EVIL}, result={"note": EVIL, "label": EVIL, "signature": "a`b\nc"}
    )
    text = to_markdown(boards([made]))
    assert "<script>" not in text
    assert r"x\|y&lt;script&gt;\`\*\[a\](b) \| row \|" in text
    assert len([line for line in text.splitlines() if line.startswith("|")]) == 3
    assert "- `a'b c`" in text


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

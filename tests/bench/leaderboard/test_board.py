import itertools
import json

import pytest
from board_cases import FID, names, one, psnr, rows
from fakes import record, result, suite

from layton_bench.errors import UserError
from layton_bench.leaderboard.as_markdown import to_markdown
from layton_bench.leaderboard.board import boards, notes
from layton_bench.leaderboard.formats import render
from layton_bench.records.record import RunRecord
from layton_bench.types import Failure


def test_no_runs_say_so() -> None:
    assert render([], "md") == "No runs yet.\n"
    assert json.loads(render([], "json")) == []
    assert render([], "csv").startswith("suite,model,options,")


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
    assert [row[1] for row in table[1:]] == ["a", "b", "c"]
    assert [row[3] for row in table[1:]] == ["**30.00**", "29.00", "99.00†"]
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
    assert [(row[1], row[3]) for row in rows(to_markdown([board]))[1:]] == [
        ("c", "1.00"), ("a", "n/a"), ("b", "n/a"), ("d", ""),
    ]  # fmt: skip
    assert notes(board) == ["a, PSNR: needs two samples", "b, PSNR: unavailable: no weights"]


def test_a_metric_that_nobody_has_a_value_for_has_no_column() -> None:
    board = one([psnr("b", None, 1), psnr("a", None, 2, result={"unavailable": "no weights"})])
    assert (names(board), board.columns) == (["a", "b"], ())
    assert notes(board) == ["a, PSNR: unavailable: no weights"]


def test_runs_that_share_a_shown_name_are_rows_of_their_own() -> None:
    made = [psnr("m", 30.0, 1, seed=1), psnr("m", 29.0, 2, seed=2), psnr("x", 28.0, 3)]
    board = one(made)
    assert board.names == ("m (seed 1)", "m (seed 2)", "x")
    assert [row[1] for row in rows(to_markdown([board]))[1:]] == list(board.names)
    assert board.name(made[1]) == "m (seed 2)"


def test_a_value_that_is_not_a_number_ends_nothing() -> None:
    nan = float("nan")
    made = [
        psnr("a", nan, 1), psnr("b", 30.0, 2, result={"low": nan, "high": nan}),
        psnr("c", 29.0, 3, bits_per_image=10.0), psnr("d", nan, 4, bits_per_image=20.0),
    ]  # fmt: skip
    board = one(made)
    assert names(board) == ["b", "c", "a", "d"]
    assert [row[3] for row in rows(to_markdown([board]))[1:]] == [
        "**30.00**",
        "29.00",
        "n/a",
        "n/a",
    ]
    assert "a, PSNR: the value is not a number" in notes(board)
    for form in ("md", "csv", "json", "latex"):
        assert render([board], form)
    assert one([psnr("a", nan)]).columns == ()

from fakes import record, result

from layton_bench.leaderboard.as_markdown import to_markdown
from layton_bench.leaderboard.board import boards
from layton_bench.records.words import display_name, format_value, marks
from layton_bench.types import Failure


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

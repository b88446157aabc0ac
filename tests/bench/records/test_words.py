from fakes import record, result

from layton_bench.leaderboard.as_markdown import to_markdown
from layton_bench.leaderboard.board import boards
from layton_bench.records.record import RunRecord
from layton_bench.records.words import (
    display_name,
    distinct_names,
    format_value,
    heading,
    marks,
    number,
)
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


OWN = {"sd-vae": "1a2b3c4d5e6f" + "0" * 52}


def with_weights(own: tuple[str, ...], **changes) -> RunRecord:
    made = record("sd-vae", card={"title": "SD VAE (ft-MSE)"}, **changes)
    info = made.model.model_copy(update={"weights": OWN, "own_weights": own})
    return made.model_copy(update={"model": info})


def test_own_weights_are_never_shown_as_the_published_ones() -> None:
    assert display_name(with_weights(())) == "SD VAE (ft-MSE)"
    assert display_name(with_weights(("sd-vae",))) == "sd-vae (own weights, 1a2b3c4d5e6f…)"
    changed = with_weights(("sd-vae",), options={"steps": 2}, dtype="bfloat16")
    assert display_name(changed) == "sd-vae (own weights, 1a2b3c4d5e6f…, steps=2, bfloat16)"


def test_runs_of_equal_names_are_told_apart_by_what_differs() -> None:
    seeds = [record("m", number=n, seed=n) for n in (1, 2)]
    assert distinct_names(seeds) == ["m (seed 1)", "m (seed 2)"]
    samples = [record("images", number=n, inputs={"samples": str(n) * 64}) for n in (1, 2)]
    assert distinct_names(samples) == [f"images (samples {n * 12})" for n in "12"]
    titled = [record(name, card={"title": "M"}) for name in ("a", "b")]
    assert distinct_names(titled) == ["M (a)", "M (b)"]
    alone = [record("m", number=n) for n in (1, 2)]
    assert distinct_names(alone) == [f"m (run {made.run_id})" for made in alone]
    assert distinct_names([*seeds, record("other")])[2] == "other"


def test_only_what_is_needed_is_added() -> None:
    made = [
        record("m", number=1, seed=0), record("m", number=2, seed=1),
        record("m", number=3, seed=1, inputs={"samples": "f" * 64}),
    ]  # fmt: skip
    assert distinct_names(made) == ["m (seed 0)", "m (seed 1)", f"m (seed 1, samples {'f' * 12})"]


def test_a_value_that_is_not_a_number_is_no_value() -> None:
    assert format_value(result(float("nan"))) == "n/a"
    assert number(result(float("nan"))) is None
    assert number(result(float("-inf"))) == float("-inf")
    assert number(result(None)) is number(None) is None


def test_names_and_headings_hold_no_control_characters() -> None:
    made = record("m", card={"title": "\x1b[31mred\x07\u202e\n| row"})
    assert display_name(made) == r"\x1b[31mred\x07\u202e | row"
    assert heading(result(label="\x1b]0;x\x07")) == r"\x1b]0;x\x07 (dB) ↑"

from board_cases import one, scored

from layton_bench.leaderboard.ranks import rank_column, rank_note, ranks
from layton_bench.records.record import RunRecord


def board_ranks(records: list[RunRecord]) -> dict[str, int | None]:
    board = one(records)
    found = ranks(board, board.columns[0])
    return {r.model.name: rank for r, rank in zip(board.records, found, strict=True)}


def test_overlapping_intervals_share_a_rank_and_separate_ones_do_not() -> None:
    made = [
        scored("a", 30, 29, 31), scored("b", 29.5, 28.5, 30.5), scored("c", 28, 27, 28.9),
        scored("d", 27.5, 26, 28), scored("e", 20, 19, 21),
    ]  # fmt: skip
    # c is below a only; d is below a and b; e is below all
    assert board_ranks(made) == {"a": 1, "b": 1, "c": 2, "d": 3, "e": 5}
    assert rank_column(one(made)) == ["1=", "1=", "2", "3", "5"]


def test_a_wide_interval_lifts_no_model_above_a_better_one() -> None:
    made = [scored("a", 30, 29, 31), scored("narrow", 28, 27.9, 28.1), scored("wide", 27, 24, 30)]
    assert board_ranks(made) == {"a": 1, "narrow": 1, "wide": 1}
    made.append(scored("b", 29, 28.5, 29.5))
    made.append(scored("low", 20))
    assert board_ranks(made) == {"a": 1, "b": 1, "narrow": 1, "wide": 1, "low": 5}


def test_touching_intervals_are_a_tie_and_a_bare_value_has_no_width() -> None:
    assert board_ranks([scored("a", 30, 29, 31), scored("b", 28, 27, 29)]) == {"a": 1, "b": 1}
    assert board_ranks([scored("a", 30), scored("b", 29), scored("c", 29)]) == {
        "a": 1, "b": 2, "c": 2,
    }  # fmt: skip


def test_the_direction_decides_who_is_ahead() -> None:
    lower = {"direction": "lower"}
    made = [scored("a", 5, 4, 6, result=lower), scored("b", 9, 8, 10, result=lower)]
    assert board_ranks(made) == {"a": 1, "b": 2}
    zero = {"direction": "zero"}
    made = [
        scored("a", -0.5, -2, 1, result=zero), scored("b", 0.9, 0.8, 1.0, result=zero),
        scored("c", -5, -6, -4, result=zero),
    ]  # fmt: skip
    # a's interval reaches over 0 and up to a distance of 2, so b is not shown to be worse
    assert board_ranks(made) == {"a": 1, "b": 1, "c": 3}


def test_what_is_not_ranked_has_no_rank() -> None:
    made = [
        scored("a", 30), scored("b", 29), scored("c", None),
        scored("d", 99, result={"signature": "psnr|n:10|v2"}), scored("e", float("inf")),
    ]  # fmt: skip
    assert board_ranks(made) == {"a": 2, "b": 3, "c": None, "d": None, "e": 1}
    nothing = one([scored("a", None)])
    assert (rank_column(nothing), rank_note(nothing)) == ([""], "")

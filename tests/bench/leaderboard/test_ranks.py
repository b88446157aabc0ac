"""Ranks by pairs of samples, and by intervals where there are none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from board_cases import one, scored
from fakes import record, result, suite

from layton_bench.leaderboard.board import Board, boards
from layton_bench.leaderboard.ranks import ranking, ranks
from layton_bench.records.folder import SAMPLES, write_record
from layton_bench.records.record import RunRecord
from layton_bench.records.results import StoredRun


def board_ranks(records: list[RunRecord]) -> dict[str, int | None]:
    board = one(records)
    found = ranks(board, board.columns[0])
    return {r.model.name: rank for r, rank in zip(board.records, found.ranks, strict=True)}


def test_overlapping_intervals_share_a_rank_and_separate_ones_do_not() -> None:
    made = [
        scored("a", 30, 29, 31), scored("b", 29.5, 28.5, 30.5), scored("c", 28, 27, 28.9),
        scored("d", 27.5, 26, 28), scored("e", 20, 19, 21),
    ]  # fmt: skip
    # c is below a only; d is below a and b; e is below all
    assert board_ranks(made) == {"a": 1, "b": 1, "c": 2, "d": 3, "e": 5}
    assert ranking(one(made)).texts == ["1=", "1=", "2", "3", "5"]


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
    assert ranking(nothing) == ([""], "")


# runs whose samples are at hand


def stored(
    folder: Path, model: str, values: Sequence[float], number: int, *, keys: Sequence[str] = (),
    **changes,
) -> StoredRun:  # fmt: skip
    """A run of PSNR with an interval that overlaps every other."""
    finite = [value for value in values if np.isfinite(value)]
    mean = float(np.mean(finite)) if finite else float("inf")
    frame = pd.DataFrame(
        {"key": keys or [f"{i:03}" for i in range(len(values))], "psnr": list(values)}
    )
    metrics = {"psnr": result(mean, low=mean - 50, high=mean + 50)}
    place = folder / model
    place.mkdir()
    made = write_record(place, record(model, number=number, metrics=metrics, **changes), frame)
    return StoredRun(folder=place, record=made)


def board_of(runs: Sequence[StoredRun]) -> Board:
    (board,) = boards((run.record for run in runs), stored=runs)
    return board


def differing(tmp_path: Path, gaps: dict[str, float], n: int = 10) -> list[StoredRun]:
    """Runs whose samples are equally hard for all; each is better than the first by a gap."""
    rng = np.random.default_rng(0)
    hardness = rng.normal(25, 4, n)
    return [
        stored(tmp_path, model, hardness + gap + rng.normal(0, 0.1, n), number)
        for number, (model, gap) in enumerate(gaps.items())
    ]


def test_pairs_tell_apart_what_overlap_ties(tmp_path: Path) -> None:
    runs = differing(tmp_path, {"low": 0.0, "same": 0.0, "mid": 1.0, "top": 2.0})
    assert board_ranks([run.record for run in runs]) == dict.fromkeys(
        ("low", "same", "mid", "top"), 1
    )
    board = board_of(runs)
    assert [r.model.name for r in board.records][:2] == ["top", "mid"]
    assert ranking(board).texts == ["1", "2", "3=", "3="]
    assert ranking(board).note == (
        "Ranked by PSNR (dB). Models that a paired test does not tell apart may share a rank (=)."
    )


def test_p_is_corrected_for_the_number_of_pairs(tmp_path: Path) -> None:
    """One difference of p = 0.02 separates two runs, but not two of nine."""
    rng = np.random.default_rng(1)
    hardness, noise = rng.normal(25, 4, 10), rng.normal(0, 1, 10)
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    gap = 2.8214379 / np.sqrt(10)  # Student's t of nine degrees of freedom, p = 0.02
    two = [stored(tmp_path, "a", hardness, 1), stored(tmp_path, "b", hardness + gap + noise, 2)]
    assert ranking(board_of(two)).texts == ["1", "2"]
    more = [stored(tmp_path, f"c{i}", hardness + rng.normal(0, 9, 10), 3 + i) for i in range(7)]
    assert ranking(board_of([*two, *more])).texts == ["1="] * 9


def test_runs_without_pairs_are_ranked_by_intervals_and_the_note_counts_them(
    tmp_path: Path,
) -> None:
    runs = differing(tmp_path, {"low": 0.0, "mid": 1.0, "top": 2.0})
    exact = stored(tmp_path, "exact", [np.inf] * 10, 7)  # no difference is finite
    cut = stored(tmp_path, "cut", np.full(10, 80.0), 8)
    (cut.folder / SAMPLES).write_bytes(b"cut short")
    board = board_of([*runs, exact, cut])
    found = ranks(board, board.columns[0])
    assert [r.model.name for r in board.records] == ["exact", "cut", "top", "mid", "low"]
    # the interval of "cut" overlaps all but that of "exact"
    assert found.ranks == [1, 2, 2, 3, 4]
    assert (found.num_pairs, found.num_others) == (3, 7)
    assert ranking(board).note.endswith(
        "Of 10 pairs of models, 7 are compared by their 95 % intervals, because their samples"
        " cannot be paired."
    )


def test_images_of_one_prompt_are_one_sample_here_too(tmp_path: Path) -> None:
    """Ten images of one prompt, all better, are one sample: too few for a test."""
    asked = suite(kind="generation", images_per_prompt=10)
    keys = [f"p#{i}" for i in range(10)]
    runs = [
        stored(tmp_path, model, level + 0.01 * np.arange(10), number, keys=keys, suite=asked)
        for number, (model, level) in enumerate({"a": 20.0, "b": 21.0}.items())
    ]
    board = board_of(runs)
    assert ranks(board, board.columns[0]).num_pairs == 0


def test_samples_pair_by_key_whatever_their_order(tmp_path: Path) -> None:
    runs = differing(tmp_path, {"low": 0.0, "top": 0.5})
    values = pd.read_parquet(runs[1].folder / SAMPLES)["psnr"].to_numpy()[::-1]
    keys = [f"{i:03}" for i in range(10)][::-1]
    turned = stored(tmp_path, "turned", values, 5, keys=keys)
    assert ranking(board_of([runs[0], turned])).texts == ["1", "2"]


@pytest.mark.parametrize("num_models", [2, 5])
def test_equal_models_seldom_get_different_ranks(tmp_path: Path, num_models: int) -> None:
    """At n = 10, differences of equal models with skewed values; all pairs together 5 %."""
    rng = np.random.default_rng(4)
    apart = 0
    for trial in range(40):
        folder = tmp_path / str(trial)
        folder.mkdir()
        hardness = rng.normal(25, 4, 10)
        runs = [
            stored(folder, f"m{i}", hardness + rng.exponential(1.0, 10), i)
            for i in range(num_models)
        ]
        apart += len(set(ranking(board_of(runs)).texts)) > 1
    assert apart <= 3

import json

import pytest
import yaml
from fakes import record, result, suite
from huggingface_hub import ModelCard, ModelCardData

from layton_bench.errors import UnknownNameError, UserError
from layton_bench.leaderboard.board import Board, boards
from layton_bench.leaderboard.formats import render
from layton_bench.leaderboard.latex import escape
from layton_bench.leaderboard.pareto import on_front
from layton_bench.leaderboard.ranks import rank_column, rank_note, ranks
from layton_bench.leaderboard.rates import rate_markdown, rate_rows, rate_table
from layton_bench.leaderboard.reported import Reported
from layton_bench.leaderboard.selection import Selection, select
from layton_bench.records.record import RunRecord


def scored(
    model: str, value: float | None, low: float | None = None, high: float | None = None, **changes
) -> RunRecord:
    known = {"low": low, "high": high, **changes.pop("result", {})}
    return record(model, metrics={"psnr": result(value, **known)}, **changes)


def one(records: list[RunRecord], **asked) -> Board:
    (board,) = boards(records, **asked)
    return board


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


def test_the_front_keeps_equals_and_drops_what_is_beaten() -> None:
    points = [(1.0, 5.0), (2.0, 5.0), (2.0, 3.0), (3.0, 3.0), (3.0, 1.0), (3.0, 1.0)]
    assert on_front(points) == [True, False, True, False, True, True]
    assert on_front([]) == []


def rated(model: str, bits: float | None, psnr: float, lpips: float, number: int) -> RunRecord:
    lower = {"label": "LPIPS", "direction": "lower", "unit": "", "signature": "lpips|v1"}
    metrics = {"psnr": result(psnr), "lpips": result(lpips, **lower)}
    return record(model, number=number, bits_per_image=bits, metrics=metrics)


def test_rates_are_in_order_with_the_front_of_each_metric() -> None:
    board = one([
        rated("c", 2560.0, 30.0, 0.30, 1), rated("a", 256.0, 20.0, 0.10, 2),
        rated("b", 512.0, 19.0, 0.05, 3), rated("none", None, 50.0, 0.0, 4),
    ])  # fmt: skip
    rows = rate_rows(board)
    assert [(r.record.model.name, r.bpp) for r in rows] == [("a", 1.0), ("b", 2.0), ("c", 10.0)]
    assert [set(r.front) for r in rows] == [{"psnr", "lpips"}, {"lpips"}, {"psnr"}]
    assert rate_table(board)[1] == [
        ["a", "256", "32", "1.000", "● 20.00", "● 0.10"],
        ["b", "512", "64", "2.000", "19.00", "● 0.05"],
        ["c", "2,560", "320", "10.000", "● 30.00", "0.30"],
    ]
    assert rate_markdown(one([rated("a", 1.0, 1.0, 1.0, 1)])) == ""


def test_pictures_of_any_size_have_no_bits_a_pixel() -> None:
    made = record(bits_per_image=512.0, suite=suite(size_px=None))
    assert rate_rows(one([made]))[0].bpp is None


def test_a_selection_narrows_models_columns_and_rates() -> None:
    made = [
        rated("webp@1B", 8.0, 20.0, 0.3, 1), rated("webp-q1", 80.0, 21.0, 0.2, 2),
        rated("jpeg-q1", None, 22.0, 0.1, 3),
    ]  # fmt: skip

    def names(**asked) -> list[str]:
        return [r.model.name for r in select(made, Selection(**asked))]

    assert names() == ["webp@1B", "webp-q1", "jpeg-q1"]
    assert names(models=("webp*",)) == ["webp@1B", "webp-q1"]
    assert names(models=("jpeg-q1", "*@*")) == ["webp@1B", "jpeg-q1"]
    assert names(max_bits=8) == ["webp@1B"]
    chosen = select(made, Selection(metrics=("lpips", "psnr")))
    assert [c.name for c in one(chosen).columns] == ["lpips", "psnr"]
    assert [r.model.name for r in one(chosen).records] == ["jpeg-q1", "webp-q1", "webp@1B"]
    assert [c.name for c in one(select(made, Selection(metrics=("lpips",)))).columns] == ["lpips"]


def test_only_complete_runs_may_be_asked_for() -> None:
    made = [record("a"), record("b", status="partial", completeness={"effective": 4})]
    assert [r.model.name for r in select(made, Selection(only_complete=True))] == ["a"]


def test_a_selection_of_what_is_not_there_is_an_error() -> None:
    with pytest.raises(UnknownNameError, match=r"measured model 'fakes'.*Did you mean fake"):
        select([record()], Selection(models=("fakes",)))
    with pytest.raises(UserError, match=r"metric 'lpips': no run has it\. Use one of psnr"):
        select([record()], Selection(metrics=("lpips",)))


EVIL = r"50% _x^ \end{table} {$&#~<b>|" + '"'


def test_latex_is_a_whole_booktabs_table() -> None:
    made = boards([scored("a", 30, 29, 31, bits_per_image=3584.0), scored("b_x", 28)])
    text = render(made, "latex")
    assert text.splitlines() == [
        r"% \usepackage{booktabs}",
        r"\begin{table}",
        r"  \centering",
        r"  \caption{tiny-16 v1: 10 images, canonical@1, rounding round, data dddddddddddd."
        r" Rank by PSNR (dB): 1 + the models whose 95\% interval is wholly better; = is a tie.}",
        r"  \begin{tabular}{rlrr}",
        r"    \toprule",
        r"    Rank & Model & bits/image & PSNR (dB) $\uparrow$ \\",
        r"    \midrule",
        r"    1 & a & 3,584 & \textbf{30.00 [29.00, 31.00]} \\",
        r"    2 & b\_x &  & 28.00 \\",
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
        r"% psnr|n:10|v1",
    ]


def test_no_name_or_note_acts_in_latex() -> None:
    made = boards([
        scored("m", 1.0, card={"title": EVIL}, result={"note": "x\n\\input{/etc/passwd}"})
    ])  # fmt: skip
    text = render(made, "latex")
    body = [line for line in text.splitlines() if not line.startswith("%")]
    assert sum(line.count(r"\end{table}") for line in body) == 1
    assert not any(r"\input" in line for line in body)
    assert escape(EVIL) == (
        r"50\% \_x\textasciicircum{} \textbackslash{}end\{table\} \{\$\&\#\textasciitilde{}"
        r"\textless{}b\textgreater{}\textbar{}''"
    )
    assert render([], "latex") == "% No runs yet.\n"


def test_the_hubs_own_loader_reads_the_model_index() -> None:
    metrics = {
        "psnr": result(float("inf")),
        "ssim": result(0.625, low=0.5, high=0.75, label="SSIM", unit="", note="a: b # c"),
        "fid": result(None, unavailable="no weights"),
    }
    made = [
        record("m", card={"title": "M: 'é' *"}, metrics=metrics, bits_per_image=448.0),
        record("m", card={"title": "M: 'é' *"}, suite=suite(name="other-16", kind="generation"),
               metrics={"ssim": metrics["ssim"]}, number=2),
    ]  # fmt: skip
    text = render(boards(made), "model-index")
    card = ModelCard(f"---\n{text}---\n# A model\n")
    assert isinstance(card.data, ModelCardData)
    assert card.data.model_name == "M: 'é' *"
    found = {r.dataset_name: r for r in card.data.eval_results or []}
    assert set(found) == {"tiny-16 v1", "other-16 v1"}
    first = found["tiny-16 v1"]
    assert (first.task_type, first.metric_type, first.metric_value) == (
        "image-to-image", "ssim", 0.625,
    )  # fmt: skip
    assert first.dataset_revision == "d" * 64
    assert first.metric_args == {
        "n": 10, "signature": "psnr|n:10|v1", "low": 0.5, "high": 0.75, "note": "a: b # c",
        "bits_per_image": 448.0, "layton_bench": "0.1.0",
    }  # fmt: skip
    assert found["other-16 v1"].task_type == "text-to-image"
    # and a card that is written anew holds the same
    assert yaml.safe_load(card.data.to_yaml()) == yaml.safe_load(text)


def test_a_model_index_is_of_one_model_with_a_value() -> None:
    with pytest.raises(UserError, match=r"a model card is about one model, these are 2"):
        render(boards([record("a"), record("b", number=2)]), "model-index")
    with pytest.raises(UserError, match="these are 0"):
        render([], "model-index")
    with pytest.raises(UserError, match="no value is finite"):
        render(boards([scored("a", None)]), "model-index")


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

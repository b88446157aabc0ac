import pytest
from board_cases import BIAS, FID, USAGE, psnr, rows
from fakes import record, result

from layton_bench.leaderboard.as_markdown import to_markdown
from layton_bench.leaderboard.board import boards


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
        "| Rank | Model | bits/image | PSNR (dB) ↑ | rFID ↓ |\n"
        "|:---|:---|---:|---:|---:|\n"
        "| 1= | avif | 3,600 | **28.50** | 14.00 |\n"
        "| 1= | webp | 3,584 | 27.26 [26.00, 28.50] | **12.50** |\n"
        "\n"
        "Ranked by PSNR (dB). Models whose 95 % intervals overlap may share a rank (=).\n"
        "\n"
        "- `psnr|n:10|v1`\n"
        "- `rfid|n:10|v1`\n"
    )


@pytest.mark.parametrize(
    ("changes", "best"),
    [({}, "c"), (FID, "a"), (BIAS, "b"), (USAGE, None)],
)
def test_the_best_depends_on_the_direction(changes: dict[str, str], best: str | None) -> None:
    values = {"a": -3.0, "b": 0.5, "c": 2.0}
    made = [psnr(n, v, i, result=changes) for i, (n, v) in enumerate(values.items(), start=1)]
    bold = [row[1] for row in rows(to_markdown(boards(made)))[1:] if row[3].startswith("**")]
    assert bold == ([best] if best else [])


def test_the_arrow_says_which_way_is_better() -> None:
    metrics = {
        "psnr": result(), "fid": result(**FID), "bias": result(**BIAS), "usage": result(**USAGE),
    }  # fmt: skip
    assert rows(to_markdown(boards([record(metrics=metrics)])))[0] == [
        "Rank", "Model", "bits/image", "PSNR (dB) ↑", "rFID ↓", "Bias →0", "Usage (%)",
    ]  # fmt: skip


def test_what_looks_equal_is_equally_good() -> None:
    made = [psnr("a", 30.001, 1), psnr("b", 30.004, 2), psnr("c", 29.9, 3)]
    assert [row[3] for row in rows(to_markdown(boards(made)))[1:]] == [
        "**30.00**", "**30.00**", "29.90",
    ]  # fmt: skip
    made = [psnr("a", 0.5, 1, result=BIAS), psnr("b", -0.5, 2, result=BIAS)]
    assert [row[3] for row in rows(to_markdown(boards(made)))[1:]] == ["**0.50**", "**-0.50**"]


def test_a_single_value_is_not_the_best_of_anything() -> None:
    assert "**" not in to_markdown(boards([psnr("a", 30.0)]))
    assert "**" not in to_markdown(boards([psnr("a", 30.0), psnr("b", None, 2)]))


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

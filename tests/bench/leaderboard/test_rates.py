from board_cases import one, rated
from fakes import record, suite

from layton_bench.leaderboard.rates import on_front, rate_markdown, rate_rows, rate_table


def test_the_front_keeps_equals_and_drops_what_is_beaten() -> None:
    points = [(1.0, 5.0), (2.0, 5.0), (2.0, 3.0), (3.0, 3.0), (3.0, 1.0), (3.0, 1.0)]
    assert on_front(points) == [True, False, True, False, True, True]
    assert on_front([]) == []


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

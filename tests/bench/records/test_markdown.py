import pytest

from layton_bench.records.markdown import code, escape, table


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("webp@448B", "webp@448B"),
        ("Layton-H*", r"Layton-H\*"),
        ("a|b", r"a\|b"),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("&lt;", "&amp;lt;"),
        ("[x](javascript:alert(1))", r"\[x\](javascript:alert(1))"),
        ("![x](http://y)", r"!\[x\](http://y)"),
        ("`rm`", r"\`rm\`"),
        ("~~no~~ __no__", r"\~\~no\~\~ \_\_no\_\_"),
        ("two\nlines\r\n| and a row |", r"two lines \| and a row \|"),
        (r"back\slash", r"back\\slash"),
    ],
)
def test_names_are_shown_and_never_act(text: str, shown: str) -> None:
    assert escape(text) == shown


def test_code_cannot_be_left() -> None:
    assert code("psnr|n:5\n`x") == "`psnr|n:5 'x`"


def test_a_table_aligns_texts_left_and_numbers_right() -> None:
    assert table(["a", "b", "c"], [["1", "2", "3"], ["4", "5", "6"]], texts=2) == (
        "| a | b | c |\n|:---|:---|---:|\n| 1 | 2 | 3 |\n| 4 | 5 | 6 |"
    )

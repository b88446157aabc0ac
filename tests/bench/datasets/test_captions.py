import pytest

from layton_bench.datasets.captions import captions_of, encodable


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a ball", ("a ball",)),
        (" a ball\n", (" a ball\n",)),
        ("\ufeffa ball", ("a ball",)),
        ("", ()),
        (" \t\u2028", ()),
        ("\ufeff", ()),
        (None, ()),
        (3, ()),
        (float("nan"), ()),
        (True, ()),
        (["a", None, " ", "b", 3], ("a", "b")),
        ([["a"], [["b"]]], ("a", "b")),
        ({"raw": "a", "tokens": ["x"]}, ("a",)),
        ([{"raw": "a"}, {"text": "b"}, {}], ("a", "b")),
        ({"prompt": None, "text": "b"}, ("b",)),
        (b"bytes", ()),
    ],
)
def test_captions_of_anything(value, expected):
    assert captions_of(value) == expected


def test_every_text_can_be_written():
    assert encodable("a \ud83d b") == "a \ufffd b"
    assert encodable("😀 é") == "😀 é"
    assert encodable("\ud83d\ude00") == "😀"

import unicodedata

import pytest

from layton_bench.datasets.layouts.names import (
    and_more,
    left_out_notes,
    natural_key,
    readable,
    stem_of,
    unique_keys,
)


@pytest.mark.parametrize("text", ["plain", "é", "Ünïcode", "한글", "ﬁ", "日本"])
def test_one_spelling(text):
    composed = unicodedata.normalize("NFC", text)
    parts = unicodedata.normalize("NFD", text)
    assert readable(composed) == readable(parts) == composed


def test_bytes_of_another_encoding_can_be_written():
    name = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    assert readable(name) == "caf%E9.png"
    assert readable("\ud83d") == "%uD83D"
    assert readable(name).encode() == b"caf%E9.png"


def test_natural_order_is_total_and_stable():
    names = ["a1", "a01", "a001", "1a", "a", "a1b", "a10", "a2", "é", "01", "1"]
    ordered = sorted(names, key=natural_key)
    names.reverse()
    assert ordered == sorted(names, key=natural_key)
    assert ordered.index("a2") < ordered.index("a10")


def test_numbers_of_any_length_are_in_order():
    names = [f"x{'1' * digits}" for digits in (6000, 5000, 7, 3)] + ["x0", "x000002"]
    assert sorted(names, key=natural_key) == [
        "x0", "x000002", "x111", "x1111111", "x" + "1" * 5000, "x" + "1" * 6000,
    ]  # fmt: skip


def test_keys_have_no_extension_unless_they_need_it():
    paths = ["a/1.png", "a/2.png", "a/2.jpg", "b.c.png"]
    keys, notes = unique_keys(paths)
    assert keys == ["a/1", "a/2.png", "a/2.jpg", "b.c"]
    assert notes == ("several files are named a/2: each keeps its extension",)


def test_two_spellings_of_one_name_in_one_folder_stay_two_samples():
    paths = ["caf\u00e9.png", "cafe\u0301.png", "x.png"]
    keys, notes = unique_keys(paths)
    assert keys == ["caf%C3%A9.png", "cafe%CC%81.png", "x"]
    assert len(notes) == 1


def test_the_stem_of_a_path():
    assert stem_of("d/cafe\u0301.v2.png") == "d/caf\u00e9.v2"


def test_sentences_about_many_files_are_short():
    left_out = {f"{number}.png": "why" for number in range(1200)} | {"x.png": "another reason"}
    assert left_out_notes("a.tar", left_out) == [
        "a.tar: 0.png and 1,199 more left out: why",
        "a.tar: x.png left out: another reason",
    ]
    assert and_more(["a"]) == "a"

"""Caption cleaning: the official results on every recorded case, and no crash on any text."""

import json

import pytest
from hypothesis import given, settings, strategies as st
from places import GOLDEN

from layton.generator.captions import clean_caption

CLEANED = json.loads((GOLDEN / "caption_cleaning.json").read_text())


@pytest.mark.parametrize("item", CLEANED["items"], ids=lambda item: item["raw"][:30])
def test_cleaning_equals_the_official_code(item):
    assert clean_caption(item["raw"]) == item["cleaned"]


def test_the_recorded_cases_are_all_here(shared):
    recorded = json.loads((shared / "parity/golden/caption_cleaning.json").read_text())
    assert recorded["items"] == CLEANED["items"]


def test_cjk_ranges_and_dashes_one_by_one():
    kept = "\u31bf\ua000"  # just outside the removed block
    removed = "\u31c0\u31ef\u31f0\u31ff\u3200\u33ff\u3400\u4dbf\u4dc0\u4dff\u4e00\u9fff"
    assert clean_caption(f"a{removed}b {kept}") == f"ab {kept}"
    for dash in "\u058a\u05be\u1400\u1806\u2010\u2015\u2e3b\u301c\u30a0\ufe63\uff0d":
        assert clean_caption(f"red{dash}blue") == "red-blue", hex(ord(dash))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
def test_any_text_cleans_to_lower_case_without_markup(text):
    cleaned = clean_caption(text)
    assert cleaned == cleaned.strip()
    assert "@" not in cleaned
    assert not any("\u4e00" <= character <= "\u9fff" for character in cleaned)

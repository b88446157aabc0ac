"""Text and faces: hand-worked cases with stand-in readers, and the real OCR where installed."""

from __future__ import annotations

import string
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from layton_bench.metrics.base import MetricContext
from layton_bench.metrics.features import FeatureRunner
from layton_bench.metrics.pairs import legibility
from layton_bench.metrics.pairs.legibility import (
    LinePair,
    character_score,
    cut_line,
    edit_distance,
    edit_score,
)
from layton_bench.metrics.pairs.regions import RatioMetric
from layton_bench.types import ScoredBatch

TEXTS = st.text(alphabet=string.ascii_letters[:4], max_size=8)


@pytest.mark.parametrize(
    ("first", "second", "edits"),
    [
        ("kitten", "sitting", 3),
        ("", "abc", 3),
        ("abc", "", 3),
        ("same", "same", 0),
        ("ab", "ba", 2),
    ],
)
def test_edit_distance(first: str, second: str, edits: int) -> None:
    assert edit_distance(first, second) == edits


@given(TEXTS, TEXTS, TEXTS)
def test_edit_distance_is_a_metric(a: str, b: str, c: str) -> None:
    assert edit_distance(a, b) == edit_distance(b, a)
    assert (edit_distance(a, b) == 0) == (a == b)
    assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)
    assert abs(len(a) - len(b)) <= edit_distance(a, b) <= max(len(a), len(b))


def test_scores_by_hand() -> None:
    pairs = [LinePair("kitten", "sitting"), LinePair("ab", "xyzxyz"), LinePair("ok", "ok")]
    # 3 of 6 and min(6, 2) of 2 lost: 5 of 10 kept; 3/7 + 6/6 + 0/2 over 3 lines
    assert character_score(pairs) == (5, 10)
    total, lines = edit_score(pairs)
    assert (total, lines) == (pytest.approx(3 / 7 + 1), 3)
    assert character_score([]) == (0, 0)


def picture(lines: dict[str, tuple[int, int]], size: int = 28) -> Image.Image:
    image = Image.new("RGB", (320, 200), "white")
    for text, place in lines.items():
        ImageDraw.Draw(image).text(place, text, fill="black", font=ImageFont.load_default(size))
    return image


def batch(originals: list[Image.Image], others: list[Image.Image]) -> ScoredBatch:
    stacks = [
        torch.stack([torch.from_numpy(np.array(i)).permute(2, 0, 1) for i in images])
        for images in (others, originals)
    ]
    keys = tuple(f"{i}" for i in range(len(originals)))
    return ScoredBatch(keys=keys, candidates=stacks[0], references=stacks[1])


def ocr_metrics() -> dict[str, RatioMetric]:
    pytest.importorskip("rapidocr")
    context = MetricContext(features=FeatureRunner({}, Path))
    return {spec.name: spec.make(context) for spec in legibility.SPECS}


@pytest.mark.filterwarnings("ignore")  # rapidocr's dependencies
def test_real_ocr_reads_what_is_written_and_misses_what_is_blurred() -> None:
    metrics = ocr_metrics()
    clear = picture({"Hello World": (20, 30), "TOKENS 42": (20, 120)})
    empty = Image.new("RGB", (320, 200), "white")
    blurred = clear.filter(ImageFilter.GaussianBlur(8))
    half = picture({"Hello World": (20, 30)})  # the second line is gone
    for metric in metrics.values():
        metric.update(batch([clear, clear, clear, empty], [clear, blurred, half, clear]))
    accuracy = metrics["text-accuracy"].per_sample()["text-accuracy"]
    distance = metrics["text-edit-distance"].per_sample()["text-edit-distance"]
    assert accuracy["0"] == 1 and distance["0"] == 0
    assert accuracy["1"] < 0.3 and distance["1"] > 0.7
    assert accuracy["2"] == pytest.approx(11 / 20) and distance["2"] == pytest.approx(0.5)
    assert "3" not in accuracy  # nothing to read on the original
    value = metrics["text-accuracy"].compute()
    assert value.n == 3 and value.note == "lines of text in 3 of 4 images"
    assert value.low <= value.value <= value.high
    assert value.value == pytest.approx(np.mean(list(accuracy.values())))  # equal weights here


@pytest.mark.filterwarnings("ignore")
def test_no_text_at_all_gives_a_reason() -> None:
    metric = ocr_metrics()["text-accuracy"]
    empty = Image.new("RGB", (160, 160), "grey")
    metric.update(batch([empty], [empty]))
    value = metric.compute()
    assert (value.value, value.note) == (None, "no lines of text in 1 images")


@pytest.mark.filterwarnings("ignore")
def test_the_reader_reads_what_rapidocr_reads_by_itself() -> None:
    pytest.importorskip("rapidocr")
    reader = legibility.RapidOcr()
    image = picture({"Hello World": (20, 30), "TOKENS 42": (20, 120)})
    whole = reader._engine(legibility._bgr(image), use_det=True, use_cls=True, use_rec=True)
    lines = [reader.read(cut_line(image, quad))[0] for quad in reader.find(image)]
    assert lines == list(whole.txts) == ["Hello World", "TOKENS 42"]


def test_a_quadrilateral_is_cut_upright() -> None:
    pixels = np.zeros((60, 80, 3), np.uint8)
    pixels[20:30, 10:50] = (200, 100, 50)
    quad = np.array([(10, 20), (50, 20), (50, 30), (10, 30)], np.float32)
    line = cut_line(Image.fromarray(pixels), quad)
    assert line.size == (40, 10) and (np.array(line) == (200, 100, 50)).all()
    turned = Image.fromarray(np.rot90(pixels, -1).copy())  # the same line, now downwards
    down = np.array([(60 - 30, 10), (60 - 20, 10), (60 - 20, 50), (60 - 30, 50)], np.float32)
    assert cut_line(turned, down).size == (40, 10)

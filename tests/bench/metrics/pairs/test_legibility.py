"""Text and faces: hand-worked cases with stand-in readers, and the real OCR where installed."""

from __future__ import annotations

import string
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from seeded_weights import seeded

from layton_bench.intervals import mean_interval
from layton_bench.metrics.base import MetricContext
from layton_bench.metrics.features import FeatureRunner
from layton_bench.metrics.pairs import faces, legibility
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


def test_ratio_metric_merges_and_is_reproducible() -> None:
    rng = np.random.default_rng(0)
    scores = {f"{i:02}": (float(rng.random()), float(rng.integers(0, 3))) for i in range(30)}

    def score(b: ScoredBatch) -> list[tuple[float, float]]:
        return [scores[key] for key in b.keys]

    def make(keys: list[str]) -> RatioMetric:
        metric = RatioMetric("r", score, parts="things")
        metric.update(ScoredBatch(keys=tuple(keys), candidates=torch.zeros(len(keys), 3, 1, 1)))
        return metric

    keys = sorted(scores)
    whole, left, right = make(keys), make(keys[20:]), make(keys[:20][::-1])
    restored = make([])
    restored.load_state(left.state())
    restored.merge(right)
    assert restored.compute() == whole.compute()
    used = [pair for pair in scores.values() if pair[1] > 0]
    wanted = sum(p for p, _ in used) / sum(w for _, w in used)
    assert whole.compute().value == pytest.approx(wanted, rel=1e-12)


def test_the_interval_of_a_ratio_is_that_of_a_mean_where_weights_are_equal_and_holds_else() -> None:
    rng = np.random.default_rng(1)

    def interval(parts: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
        metric = RatioMetric("r", lambda b: [], parts="things")
        names = np.array([f"{i:02}" for i in range(len(parts))])
        metric.load_state({"keys": names, "pairs": np.stack([parts, weights], axis=1)})
        value = metric.compute()
        return value.low, value.high

    parts = rng.random(8)
    assert interval(3 * parts, np.full(8, 3.0)) == pytest.approx(mean_interval(parts))
    covered = 0
    for _ in range(500):  # characters read rightly in 10 images of 1 to 11 characters each
        weights = rng.integers(1, 12, 10)
        low, high = interval(rng.binomial(weights, rng.beta(4, 1, 10)), weights)
        covered += low <= 0.8 <= high
    assert covered >= 0.93 * 500  # resampled images: 88 %


# faces


def landmarks(scale: float, angle: float, shift: tuple[float, float]) -> np.ndarray:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (faces._TEMPLATE @ turn.T * scale + shift).astype(np.float32)


@pytest.mark.parametrize(("scale", "angle"), [(1.0, 0.0), (1.5, 0.0), (2.0, 0.4), (0.8, -0.7)])
def test_alignment_undoes_a_similarity(scale: float, angle: float) -> None:
    """A smooth pattern drawn in the template's frame, seen through a similarity, comes back."""
    shift = (130.0, 90.0)
    y, x = np.mgrid[0:400, 0:400] + 0.5
    c, s = np.cos(-angle) / scale, np.sin(-angle) / scale
    u, v = c * (x - shift[0]) - s * (y - shift[1]), s * (x - shift[0]) + c * (y - shift[1])
    seen = 127 + 60 * np.sin(u / 15) + 60 * np.cos(v / 20)
    image = Image.fromarray(np.repeat(seen[..., None], 3, axis=2).astype(np.uint8))
    found = np.array(faces.align(image, landmarks(scale, angle, shift)), np.float64)[..., 0]
    ty, tx = np.mgrid[0:112, 0:112] + 0.5
    wanted = 127 + 60 * np.sin(tx / 15) + 60 * np.cos(ty / 20)
    assert np.abs(found - wanted)[8:-8, 8:-8].max() < 3


class Reader:
    """Finds one face where the image is bright; embeds the mean colour of a face."""

    def find(self, image: Image.Image) -> list[np.ndarray]:
        return [landmarks(1, 0, (0, 0))] if np.mean(np.array(image)) > 50 else []

    def embed(self, found: list[Image.Image]) -> np.ndarray:
        return np.array([np.array(face).reshape(-1, 3).mean(0) for face in found])


def test_face_similarity_by_hand() -> None:
    def plain(colour: tuple[int, int, int]) -> Image.Image:
        return Image.new("RGB", (112, 112), colour)

    pairs = [
        (plain((200, 0, 0)), plain((100, 0, 0))),  # the same direction: 1
        (plain((200, 200, 0)), plain((200, 0, 0))),  # 45°
        (plain((9, 9, 9)), plain((200, 0, 0))),  # no face on the original
    ]
    scores = [faces.compare_faces(Reader(), *pair) for pair in pairs]
    assert [weight for _, weight in scores] == [1, 1, 0]
    assert scores[0][0] == pytest.approx(1) and scores[1][0] == pytest.approx(0.5**0.5, abs=1e-6)


@pytest.mark.filterwarnings("ignore")  # facexlib calls torchvision by deprecated names
def test_arcface_is_loaded_from_files_and_embeds(tmp_path: Path) -> None:
    pytest.importorskip("facexlib")
    from facexlib.detection.retinaface import RetinaFace
    from facexlib.recognition.arcface_arch import Backbone

    with torch.device("meta"):
        embedder = Backbone(num_layers=50, drop_ratio=0.6, mode="ir_se")
    detector = RetinaFace(network_name="resnet50", device="cpu").state_dict()
    torch.save({f"module.{k}": v for k, v in detector.items()}, tmp_path / "d.pth")
    shapes = {name: tuple(v.shape) for name, v in embedder.state_dict().items()}
    torch.save(seeded(shapes), tmp_path / "e.pth")
    reader = faces.ArcFace(tmp_path / "d.pth", tmp_path / "e.pth", device="cpu")
    rng = np.random.default_rng(0)
    found = [Image.fromarray(rng.integers(0, 256, (112, 112, 3), dtype=np.uint8)) for _ in range(2)]
    embeddings = reader.embed([found[0], found[1], found[0]])
    assert embeddings.shape == (3, 512) and np.isfinite(embeddings).all()
    np.testing.assert_allclose(embeddings[0], embeddings[2], rtol=1e-4, atol=1e-6)
    assert np.abs(embeddings[0] - embeddings[1]).max() > 1e-3
    assert isinstance(reader.find(found[0]), list)  # random weights find nothing meaningful

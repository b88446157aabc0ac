"""Legibility of text: OCR on the original against OCR on the reconstruction.

Lines are found on the original. Each line's quadrilateral is cut from both images and read by the
same recogniser (rapidocr, whose models are in its package). The text read on the original is taken
as the truth, so an unchanged image scores exactly 1.

    text-accuracy        1 − Σ min(edits, characters) / Σ characters of the original
    text-edit-distance   mean over lines of edits / length of the longer reading

Edits are insertions, deletions and substitutions (Levenshtein 1965). Runs of white space count as
one space; upper and lower case differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image

from layton_bench.metrics.base import Direction, MetricContext, MetricSpec
from layton_bench.metrics.pairs.regions import RatioMetric

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layton_bench.types import ScoredBatch

    Quad = NDArray[np.float32]

# A line that the recogniser doubts on the original cannot serve as the truth.
_MIN_CONFIDENCE = 0.5


class TextReader(Protocol):
    """Finds lines of text and reads them."""

    def find(self, image: Image.Image) -> Sequence[Quad]:
        """Return corners of each line, (4, 2) in pixels, clockwise from the text's top left."""

    def read(self, line: Image.Image) -> tuple[str, float]:
        """Return the text of one upright line, and the confidence, 0..1."""


@dataclass(frozen=True, slots=True)
class LinePair:
    """One line of text as read on both images."""

    original: str
    reconstruction: str

    @property
    def edits(self) -> int:
        """The smallest number of insertions, deletions and substitutions between both texts."""
        return edit_distance(self.original, self.reconstruction)


def edit_distance(first: str, second: str) -> int:
    """Return the Levenshtein distance of two strings."""
    previous = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        current = [i]
        for j, b in enumerate(second, 1):
            current.append(min(previous[j] + 1, current[-1] + 1, previous[j - 1] + (a != b)))
        previous = current
    return previous[-1]


def read_pairs(
    reader: TextReader, original: Image.Image, reconstruction: Image.Image
) -> list[LinePair]:
    """Read each line that is legible on the original, on both images."""
    pairs = []
    for quad in reader.find(original):
        text, confidence = reader.read(cut_line(original, quad))
        if confidence >= _MIN_CONFIDENCE and _tidy(text):
            other, _ = reader.read(cut_line(reconstruction, quad))
            pairs.append(LinePair(_tidy(text), _tidy(other)))
    return pairs


def cut_line(image: Image.Image, quad: Quad) -> Image.Image:
    """Cut a line's quadrilateral as an upright rectangle. Tall ones are turned by 90°."""
    corners = np.asarray(quad, np.float64)
    sides = np.linalg.norm(corners - np.roll(corners, -1, axis=0), axis=1)
    width, height = (max(1, round(float(max(sides[k], sides[k + 2])))) for k in (0, 1))
    top_left, top_right, bottom_right, bottom_left = corners
    data = [*top_left, *bottom_left, *bottom_right, *top_right]
    line = image.transform(
        (width, height), Image.Transform.QUAD, data=data, resample=Image.Resampling.BICUBIC
    )
    return line.rotate(90, expand=True) if height >= 1.5 * width else line


def character_score(pairs: Sequence[LinePair]) -> tuple[float, float]:
    """Return the number of characters still read, and of all characters."""
    total = sum(len(pair.original) for pair in pairs)
    lost = sum(min(pair.edits, len(pair.original)) for pair in pairs)
    return float(total - lost), float(total)


def edit_score(pairs: Sequence[LinePair]) -> tuple[float, float]:
    """Return the sum of normalised edit distances, and the number of lines."""
    distances = (p.edits / max(len(p.original), len(p.reconstruction)) for p in pairs)
    return sum(distances), float(len(pairs))


class RapidOcr:
    """rapidocr with the models of its package."""

    def __init__(self) -> None:
        import logging

        from rapidocr import RapidOCR

        logging.getLogger("RapidOCR").setLevel(logging.ERROR)
        self._engine: Any = RapidOCR(params={"Global.log_level": "error"})

    def find(self, image: Image.Image) -> Sequence[Quad]:
        """Return corners of each line; see ``TextReader``."""
        found = self._engine(_bgr(image), use_det=True, use_cls=False, use_rec=False)
        return [] if found.boxes is None else list(found.boxes)

    def read(self, line: Image.Image) -> tuple[str, float]:
        """Return the text of one line and the confidence; see ``TextReader``."""
        found = self._engine(_bgr(line), use_det=False, use_cls=False, use_rec=True)
        if not found.txts:
            return "", 0.0
        return str(found.txts[0]), float(found.scores[0])


def _bgr(image: Image.Image) -> NDArray[np.uint8]:
    return np.ascontiguousarray(np.asarray(image)[:, :, ::-1])


def _tidy(text: str) -> str:
    return " ".join(text.split())


def _score(batch: ScoredBatch, *, reader: TextReader, name: str) -> list[tuple[float, float]]:
    pairs = batch.shared(("text lines", id(reader)), partial(_read_batch, batch, reader))
    score = character_score if name == "text-accuracy" else edit_score
    return [score(lines) for lines in pairs]


def _read_batch(batch: ScoredBatch, reader: TextReader) -> list[list[LinePair]]:
    originals, reconstructions = batch.paired_references(), batch.candidates
    return [
        read_pairs(reader, *(Image.fromarray(x.permute(1, 2, 0).cpu().numpy()) for x in pair))
        for pair in zip(originals, reconstructions, strict=True)
    ]


def _make(context: MetricContext, *, name: str) -> RatioMetric:
    reader = context.features.once("rapidocr", (), RapidOcr)
    score = partial(_score, reader=reader, name=name)
    return RatioMetric(name, score, parts="lines of text")


def _spec(name: str, label: str, direction: Direction, summary: str) -> MetricSpec:
    return MetricSpec(
        name=name, label=label, direction=direction, summary=summary, digits=4,
        requires={"rapidocr": "ocr", "onnxruntime": "ocr"}, needs=frozenset({"reference"}),
        signature={"ocr": "rapidocr", "boxes": "original"}, make=partial(_make, name=name),
    )  # fmt: skip


SPECS = (
    _spec(
        "text-accuracy",
        "text accuracy",
        "higher",
        "share of characters still read correctly",
    ),
    _spec("text-edit-distance", "text NED", "lower", "normalised edit distance of lines of text"),
)

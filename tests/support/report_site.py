"""A results folder whose every text is hostile, and its report, for the report's tests."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
from fakes import record, result
from PIL import Image

from layton_bench.records.folder import IMAGES
from layton_bench.records.record import RunRecord, SavedImage
from layton_bench.records.storing import store

EVIL = "<script>alert(1)</script>\"'&{{ 7*7 }}</script><img src=x onerror=alert(2)>"
KEYS = ("a", f"../../{EVIL}", "c")
SIDE = 32


def flat(level: int) -> Image.Image:
    return Image.fromarray(np.full((SIDE, SIDE, 3), level, dtype=np.uint8))


def add_run(results: Path, made: RunRecord, values: list[float], kept: dict[str, str]) -> Path:
    """Store a run with flat pictures; ``kept`` maps a key to its rank. Returns its folder."""

    def save(folder: Path) -> tuple[SavedImage, ...]:
        (folder / IMAGES).mkdir()
        saved = []
        for key, rank in kept.items():
            level = 40 * (1 + KEYS.index(key))
            name = rank or f"sample-{KEYS.index(key)}"
            flat(level).save(folder / IMAGES / f"{name}-reference.png")
            flat(level + made.model.name.__len__()).save(folder / IMAGES / f"{name}-candidate.png")
            saved.append(SavedImage(
                key=key, rank=rank, reference=f"{name}-reference.png",
                candidate=f"{name}-candidate.png",
            ))  # fmt: skip
        return tuple(saved)

    samples = pd.DataFrame({"key": KEYS, "psnr": values})
    return store(results, made, samples, save).folder


def hostile_results(results: Path) -> Path:
    """Three models of three samples: one with an evil title, one infinite, one without pictures."""
    ssim = {"label": "SSIM", "unit": "", "signature": "ssim|n:10|v1", "digits": 3}
    evil = record(
        "good", number=1, card={"title": EVIL, "family": EVIL, "notes": EVIL},
        bits_per_image=3584.0, command=("layton-bench", "run", "--out", "/home/someone/secret/out"),
        metrics={
            "psnr": result(30.0, low=29.0, high=31.0, note=EVIL, label="PSNR"),
            "ssim": result(0.9, **ssim),
        },
    )  # fmt: skip
    plain = record(
        "plain", number=2, bits_per_image=512.0,
        metrics={"psnr": result(9.5, low=9.0, high=10.0), "ssim": result(0.95, **ssim)},
    )  # fmt: skip
    exact = record(
        "exact", number=3, bits_per_image=8192.0,
        metrics={"psnr": result(float("inf")), "ssim": result(None, **ssim)},
    )  # fmt: skip
    add_run(results, evil, [30.0, 31.0, 29.0], {KEYS[2]: "worst-1", KEYS[1]: "best-1"})
    add_run(results, plain, [9.0, 10.0, 9.5], {KEYS[0]: "worst-1", KEYS[2]: "worst-2"})
    add_run(results, exact, [float("inf")] * 3, {})
    (results / "reported.csv").write_text(
        "model,suite,metric,value,source,protocol,note\n"
        f'x,tiny-16,rfid,2.5,"{EVIL.replace(chr(34), chr(34) * 2)}",,\n',
        encoding="utf-8",
    )
    return results


VOID = {"meta", "link", "img", "input", "br", "hr", "line", "path", "circle"}


class Page(HTMLParser):
    """A page's elements and texts; checks that every tag is closed in order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        assert self._open in ([], ["li"], ["html"]), self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def pages(site: Path) -> dict[str, Page]:
    return {path.name: Page(path) for path in sorted(site.glob("*.html"))}


def kept_run(results: Path) -> Path:
    made = record("plain", metrics={"psnr": result(9.5)})
    return add_run(results, made, [9.0, 10.0, 9.5], {"a": "worst-1", "c": "worst-2"})

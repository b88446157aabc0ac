"""What the fixtures of conftest.py give: a command line, small pictures, installed plugins."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from layton_bench.records.record import RunRecord


@dataclass(frozen=True)
class Outcome:
    """What a command line did."""

    code: int
    out: str
    err: str
    records: list[RunRecord]


@dataclass(frozen=True)
class Bench:
    """A small data root and results folder, and the command line run in this process."""

    data: Path
    results: Path
    run_command: Callable[[list[str]], Outcome]

    def __call__(self, *words: str | Path) -> Outcome:
        """Run ``layton-bench WORDS``; the records are those now in the results folder."""
        return self.run_command([str(word) for word in words])


@dataclass(frozen=True)
class Site:
    """A folder on ``sys.path`` in which tests install plugins, as pip would have left them."""

    folder: Path

    def module(self, name: str, source: str) -> Path:
        """A module without a distribution."""
        path = self.folder / f"{name}.py"
        path.write_text(textwrap.dedent(source), encoding="utf-8")
        return path

    def plugin(self, name: str, source: str, *, point: str | None = None) -> Path:
        """A module and a distribution ``dist-NAME`` 1.2 whose entry point is called NAME."""
        info = self.folder / f"dist_{name}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dist-{name}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[layton_bench]\n{name} = {point or name}\n")
        return self.module(name, source)


@dataclass(frozen=True)
class Lab:
    """Pictures in ``data/lab`` and the command line with the plugin lab_plugin.py.

    Its suite is lab-64; its models are named there.
    """

    bench: Bench
    pictures: Path

    def add(self, count: int, *, start: int = 0) -> None:
        """Pictures 000.png, 001.png …"""
        for number in range(start, start + count):
            path = self.pictures / f"{number:03d}.png"
            path.write_bytes(file_bytes(picture(number, (96, 80))))

    def add_bad(self, name: str = "bad") -> None:
        """The picture that the lab's faulty models fail on: flat, of grey level 77."""
        flat = Image.new("RGB", (64, 64), (77, 77, 77))
        (self.pictures / f"{name}.png").write_bytes(file_bytes(flat))

    def words(self, *models: str) -> list[str]:
        """The command line that runs models on the lab's suite."""
        plugin = Path(__file__).with_name("lab_plugin.py")
        words = ["--plugin", str(plugin), "run", "--suite", "lab-64", "--device", "cpu"]
        words += ["--data-root", str(self.bench.data), "--out", str(self.bench.results)]
        return words + [word for model in models for word in ("--model", model)]

    def run(self, *models: str, more: str = "") -> Outcome:
        """Run models; ``more`` words follow."""
        return self.bench(*self.words(*models), *more.split())


def picture(seed: int, size: tuple[int, int] = (320, 288)) -> Image.Image:
    """A seeded RGB picture with smooth areas, edges and texture; ``size`` is (width, height)."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 7, 3), dtype=np.uint8))
    pixels = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC)).astype(np.int16)
    height, width = pixels.shape[:2]
    pixels[height // 3 : height // 2, width // 4 : width // 2] = rng.integers(0, 256, 3)
    pixels = pixels + rng.integers(-12, 13, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def file_bytes(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    """An image file in memory."""
    buffer = io.BytesIO()
    image.save(buffer, format=form, **options)
    return buffer.getvalue()

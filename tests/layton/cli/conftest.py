"""`layton` in process, a small model, and some pictures."""

import sys

import numpy as np
import pytest
from PIL import Image

from layton.cli import main


@pytest.fixture
def layton(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["layton", *map(str, arguments)])
        with pytest.raises(SystemExit) as exited:
            main()
        captured = capsys.readouterr()
        return exited.value.code, captured.out, captured.err

    return run


@pytest.fixture
def model(tiny_tokenizer, tmp_path):
    tiny_tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, size in [("a.png", (64, 64)), ("b.jpg", (100, 80)), ("more/a.png", (64, 96))]:
        pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    (folder / "notes.txt").write_text("no image")
    return folder

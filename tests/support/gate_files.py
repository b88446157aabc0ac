"""Files of gates that tests write."""

from pathlib import Path

WHOLE = """
[[gate]]
name = "a"
suite = "photos-256"
model = "jpeg-q10"
limit = 2
bounds.psnr = {{ min = {low} }}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "x.gates.toml"
    path.write_text(text, encoding="utf-8")
    return path

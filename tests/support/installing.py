"""Small networks installed under the names of published ones."""

from dataclasses import replace
from pathlib import Path

from layton_bench.weights import WEIGHTS, WeightsStore


def install_in_place_of(name: str, source: Path) -> Path:
    """Install files of a test under the name of a metric's weights, whose digests are let be."""
    entry = next(entry for entry in WEIGHTS if entry.name == name)
    files = tuple(replace(file, sha256=None, size_bytes=None) for file in entry.files)
    return WeightsStore({name: replace(entry, files=files)}).add(name, source)

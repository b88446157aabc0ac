"""The label files that go with a flat folder of ImageNet's validation images."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from layton_bench.errors import MissingDataError

LABEL_FILES = (
    "LOC_val_solution.csv",
    "val.txt",
    "val_map.txt",
    "val_labels.txt",
    "ILSVRC2012_val.txt",
    "imagenet_2012_validation_synset_labels.txt",
    "ILSVRC2012_validation_ground_truth.txt",
    "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt",
)
"""Looked for in this order, in each folder."""

_REMEDY = (
    "A label file has lines like 'ILSVRC2012_val_00000001.JPEG n01751748' (or a class index 0..999 "
    "in alphabetical order of wnid), or one wnid a line in the order of the images; the official "
    "ground truth needs the devkit's meta.mat beside it."
)
_PAIR = re.compile(r"(ILSVRC2012_val_\d{8})(?:\.JPEG)?[\s,]+(n\d{8}|\d+)\b.*")
_WNID = re.compile(r"n\d{8}")


def read_labels(folders: Sequence[Path], class_indices: Mapping[str, int]) -> dict[str, int] | None:
    """Key → class index from the first label file found, or None where there is none.

    Args:
        folders: where to look.
        class_indices: wnid → index.

    Raises:
        MissingDataError: the file has a line that cannot be understood.
    """
    for folder in folders:
        for name in LABEL_FILES:
            if (folder / name).is_file():
                return _Parser(folder / name, class_indices).labels()
    return None


class _Parser:
    def __init__(self, path: Path, class_indices: Mapping[str, int]) -> None:
        self._path = path
        self._class_indices = class_indices

    def labels(self) -> dict[str, int]:
        text = self._path.read_text(encoding="utf-8-sig", errors="replace")
        lines = [(n, line.strip()) for n, line in enumerate(text.splitlines(), start=1)]
        lines = [(n, line) for n, line in lines if line and not line.startswith("ImageId,")]
        if not lines:
            raise MissingDataError(str(self._path), "it has no lines", _REMEDY)
        if lines[0][1].isdecimal():
            return self._ground_truth(lines)
        if _WNID.fullmatch(lines[0][1]):
            return {_key(i): self._index(n, w) for i, (n, w) in enumerate(lines, start=1)}
        return dict(self._pair(n, line) for n, line in lines)

    def _pair(self, number: int, line: str) -> tuple[str, int]:
        match = _PAIR.fullmatch(line)
        if match is None:
            raise self._bad(number, line)
        return match[1], self._index(number, match[2])

    def _ground_truth(self, lines: Sequence[tuple[int, str]]) -> dict[str, int]:
        """The devkit's own numbers, 1..1000, whose wnids stand in its meta.mat."""
        wnids = _devkit_wnids(self._path.with_name("meta.mat"))
        labels = {}
        for position, (number, line) in enumerate(lines, start=1):
            if not line.isdecimal() or int(line) not in wnids:
                raise self._bad(number, line)
            labels[_key(position)] = self._index(number, wnids[int(line)])
        return labels

    def _index(self, number: int, label: str) -> int:
        if label in self._class_indices:
            return self._class_indices[label]
        if label.isdecimal() and int(label) < len(self._class_indices):
            return int(label)
        raise self._bad(number, label)

    def _bad(self, number: int, text: str) -> MissingDataError:
        return MissingDataError(
            str(self._path), f"line {number} cannot be understood: {text[:80]!r}", _REMEDY
        )


def _key(position: int) -> str:
    return f"ILSVRC2012_val_{position:08d}"


def _devkit_wnids(path: Path) -> dict[int, str]:
    """ILSVRC2012_ID → wnid of the devkit's table of synsets."""
    from scipy.io import loadmat

    try:
        synsets: Any = loadmat(path, squeeze_me=True)["synsets"]
        return {int(s["ILSVRC2012_ID"]): str(s["WNID"]) for s in synsets}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MissingDataError(
            str(path), f"it cannot be read as the devkit's meta.mat: {error}", _REMEDY
        ) from None

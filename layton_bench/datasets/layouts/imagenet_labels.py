"""The label files that go with a flat folder of ImageNet's validation images."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from layton_bench.errors import MissingDataError, UserError, reason_of
from layton_bench.machine import lines_of, read_text

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
_PAIR = re.compile(r"(?:\S*/)?(ILSVRC2012_val_\d{8})(?:\.[A-Za-z]+)?[\s,]+(n\d{8}|\d+)\b.*")
_NUMBER = re.compile(r"[0-9]{1,4}")
_WNID = re.compile(r"n\d{8}")


def read_labels(
    folders: Sequence[Path], class_indices: Mapping[str, int]
) -> tuple[dict[str, int] | None, tuple[str, ...]]:
    """Read the first label file that can be understood.

    Args:
        folders: where to look.
        class_indices: wnid → index.

    Returns:
        Key → class index, or None if there is no such file; and a sentence for each file that was
        tried in vain. Labels are optional, so no file of them stops a run.
    """
    problems: list[str] = []
    for path in (folder / name for folder in folders for name in LABEL_FILES):
        if not path.exists():
            continue
        try:
            return _Parser(path, class_indices).labels(), tuple(problems)
        except UserError as error:
            problems.append(f"labels are not used: {Path(error.thing).name}: {error.reason}")
    return None, tuple(problems)


class _Parser:
    def __init__(self, path: Path, class_indices: Mapping[str, int]) -> None:
        self._path = path
        self._class_indices = class_indices

    def labels(self) -> dict[str, int]:
        text = read_text(self._path)
        lines = [(n, line.strip()) for n, line in enumerate(lines_of(text), start=1)]
        lines = [(n, line) for n, line in lines if line and not line.startswith("ImageId,")]
        if not lines:
            raise MissingDataError(str(self._path), "it has no lines", _REMEDY)
        if _NUMBER.fullmatch(lines[0][1]):
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
        """Read the devkit's own numbers, 1..1000; their wnids are in its meta.mat."""
        wnids = _devkit_wnids(self._path.with_name("meta.mat"))
        labels = {}
        for position, (number, line) in enumerate(lines, start=1):
            if not _NUMBER.fullmatch(line) or int(line) not in wnids:
                raise self._bad(number, line)
            labels[_key(position)] = self._index(number, wnids[int(line)])
        return labels

    def _index(self, number: int, label: str) -> int:
        if label in self._class_indices:
            return self._class_indices[label]
        if _NUMBER.fullmatch(label) and int(label) < len(self._class_indices):
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
    except Exception as error:  # scipy's reader raises many kinds for damaged files
        reason = f"it cannot be read as the devkit's meta.mat: {reason_of(error)}"
        raise MissingDataError(str(path), reason, _REMEDY) from None

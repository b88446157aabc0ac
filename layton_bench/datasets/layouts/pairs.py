"""Two folders of images, paired by their paths below each folder without extensions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from layton_bench.datasets.layouts.folder import FileDataset, open_folder, repeated
from layton_bench.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """What pairs up, and what does not.

    Attributes:
        references, candidates: the paired files; the same keys in the same order.
        unpaired_references, unpaired_candidates: files without a counterpart, or with several.
        ambiguous: files that share their name with another of their folder, but for the extension;
            none of them is used.
    """

    references: FileDataset
    candidates: FileDataset
    unpaired_references: tuple[str, ...] = ()
    unpaired_candidates: tuple[str, ...] = ()
    ambiguous: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence for each kind of file that was left out."""
        kinds = (
            ("reference without a candidate", self.unpaired_references),
            ("candidate without a reference", self.unpaired_candidates),
            ("left out, as another file has the same name", self.ambiguous),
        )
        return tuple(f"{kind}: {path}" for kind, paths in kinds for path in paths)


def pair_folders(references: Path, candidates: Path) -> Pairs:
    """Pair ``a/b.png`` of one folder with ``a/b.jpg`` of the other.

    Raises:
        MissingDataError: a folder is missing or holds no image.
        UserError: no file pairs up.
    """
    left = open_folder(references)
    right = open_folder(candidates)
    left_by_key, left_ambiguous = _by_key(left)
    right_by_key, right_ambiguous = _by_key(right)
    keys = [key for key in left_by_key if key in right_by_key]
    if not keys:
        raise _nothing_pairs(left, right)
    return Pairs(
        references=_only(left, keys, left_by_key),
        candidates=_only(right, keys, right_by_key),
        unpaired_references=tuple(p for key, p in left_by_key.items() if key not in right_by_key),
        unpaired_candidates=tuple(p for key, p in right_by_key.items() if key not in left_by_key),
        ambiguous=tuple(
            f"{dataset.root.name}/{path}"
            for dataset, paths in ((left, left_ambiguous), (right, right_ambiguous))
            for path in paths
        ),
    )


def _key(path: str) -> str:
    return str(PurePosixPath(path).with_suffix(""))


def _by_key(dataset: FileDataset) -> tuple[dict[str, str], list[str]]:
    """Path by key, and the paths that share their key, which are in the first no more."""
    paths = [str(item.locator) for item in dataset.entries]
    twice = repeated(map(_key, paths))
    by_key = {_key(path): path for path in paths if _key(path) not in twice}
    return by_key, [path for path in paths if _key(path) in twice]


def _only(dataset: FileDataset, keys: Sequence[str], paths: dict[str, str]) -> FileDataset:
    by_path = {item.locator: item for item in dataset.entries}
    entries = tuple(replace(by_path[paths[key]], key=key) for key in keys)
    return replace(dataset, entries=entries, notes=())


def _nothing_pairs(left: FileDataset, right: FileDataset) -> UserError:
    first, second = left.entries[0].locator, right.entries[0].locator
    stems = ({PurePosixPath(str(i.locator)).stem for i in d.entries} for d in (left, right))
    hint = "Names without extensions must be equal, subfolders included."
    if set.intersection(*stems):
        hint += " Some names are, but lie in different subfolders."
    return UserError(
        f"{left.root} and {right.root}",
        f"no file of one has its counterpart in the other (for instance {first} and {second})",
        hint,
    )

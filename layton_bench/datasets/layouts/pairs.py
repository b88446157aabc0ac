"""Two sets of images, paired by their names without extensions: folders, archives or tables."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from layton_bench.datasets.layouts.any import ImageDataset, open_images
from layton_bench.datasets.layouts.folder import FileDataset
from layton_bench.datasets.layouts.names import repeated, stem_of
from layton_bench.errors import UserError
from layton_bench.types import Item


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """What pairs up, and what does not.

    Attributes:
        references, candidates: the paired images; the same keys in the same order.
        unpaired_references, unpaired_candidates: images without a counterpart, or with several.
        ambiguous: files that share their name with another of their folder, but for the extension;
            none of them is used.
    """

    references: ImageDataset
    candidates: ImageDataset
    unpaired_references: tuple[str, ...] = ()
    unpaired_candidates: tuple[str, ...] = ()
    ambiguous: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """One sentence for each file that is left out."""
        kinds = (
            ("reference without a candidate", self.unpaired_references),
            ("candidate without a reference", self.unpaired_candidates),
            ("left out, as another file has the same name", self.ambiguous),
        )
        return tuple(f"{kind}: {path}" for kind, paths in kinds for path in paths)


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two sets: key → item, key → what a message calls it, and what has no clear key."""

    dataset: ImageDataset
    items: dict[str, Item]
    names: dict[str, str]
    ambiguous: tuple[str, ...] = ()

    def only(self, keys: list[str], notes: tuple[str, ...]) -> ImageDataset:
        return self.dataset.with_entries(
            tuple(replace(self.items[key], key=key) for key in keys), notes
        )

    def unpaired(self, other: _Side) -> tuple[str, ...]:
        return tuple(name for key, name in self.names.items() if key not in other.items)


def pair_folders(references: Path, candidates: Path) -> Pairs:
    """Pair ``a/b.png`` of one folder with ``a/b.jpg`` of the other, whatever the layout of each.

    Raises:
        MissingDataError: a folder is missing or holds no image.
        UserError: no file pairs up.
    """
    left, right = _side(open_images(references)), _side(open_images(candidates))
    keys = [key for key in left.items if key in right.items]
    if not keys:
        raise _nothing_pairs(references, candidates, left, right)
    notes = (*left.dataset.notes, *right.dataset.notes)
    return Pairs(
        references=left.only(keys, notes),
        candidates=right.only(keys, ()),
        unpaired_references=left.unpaired(right),
        unpaired_candidates=right.unpaired(left),
        ambiguous=(*left.ambiguous, *right.ambiguous),
    )


def _side(dataset: ImageDataset) -> _Side:
    items = dataset.items()
    if not isinstance(dataset, FileDataset):
        return _Side(dataset, {i.key: i for i in items}, {i.key: i.key for i in items})
    stems = [stem_of(str(item.locator)) for item in items]
    twice = repeated(stems)
    clear = {stem: item for stem, item in zip(stems, items, strict=True) if stem not in twice}
    return _Side(
        dataset,
        clear,
        {stem: str(item.locator) for stem, item in clear.items()},
        tuple(
            f"{dataset.root.name}/{item.locator}"
            for stem, item in zip(stems, items, strict=True)
            if stem in twice
        ),
    )


def _nothing_pairs(references: Path, candidates: Path, left: _Side, right: _Side) -> UserError:
    first, second = (next(iter([*side.names.values(), *side.ambiguous])) for side in (left, right))
    stems = ({PurePosixPath(key).name for key in side.items} for side in (left, right))
    hint = "Names without extensions must be equal, subfolders included."
    if set.intersection(*stems):
        hint += " Some names are, but lie in different subfolders."
    return UserError(
        f"{references} and {candidates}",
        f"no file of one has its counterpart in the other (for instance {first} and {second})",
        hint,
    )

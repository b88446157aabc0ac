"""The pictures that runs kept: worst and best samples, next to the other models' pictures of them.

Most runs keep only a few pictures, and a results folder may have been copied without pictures. The
page names those that are missing.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from layton_bench.errors import ImageError, UserError
from layton_bench.images import decode_rgb, read_file
from layton_bench.leaderboard import Board
from layton_bench.records import (
    MetricResult,
    SavedImage,
    StoredRun,
    picture_path,
    read_samples,
)

_log = logging.getLogger(__name__)

_CAPTION_METRICS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A model's picture of a sample; ``file`` is None if it was not kept.

    ``place`` is the position of the model in ``GalleryView.models``.
    """

    place: int
    model: str
    file: str | None
    caption: str
    is_subject: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One of a run's worst samples: the original, and every model's picture of it."""

    rank: str
    sample: int
    key: str
    reference: str | None
    shown: tuple[Shown, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCases:
    """The worst cases of a model."""

    model: str
    run: int
    worst: tuple[Case, ...]
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A sample that at least one run kept: files by the model's place in ``GalleryView.models``."""

    key: str
    reference: str | None
    pictures: dict[int, str]
    captions: dict[int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class GalleryView:
    """A board's gallery.

    Attributes:
        models: shown names, in the board's order.
        samples: samples that at least one run kept, by key.
        cases: the worst cases of each model.
        missing: which pictures were kept but are no longer in the folder, in words.
    """

    models: tuple[str, ...]
    samples: tuple[Sample, ...]
    cases: tuple[ModelCases, ...]
    missing: tuple[str, ...]

    def for_script(self) -> dict[str, object]:
        """Return what the viewer's script reads."""
        return {"models": self.models, "samples": [asdict(sample) for sample in self.samples]}


class PictureStore:
    """Copies pictures into the site. Their names are digests of their contents."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[Path, str | None] = {}

    def add(self, run: StoredRun, name: str | None) -> str | None:
        """Copy a run's picture and return its address inside the site; None if it is missing.

        A name comes from a record, which is not trusted: only a plain file in the run's own
        ``images/`` that decodes as an image is copied.
        """
        path = picture_path(run, name)
        if path is None:
            return None
        if path not in self._known:
            self._known[path] = self._copy(path)
        return self._known[path]

    def _copy(self, path: Path) -> str | None:
        try:
            data = read_file(path)
            decode_rgb(data)
        except ImageError:
            return None
        # many runs keep the same reference: one file holds it
        file = f"{hashlib.sha256(data).hexdigest()[:24]}.png"
        self._folder.mkdir(exist_ok=True)
        (self._folder / file).write_bytes(data)
        return f"{self._folder.name}/{file}"


def view_gallery(
    board: Board, runs: dict[str, StoredRun], numbers: dict[str, int], store: PictureStore
) -> GalleryView:
    """Return the gallery of a board.

    Args:
        board: the board.
        runs: run id → stored run.
        numbers: run id → number of the run in the report.
        store: copies the pictures.
    """
    stored = [runs[record.run_id] for record in board.records]
    tables = [_table(run) for run in stored]
    samples = _samples(stored, tables, store)
    models = tuple(board.name(record) for record in board.records)
    places = {sample.key: place for place, sample in enumerate(samples)}
    cases = [
        ModelCases(
            model=models[index],
            run=numbers[run.record.run_id],
            worst=tuple(
                _case(saved, index, models, samples[places[saved.key]], places[saved.key])
                for saved in run.record.images
                if saved.rank.startswith("worst")
            ),
            note=_note(run),
        )
        for index, run in enumerate(stored)
    ]
    return GalleryView(
        models=models,
        samples=tuple(samples),
        cases=tuple(cases),
        missing=tuple(
            filter(None, (_missing(n, r, store) for n, r in zip(models, stored, strict=True)))
        ),
    )


_Table = dict[Any, dict[Any, Any]]
"""Sample key → column → value."""


def _table(run: StoredRun) -> _Table:
    """Return the per-sample values; empty for a table that is missing or damaged."""
    try:
        rows = read_samples(run.folder, run.record).drop_duplicates("key").set_index("key")
    except UserError as error:
        _log.warning("no per-sample values: %s", error)
        return {}
    return rows.to_dict("index")


def _samples(
    stored: Sequence[StoredRun], tables: Sequence[_Table], store: PictureStore
) -> list[Sample]:
    kept: dict[str, dict[int, SavedImage]] = {}
    shown = {saved.key for run in stored for saved in run.record.images if saved.rank}
    for index, run in enumerate(stored):
        for saved in run.record.images:
            if saved.key in shown:  # a run that kept all pictures must not fill the site
                kept.setdefault(saved.key, {})[index] = saved
    return [
        Sample(
            key=key,
            reference=next(
                filter(None, (store.add(stored[i], s.reference) for i, s in kept[key].items())),
                None,
            ),
            pictures={
                index: file
                for index, saved in kept[key].items()
                if (file := store.add(stored[index], saved.candidate)) is not None
            },
            captions={i: _caption(stored[i], tables[i], key) for i in range(len(stored))},
        )
        for key in sorted(kept)
    ]


def _caption(run: StoredRun, table: _Table, key: str) -> str:
    """Return the sample's first metrics; empty if the run has no values of it."""
    row = table.get(key, {})
    texts = [
        _value(result, float(row[name]))
        for name, result in run.record.metrics.items()
        if name in row and result.direction != "none"
    ]
    return ", ".join(texts[:_CAPTION_METRICS])


def _value(result: MetricResult, value: float) -> str:
    if math.isnan(value):
        return f"{result.label} n/a"
    unit = f" {result.unit}" if result.unit else ""
    return f"{result.label} {value:.{result.digits}f}{unit}"


def _case(
    saved: SavedImage, subject: int, models: tuple[str, ...], sample: Sample, place: int
) -> Case:
    others = [index for index in range(len(models)) if index != subject]
    return Case(
        rank=saved.rank.replace("-", " "),
        sample=place,
        key=sample.key,
        reference=sample.reference,
        shown=tuple(
            Shown(
                place=index,
                model=models[index],
                file=sample.pictures.get(index),
                caption=sample.captions[index],
                is_subject=index == subject,
            )
            for index in (subject, *others)
        ),
    )


def _note(run: StoredRun) -> str:
    if not run.record.images:
        return "This run kept no pictures."
    if not any(saved.rank.startswith("worst") for saved in run.record.images):
        return "No metric of this run has per-sample values, so there are no worst samples."
    return ""


def _missing(name: str, run: StoredRun, store: PictureStore) -> str:
    """Return how many of the run's worst and best pictures are missing, in words."""
    ends = [saved for saved in run.record.images if saved.rank]
    lost = sum(store.add(run, saved.candidate) is None for saved in ends)
    return f"{name}: {lost} of {len(ends)} pictures" if lost else ""

import errno
import os
import random
from pathlib import Path

import pytest
import torch
from fakes import level
from PIL import Image

from layton_bench.metrics.base import PerSampleMetric
from layton_bench.run.engine.gallery import Gallery, image_spool
from layton_bench.types import ScoredBatch

LEVELS = {"a": 50, "b": 10, "c": 90, "d": 30, "e": 70, "f": 10, "g": 90}


def scored(levels: dict[str, int], *, has_references: bool = True) -> ScoredBatch:
    images = torch.stack([torch.full((3, 4, 4), v, dtype=torch.uint8) for v in levels.values()])
    return ScoredBatch(
        keys=tuple(levels), candidates=images, references=images // 2 if has_references else None
    )


def shown(gallery: Gallery, levels: dict[str, int], *, batch_size: int, folder: Path):
    metric = PerSampleMetric("level", level)
    keys = list(levels)
    for start in range(0, len(keys), batch_size):
        batch = scored({k: levels[k] for k in keys[start : start + batch_size]})
        metric.update(batch)
        gallery.offer(batch, {"level": metric})
    return [(image.rank, image.key) for image in gallery.save(folder)]


def test_the_worst_and_best_are_kept_ties_by_key(tmp_path: Path) -> None:
    assert shown(Gallery("level", size=3), LEVELS, batch_size=7, folder=tmp_path) == [
        ("worst-1", "b"), ("worst-2", "f"), ("worst-3", "d"),
        ("best-1", "c"), ("best-2", "g"), ("best-3", "e"),
    ]  # fmt: skip


def test_lower_may_be_better(tmp_path: Path) -> None:
    ranks = shown(Gallery("level", "lower", size=1), LEVELS, batch_size=7, folder=tmp_path)
    assert ranks == [("worst-1", "c"), ("best-1", "b")]


def test_nearest_to_zero_may_be_best(tmp_path: Path) -> None:
    gallery, levels = Gallery("level", "zero", size=1), {"a": 0, "b": 100, "c": 200}
    metric = PerSampleMetric("level", lambda batch: [v - 120.0 for v in level(batch)])
    metric.update(scored(levels))
    gallery.offer(scored(levels), {"level": metric})
    assert [(i.rank, i.key) for i in gallery.save(tmp_path)] == [
        ("worst-1", "a"), ("best-1", "b"),
    ]  # fmt: skip


@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_neither_order_nor_batch_size_matters(tmp_path: Path, batch_size: int) -> None:
    expected = shown(Gallery("level", size=2), LEVELS, batch_size=7, folder=tmp_path)
    for seed in range(5):
        keys = list(LEVELS)
        random.Random(seed).shuffle(keys)
        again = shown(
            Gallery("level", size=2),
            {k: LEVELS[k] for k in keys},
            batch_size=batch_size,
            folder=tmp_path,
        )
        assert again == expected


def test_few_samples_are_kept_once_each_worst_first(tmp_path: Path) -> None:
    levels = {"a": 1, "b": 2, "c": 3}
    assert shown(Gallery("level", size=2), levels, batch_size=3, folder=tmp_path) == [
        ("worst-1", "a"), ("worst-2", "b"), ("best-1", "c"),
    ]  # fmt: skip


def test_the_files_hold_the_pixels(tmp_path: Path) -> None:
    gallery, metric = Gallery("level", size=1), PerSampleMetric("level", level)
    metric.update(scored({"../x": 80}))
    gallery.offer(scored({"../x": 80}), {"level": metric})
    (image,) = gallery.save(tmp_path)
    assert (image.key, image.candidate, image.reference) == (
        "../x", "worst-1-candidate.png", "worst-1-reference.png",
    )  # fmt: skip
    names = {p.name: Image.open(p).getpixel((0, 0)) for p in (tmp_path / "images").iterdir()}
    assert names == {image.candidate: (80, 80, 80), image.reference: (40, 40, 40)}


def test_without_a_metric_the_first_samples_are_kept(tmp_path: Path) -> None:
    gallery = Gallery(None, size=2)
    gallery.offer(scored({"z": 1}, has_references=False), {})
    gallery.offer(scored({"a": 2, "b": 3}, has_references=False), {})
    kept = gallery.save(tmp_path)
    assert [(i.rank, i.key, i.reference) for i in kept] == [
        ("best-1", "z", None), ("best-2", "a", None),
    ]  # fmt: skip


def test_samples_without_a_rank_are_passed_over(tmp_path: Path) -> None:
    gallery, levels = Gallery("level", size=2), {"a": 1, "b": 2, "c": 3}
    metric = PerSampleMetric("level", lambda batch: [float("nan"), float("inf"), 3.0])
    metric.update(scored(levels))
    gallery.offer(scored(levels), {"level": metric})
    # this one the metric has not seen: it had failed by then
    gallery.offer(scored({"d": 4}), {"level": metric})
    assert [(i.rank, i.key) for i in gallery.save(tmp_path)] == [
        ("worst-1", "c"), ("worst-2", "b"),
    ]  # fmt: skip


def test_all_may_be_kept_each_once(tmp_path: Path) -> None:
    run_folder = tmp_path / "run"
    run_folder.mkdir()
    with image_spool(tmp_path, is_wanted=True) as spool:
        kept = shown(
            Gallery("level", size=1, all_in=spool), LEVELS, batch_size=3, folder=run_folder
        )
        assert spool is not None
    assert not spool.exists()
    assert kept == [
        ("worst-1", "b"), ("best-1", "c"), ("", "a"), ("", "d"), ("", "e"), ("", "f"), ("", "g"),
    ]  # fmt: skip
    files = sorted(path.name for path in (run_folder / "images").iterdir())
    assert len(files) == 2 * len(LEVELS)
    assert Image.open(run_folder / "images" / "sample-4-candidate.png").getpixel((0, 0)) == (
        30, 30, 30,
    )  # fmt: skip


def test_no_spool_without_need(tmp_path: Path) -> None:
    with image_spool(tmp_path, is_wanted=False) as spool:
        assert spool is None
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_ends_the_pictures_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write, written = Path.write_bytes, []

    def until_full(path: Path, data: bytes) -> int:
        if "sample-" in path.name:
            written.append(path)
            if len(written) > 5:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", until_full)
    (tmp_path / "spool").mkdir()
    gallery = Gallery("level", size=1, all_in=tmp_path / "spool")
    kept = shown(gallery, LEVELS, batch_size=7, folder=tmp_path)
    # two files each: a and b were whole, and b is among the worst
    assert kept == [("worst-1", "b"), ("best-1", "c"), ("", "a")]
    assert caplog.messages == ["from 'c' on, pictures are not kept: No space left on device"]

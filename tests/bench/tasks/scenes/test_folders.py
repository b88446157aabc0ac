"""Training data on disk: complete, repeatable, and only of the pairs allowed."""

import io
import json
import tarfile
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from layton_bench.errors import UserError
from layton_bench.tasks.geneval import ScenePrompt
from layton_bench.tasks.scenes import (
    HELD_OUT_PAIRS,
    TRAIN_PAIRS,
    SceneStyle,
    write_folder,
    write_shards,
)
from layton_bench.tasks.scenes.judge import judge_image


def rows(metadata):
    return [json.loads(line) for line in metadata.read_text().splitlines()]


def test_folder(tmp_path):
    metadata = write_folder(tmp_path / "a", count=10, seed=1, size_px=128)
    written = rows(metadata)
    assert len(written) == 10
    for row in written:
        image = np.asarray(Image.open(metadata.parent / row["file_name"]))
        prompt = ScenePrompt.model_validate(row["metadata"])
        assert row["text"] == prompt.prompt
        assert image.shape == (128, 128, 3)
        assert judge_image(image, prompt).correct


def test_workers_and_count_do_not_change_the_pictures(tmp_path):
    kwargs = {"seed": 2, "size_px": 32}
    alone = write_folder(tmp_path / "alone", count=6, **kwargs).parent
    helped = write_folder(tmp_path / "helped", count=4, workers=2, **kwargs).parent
    for index in range(4):
        name = f"00/{index:06d}.png"
        assert (alone / name).read_bytes() == (helped / name).read_bytes()
    assert rows(alone / "metadata.jsonl")[:4] == rows(helped / "metadata.jsonl")


def test_a_finished_folder_is_not_written_over(tmp_path):
    write_folder(tmp_path, count=1, seed=0, size_px=32)
    with pytest.raises(UserError, match="exists already"):
        write_folder(tmp_path, count=1, seed=0, size_px=32)


@pytest.mark.parametrize("pairs", [TRAIN_PAIRS, HELD_OUT_PAIRS])
def test_captions_name_only_the_pairs_given(tmp_path, pairs):
    metadata = write_folder(tmp_path, count=60, seed=3, size_px=16, pairs=pairs)
    named = {
        (clause["class"], clause["color"])
        for row in rows(metadata)
        for clause in row["metadata"]["include"]
        if "color" in clause
    }
    assert named
    assert named <= pairs


def test_captions_are_of_the_tasks_given_one_named_twice_twice_as_often(tmp_path):
    tasks = ("colors", "position", "position")
    metadata = write_folder(tmp_path, count=120, seed=6, size_px=16, tasks=tasks)
    tags = Counter(row["metadata"]["tag"] for row in rows(metadata))
    assert set(tags) == set(tasks)
    assert tags["position"] > 1.5 * tags["colors"]


def test_backgrounds_are_of_the_kinds_given(tmp_path):
    style = SceneStyle(backgrounds=("plain",))
    metadata = write_folder(tmp_path, count=12, seed=5, size_px=32, style=style)
    for row in rows(metadata):
        image = np.asarray(Image.open(metadata.parent / row["file_name"]))
        assert len(np.unique(image[[0, 0, -1, -1], [0, -1, 0, -1]], axis=0)) == 1


def test_clutter_has_no_captions(tmp_path):
    metadata = write_folder(tmp_path, count=3, seed=0, size_px=32, content="clutter")
    assert rows(metadata) == [{"file_name": f"00/00000{i}.png", "text": ""} for i in range(3)]


def test_shards_hold_the_same_images(tmp_path):
    kwargs = {"count": 5, "seed": 4, "size_px": 32, "tasks": ("counting",)}
    folder = write_folder(tmp_path / "folder", **kwargs).parent
    paths = write_shards(tmp_path / "shards", images_per_shard=2, **kwargs)
    assert [path.name for path in paths] == [f"scenes-00000{i}.tar" for i in range(3)]
    members = {}
    for path in paths:
        with tarfile.open(path) as tar:
            members |= {m.name: tar.extractfile(m).read() for m in tar}
    assert len(members) == 15
    for index, row in enumerate(rows(folder / "metadata.jsonl")):
        key = f"{index:09d}"
        assert members[f"{key}.png"] == (folder / row["file_name"]).read_bytes()
        assert members[f"{key}.txt"].decode() == row["text"]
        assert json.loads(members[f"{key}.json"])["metadata"] == row["metadata"]
        assert Image.open(io.BytesIO(members[f"{key}.png"])).size == (32, 32)


def test_an_interrupted_call_goes_on(tmp_path):
    kwargs = {"count": 4, "seed": 5, "size_px": 32, "images_per_shard": 2}
    first, second = write_shards(tmp_path, **kwargs)
    whole = second.read_bytes()
    kept = first.stat().st_mtime_ns
    second.rename(second.with_name(".tmp-1-killed"))
    write_shards(tmp_path, **kwargs)
    assert second.read_bytes() == whole
    assert first.stat().st_mtime_ns == kept
    assert sorted(tmp_path.glob("*.tar")) == [first, second]

"""GenEval's folder layout: written, read back, and read when something is wrong with it."""

import numpy as np
import pytest
from geneval_folders import write_sample
from PIL import Image

from layton_bench.errors import UserError
from layton_bench.tasks.geneval.layout import (
    read_layout,
    sample_name,
    sample_path,
    write_metadata,
)
from layton_bench.tasks.geneval.prompts import official_prompts


@pytest.fixture
def root(tmp_path):
    """Two prompts with four images each."""
    for index, prompt in enumerate(official_prompts()[:2]):
        write_metadata(tmp_path, index, prompt)
        for k in range(4):
            image = np.full((6, 5, 3), 10 * index + k, dtype=np.uint8)
            write_sample(tmp_path, index, k, image)
    return tmp_path


def told(layout):
    return {problem.key: problem.reason for problem in layout.problems}


def test_reads_back(root):
    layout = read_layout(root)
    assert layout.problems == ()
    assert layout.num_images == 8
    assert [folder.prompt for folder in layout.folders] == list(official_prompts()[:2])
    assert layout.folders[1].samples[2] == root / "00001" / "samples" / "0002.png"
    with Image.open(layout.folders[1].samples[2]) as image:
        assert np.asarray(image).shape == (6, 5, 3)
        assert np.all(np.asarray(image) == 12)


def test_names():
    assert sample_name(12, 3) == "00012/samples/0003.png"


def test_no_partial_files_remain(root):
    assert not list(root.rglob("*.partial"))


def test_writing_again_is_a_resume_but_not_for_another_prompt(root):
    write_metadata(root, 0, official_prompts()[0])
    with pytest.raises(UserError, match="another prompt than number 0"):
        write_metadata(root, 0, official_prompts()[1])


def test_samples_are_ordered_by_number(root):
    for k in (10, 9):
        write_sample(root, 0, k, np.zeros((2, 2, 3), np.uint8))
    layout = read_layout(root)
    assert [path.name for path in layout.folders[0].samples.values()][-2:] == [
        "0009.png",
        "0010.png",
    ]


def test_missing_members_are_named_and_the_rest_is_kept(root):
    (root / "00000" / "metadata.jsonl").unlink()
    sample_path(root, 1, 3).unlink()
    (root / "00002").mkdir()
    write_metadata(root, 3, official_prompts()[3])
    (root / "00003" / "samples").rmdir()
    layout = read_layout(root)
    assert told(layout) == {
        "00000": "it has no metadata.jsonl",
        "00002": "it has no metadata.jsonl",
        "00003": "it has no images",
    }
    assert [folder.index for folder in layout.folders] == [1]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"{", "line 1: Invalid JSON"),
        (b"", "it has no prompt"),
        (b'{"tag": "x", "prompt": "y"}\n' * 2, "it has 2 prompts instead of one"),
        (b" " * (1 << 21), "too large"),
    ],
)
def test_bad_metadata_is_named(root, content, complaint):
    (root / "00001" / "metadata.jsonl").write_bytes(content)
    layout = read_layout(root)
    assert len(layout.folders) == 1
    assert complaint in told(layout)["00001/metadata.jsonl"]


def test_other_files_are_left_out_and_named(root):
    (root / "grid.png").touch()
    (root / "notes").mkdir()
    (root / "00000" / "grid.png").touch()
    (root / "00000" / "samples" / "thumb.jpg").touch()
    (root / "00000" / "samples" / "3.png").touch()
    layout = read_layout(root)
    assert told(layout) == {
        "00000/samples/3.png": "there are two images 3",
        "00000/samples/thumb.jpg": "it is not named like 0000.png",
    }
    assert layout.num_images == 8


def test_links_may_not_lead_out(root, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    secret = outside / "0003.png"
    secret.write_bytes(sample_path(root, 0, 0).read_bytes())
    sample_path(root, 0, 3).unlink()
    sample_path(root, 0, 3).symlink_to(secret)
    metadata = root / "00001" / "metadata.jsonl"
    metadata.rename(outside / "metadata.jsonl")
    metadata.symlink_to(outside / "metadata.jsonl")
    layout = read_layout(root)
    assert len(layout.folders[0].samples) == 3
    assert told(layout) == {
        "00000/samples/0003.png": "it is not a regular file inside the folder",
        "00001": "it has no metadata.jsonl",
    }


def test_nothing_there(tmp_path):
    with pytest.raises(UserError, match="no prompt folder"):
        read_layout(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        read_layout(tmp_path / "absent")


def test_samples_keep_their_numbers_where_one_is_missing(root):
    sample_path(root, 0, 1).unlink()
    samples = read_layout(root).folders[0].samples
    assert {number: path.name for number, path in samples.items()} == {
        0: "0000.png", 2: "0002.png", 3: "0003.png",
    }  # fmt: skip


@pytest.mark.parametrize("name", [".DS_Store", "Thumbs.db", "desktop.ini", "._0000.png"])
def test_files_of_operating_systems_are_passed_over(root, name):
    (root / "00000" / "samples" / name).write_bytes(b"x")
    assert read_layout(root).problems == ()


def test_digits_of_other_scripts_are_no_numbers(root):
    sample_path(root, 0, 3).rename(root / "00000" / "samples" / "\u0663.png")
    assert list(told(read_layout(root))) == ["00000/samples/\u0663.png"]

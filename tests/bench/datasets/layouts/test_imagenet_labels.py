"""The label files beside a flat folder of ImageNet's validation images."""

import os
import re
import sys

import pytest

from layton_bench.datasets.layouts.imagenet_labels import read_labels

WNIDS = {"n01440764": 0, "n01751748": 65, "n02105855": 230} | {f"x{i}": i for i in range(997)}
EXPECTED = {"ILSVRC2012_val_00000001": 65, "ILSVRC2012_val_00000002": 230}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("val.txt", "ILSVRC2012_val_00000001.JPEG n01751748\nILSVRC2012_val_00000002 n02105855\n"),
        ("val.txt", "ILSVRC2012_val_00000001.JPEG 65\r\nILSVRC2012_val_00000002.jpg 230\r\n"),
        ("val.txt", "val/ILSVRC2012_val_00000001.JPEG 65\n./val/ILSVRC2012_val_00000002.png,230"),
        ("val_map.txt", "\ufeffILSVRC2012_val_00000001.JPEG,65\n\nILSVRC2012_val_00000002,230"),
        (
            "LOC_val_solution.csv",
            "ImageId,PredictionString\nILSVRC2012_val_00000001,n01751748 1 2 3 4 n01751748 5 6\n"
            "ILSVRC2012_val_00000002,n02105855 1 2 3 4\n",
        ),
        ("imagenet_2012_validation_synset_labels.txt", "n01751748\nn02105855\n"),
    ],
)
def test_every_form_is_read(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_labels((tmp_path / "none", tmp_path), WNIDS) == (EXPECTED, ())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"ILSVRC2012_val_00000001.JPEG n01751748\nrubbish", "line 2 .* 'rubbish'"),
        (b"ILSVRC2012_val_00000001.JPEG n99999999", "line 1 .* 'n99999999'"),
        (b"ILSVRC2012_val_00000001.JPEG 1000", "line 1 .* '1000'"),
        (b"ILSVRC2012_val_00000001.JPEG " + b"1" * 5000, "line 1 .* '1111"),
        (b"n01751748\nn0175", "line 2 .* 'n0175'"),
        (b"\n", "it has no lines"),
        (b"490\n361", "it cannot be read as the devkit's meta.mat"),
        (b"ILSVRC2012_val_00000001.JPEG 65 \xe9", "line 1 is not UTF-8 text"),
    ],
)
def test_a_file_that_cannot_be_understood_is_named_and_the_next_is_read(tmp_path, text, reason):
    (tmp_path / "val.txt").write_bytes(text)
    labels, (problem,) = read_labels((tmp_path,), WNIDS)
    assert labels is None
    assert re.search(reason, problem), problem
    assert problem.startswith("labels are not used: ")
    (tmp_path / "val_map.txt").write_text("ILSVRC2012_val_00000001 65\nILSVRC2012_val_00000002 230")
    assert read_labels((tmp_path,), WNIDS) == (EXPECTED, (problem,))


def test_damaged_meta_mat(tmp_path):
    (tmp_path / "ILSVRC2012_validation_ground_truth.txt").write_text("490\n361\n")
    for content in (b"", b"MATLAB 5.0 MAT-file" + b" " * 109 + b"\x00\x01IM" + b"\xff" * 64):
        (tmp_path / "meta.mat").write_bytes(content)
        labels, (problem,) = read_labels((tmp_path,), WNIDS)
        assert labels is None
        assert "meta.mat: it cannot be read as the devkit's meta.mat" in problem


@pytest.mark.skipif(sys.platform == "win32", reason="pipes are files of Unix")
def test_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "val.txt")
    labels, (problem,) = read_labels((tmp_path,), WNIDS)
    assert labels is None
    assert "not a regular file" in problem


def test_no_file(tmp_path):
    assert read_labels((tmp_path,), WNIDS) == (None, ())

"""Arrays exchanged with a child."""

import os
from pathlib import Path

import numpy as np
import pytest

from layton_bench.errors import ModelOutputError
from layton_bench.models.external.arrays import ArrayFolder


def test_whatever_a_child_leaves_in_the_folder_is_removed(tmp_path: Path) -> None:
    folder = ArrayFolder(tmp_path)
    (tmp_path / "deep" / "deeper").mkdir(parents=True)
    (tmp_path / "deep" / "file").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path.parent)
    folder.clear()
    assert list(tmp_path.iterdir()) == [] and tmp_path.parent.is_dir()
    tmp_path.rmdir()
    folder.clear()  # nothing is left to remove


def test_files_are_taken_once(tmp_path: Path) -> None:
    folder = ArrayFolder(tmp_path)
    name = folder.put("x", np.ones((2, 2), np.float32).T)
    assert folder.take({"images": name}, "images", kinds="f").tolist() == [[1, 1], [1, 1]]
    with pytest.raises(ModelOutputError, match="FileNotFoundError"):
        folder.take({"images": name}, "images", kinds="f")
    for bad in ("../x.npy", "/x.npy", "", ".x.npy", "a/b.npy", None, 3):
        with pytest.raises(ModelOutputError, match="names no file"):
            folder.take({"images": bad}, "images", kinds="f")

"""Arrays exchanged with a child."""

from pathlib import Path

import numpy as np
import pytest

from layton_bench.errors import ModelOutputError
from layton_bench.models.external.arrays import ArrayFolder


def test_files_are_taken_once(tmp_path: Path) -> None:
    folder = ArrayFolder(tmp_path)
    name = folder.put("x", np.ones((2, 2), np.float32).T)
    assert folder.take({"images": name}, "images", kinds="f").tolist() == [[1, 1], [1, 1]]
    with pytest.raises(ModelOutputError, match="FileNotFoundError"):
        folder.take({"images": name}, "images", kinds="f")
    for bad in ("../x.npy", "/x.npy", "", ".x.npy", "a/b.npy", None, 3):
        with pytest.raises(ModelOutputError, match="names no file"):
            folder.take({"images": bad}, "images", kinds="f")

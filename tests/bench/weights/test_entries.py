"""What an entry of the registry may be."""

from __future__ import annotations

import pytest

from layton_bench.weights import WeightsEntry, WeightsFile


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", "", "a\\b"])
def test_paths_that_leave_the_folder_are_refused(path: str) -> None:
    with pytest.raises(ValueError, match="not a path inside"):
        WeightsFile(path=path, url="http://example.org/x")


def test_names_that_are_no_folder_are_refused() -> None:
    with pytest.raises(ValueError, match="not a weights entry"):
        WeightsEntry(name="../x", files=(WeightsFile(path="x", url="u"),), licence="")

import os
import time
from pathlib import Path

import pytest

from layton_bench.machine.temporary import remove_stale, temporary_folder


def test_a_folder_is_there_while_it_is_used_and_gone_afterwards(tmp_path: Path) -> None:
    with temporary_folder(tmp_path / "new") as folder:
        (folder / "file").write_text("x")
        remove_stale(tmp_path / "new")
        assert (folder / "file").is_file()
        assert folder.name.startswith(".tmp-")
    assert list((tmp_path / "new").iterdir()) == []


def test_a_folder_that_was_moved_stays(tmp_path: Path) -> None:
    with temporary_folder(tmp_path) as folder:
        (folder / "file").write_text("x")
        folder.rename(tmp_path / "final")
    assert [path.name for path in tmp_path.iterdir()] == ["final"]
    assert (tmp_path / "final" / "file").is_file()


@pytest.mark.parametrize("error", [RuntimeError("fault"), KeyboardInterrupt()])
def test_a_block_that_raises_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), temporary_folder(tmp_path) as folder:
        (folder / "file").write_text("x")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_what_has_a_free_lock_is_stale(tmp_path: Path) -> None:
    (tmp_path / ".tmp-dead").mkdir()
    (tmp_path / ".tmp-dead" / "file").write_text("x")
    (tmp_path / ".tmp-dead.lock").touch()
    (tmp_path / ".tmp-alone.lock").touch()
    remove_stale(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_has_no_lock_is_stale_after_a_day(tmp_path: Path) -> None:
    for name in (".tmp-old", ".tmp-new", "old"):
        (tmp_path / name).mkdir()
    (tmp_path / ".tmp-1-file").touch()
    long_ago = time.time() - 25 * 3600
    for name in (".tmp-old", ".tmp-1-file", "old"):
        os.utime(tmp_path / name, (long_ago, long_ago))
    remove_stale(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".tmp-new", "old"]


def test_a_link_is_removed_and_not_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / ".tmp-link").symlink_to(tmp_path / "kept")
    (tmp_path / ".tmp-link.lock").touch()
    remove_stale(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_folder_that_is_missing_has_nothing_stale(tmp_path: Path) -> None:
    remove_stale(tmp_path / "nowhere")

"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from layton_bench.machine import (
    cache_folder,
    open_regular,
    read_regular,
    write_whole,
    writing_whole,
)


def test_a_file_is_written_and_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "ü.txt"
    write_whole(path, "grün\n")
    assert path.read_bytes() == "grün\n".encode()
    write_whole(path, b"\x00second")
    assert path.read_bytes() == b"\x00second"
    assert list(path.parent.iterdir()) == [path]


def test_a_block_that_raises_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="half way"), writing_whole(path) as part:
        part.write_text("ne")
        raise RuntimeError("half way")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kept"
    path.write_text("old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_longest_name_a_file_system_takes_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    write_whole(path, b"x")
    assert path.read_bytes() == b"x"


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "value"
    write_whole(path, "1" * 1000)
    with writing_whole(path) as part:
        part.write_text("2" * 500)
        assert path.read_text() == "1" * 1000
    assert path.read_text() == "2" * 500


def test_the_cache_is_where_the_variable_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAYTON_BENCH_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("LAYTON_BENCH_CACHE")
    assert cache_folder().name == "layton-bench"


def test_a_regular_file_is_read_and_so_is_a_link_to_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"contents")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert read_regular(tmp_path / "file") == read_regular(tmp_path / "link") == b"contents"
    with open_regular(tmp_path / "file") as stream:
        assert stream.read(3) == b"con"


@pytest.mark.parametrize("kind", ["fifo", "socket", "link to /dev/zero", "link to /dev/tty"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.png"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(path))
        listening.close()
    else:
        path.symlink_to(kind.removeprefix("link to "))
    with pytest.raises(OSError) as found:
        read_regular(path)
    assert found.value.filename == str(path)


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse.png"
    with path.open("wb") as stream:
        stream.truncate(2**40)
    with pytest.raises(OSError, match="1,099,511,627,776 bytes; at most 1,073,741,824"):
        read_regular(path)
    (tmp_path / "fits").write_bytes(b"1234")
    assert read_regular(tmp_path / "fits", max_bytes=4) == b"1234"
    with pytest.raises(OSError, match="4 bytes; at most 3"):
        read_regular(tmp_path / "fits", max_bytes=3)


def test_folders_and_missing_files_raise_as_usual(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        read_regular(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "none")

import os
import sys

import pytest

from layton.errors import ImageError
from layton.images import MAX_FILE_BYTES, read_file

UNIX = pytest.mark.skipif(sys.platform == "win32", reason="pipes and devices are files of Unix")


def refused(path, reason):
    with pytest.raises(ImageError) as caught:
        read_file(path)
    assert caught.value.thing == str(path)
    assert caught.value.reason.startswith(reason)


def test_bytes_of_a_file(tmp_path):
    (tmp_path / "a.png").write_bytes(b"abc")
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    assert read_file(tmp_path / "a.png") == read_file(tmp_path / "link.png") == b"abc"


def test_no_file(tmp_path):
    refused(tmp_path / "a.png", "no such file")
    (tmp_path / "link.png").symlink_to(tmp_path / "gone.png")
    refused(tmp_path / "link.png", "no such file")
    refused(tmp_path / "a\0.png", "cannot be read")
    refused(tmp_path / ("a" * 300 + ".png"), "cannot be read: File name too long")


def test_a_folder_is_no_file(tmp_path):
    refused(tmp_path, "not a regular file but a folder")


@UNIX
def test_pipes_and_devices_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    refused(tmp_path / "pipe.png", "not a regular file but a pipe")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    refused(tmp_path / "zero.png", "not a regular file but a device")


def test_a_file_of_any_length_is_not_read(tmp_path):
    with (tmp_path / "sparse.png").open("wb") as file:
        file.truncate(1 << 40)
    refused(
        tmp_path / "sparse.png", f"too large: {1 << 40:,} bytes are more than {MAX_FILE_BYTES:,}"
    )


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may read all")
def test_a_file_without_permission(tmp_path):
    (tmp_path / "a.png").write_bytes(b"abc")
    (tmp_path / "a.png").chmod(0)
    refused(tmp_path / "a.png", "cannot be read: Permission denied")

"""Names of results, and codes on disk."""

import os
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from layton import CodesError, ImageError
from layton.files import CodesFile, find_images, read_codes, unique_names, write_codes

CONTENT = CodesFile(codes=torch.arange(6).view(2, 3), names=("a", "b"), codebook_size=6)


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a.png", "b.png"], ["a", "b"]),
        (["x/a.png", "b.png", "y/a.jpg"], ["a-1", "b", "a-2"]),
        # a number gives no name that another file has, wherever that file stands
        (["x/a.png", "y/a.png", "z/a-1.png"], ["a-2", "a-3", "a-1"]),
        (["a-1.png", "x/a.png", "y/a.png", "z/a-2.png"], ["a-1", "a-3", "a-4", "a-2"]),
        (["x/a-1.png", "y/a-1.png", "x/a.png", "y/a.png"], ["a-1-1", "a-1-2", "a-1", "a-2"]),
        # one file on some systems
        (["x/a.png", "y/A.png"], ["a-1", "A-2"]),
        ([f"x/{unicodedata.normalize(form, 'é')}.png" for form in ("NFC", "NFD")], None),
        ([".png", "x/..png"], None),
        (["x" * 240 + "1.png", "x" * 240 + "2.png"], ["x" * 200 + "-1", "x" * 200 + "-2"]),
        (["ü" * 120 + ".png"], ["ü" * 100]),
        (["a/b\udcff.png"], ["b_"]),
    ],
)
def test_names_are_unique_and_safe(paths, names):
    found = unique_names([Path(path) for path in paths])
    if names is not None:
        assert list(found) == names
    folded = {unicodedata.normalize("NFC", name).casefold() for name in found}
    assert len(folded) == len(paths)
    assert all(len(f"{name}.png".encode()) <= 255 and "/" not in name for name in found)


def test_codes_are_read_as_they_were_written(tmp_path):
    for name in ("codes", "codes.npz", "n" * 250):
        write_codes(tmp_path / name, CONTENT)
        found = read_codes(tmp_path / name)
        assert torch.equal(found.codes, CONTENT.codes)
        assert (found.names, found.codebook_size) == (CONTENT.names, 6)
    assert len(list(tmp_path.iterdir())) == 3  # and nothing beside them


def test_an_interrupted_write_keeps_the_old_file(tmp_path, monkeypatch):
    write_codes(tmp_path / "codes.npz", CONTENT)
    before = (tmp_path / "codes.npz").read_bytes()

    def full(*_, **__):
        raise OSError("no space")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="no space"):
        write_codes(tmp_path / "codes.npz", CONTENT)
    assert (tmp_path / "codes.npz").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def broken_member(path):
    """An npz whose compressed data is damaged, with intact headers."""
    write_codes(path, CONTENT)
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("codes.npy").header_offset + 30 + len("codes.npy") + 20
    data = bytearray(path.read_bytes())
    data[start : start + 8] = b"\xff" * 8
    path.write_bytes(data)


def npy(path):
    with path.open("wb") as file:  # numpy would change the name
        np.save(file, np.zeros(3))


def npz(**arrays):
    return lambda path: np.savez(path, **arrays)


def of_other_compression(path):
    write_codes(path, CONTENT)
    data = path.read_bytes().replace(b"PK\x01\x02\x14\x03\x14\x00\x00\x00\x08", b"")
    path.write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (npy, "it is a single array"),
        (lambda p: p.write_bytes(b"\x80\x04]."), "pickled"),
        (lambda p: p.write_bytes(b""), "EOFError"),
        (lambda p: p.write_text("codes"), "is not a codes file"),
        (npz(codes=np.zeros((1, 2), int)), "it has no names"),
        (
            npz(codes=np.zeros((1, 2), int), names=["a"], codebook_size=[3, 4]),
            "its codebook_size is not a whole number",
        ),
        (broken_member, "is not a codes file"),
        (of_other_compression, "is not a codes file"),
        (lambda p: p.mkdir(), "it is a folder"),
        (lambda _: None, "there is no such file"),
        (lambda p: os.mkfifo(p), "there is no such file"),
    ],
)
def test_what_is_not_a_codes_file_is_named(tmp_path, write, reason):
    write(tmp_path / "x.npz")
    with pytest.raises(CodesError, match=reason) as raised:
        read_codes(tmp_path / "x.npz")
    assert raised.value.thing == str(tmp_path / "x.npz")


def test_images_are_found_below_folders(tmp_path):
    (tmp_path / "a/b.png").mkdir(parents=True)  # a folder, in spite of its name
    for path in ("a/b.png/c.JPG", "a/d.webp", "a/notes.txt", "e.png"):
        (tmp_path / path).write_bytes(b"")
    found = find_images([tmp_path / "e.png", tmp_path / "a"])
    assert found == [tmp_path / "e.png", tmp_path / "a/b.png/c.JPG", tmp_path / "a/d.webp"]
    with pytest.raises(ImageError, match="no such file or folder"):
        find_images([tmp_path / "absent"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="none found"):
        find_images([tmp_path / "empty"])


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    def refused(folder, onerror, **_):
        onerror(PermissionError(13, "Permission denied", f"{folder}/closed"))
        yield str(folder), [], ["a.png"]

    with monkeypatch.context() as patch:
        patch.setattr(os, "walk", refused)
        with pytest.raises(ImageError, match=r"closed: cannot be read \(Permission denied\)"):
            find_images([tmp_path])

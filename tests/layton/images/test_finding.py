import os
from pathlib import Path

from layton.images import find_images, is_hidden, is_image_name


def put(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")


def test_pictures_below_a_folder(tmp_path):
    for name in ("b/2.PNG", "b/c/3.webp", "1.jpeg", "notes.txt", ".hidden/4.png", "._5.png",
                 "__MACOSX/6.png", "b/.7.png"):  # fmt: skip
        put(tmp_path / name)
    found = find_images(tmp_path)
    assert sorted(found.paths) == ["1.jpeg", "b/2.PNG", "b/c/3.webp"]
    assert found.left_out == {}


def test_linked_folders_are_entered_once(tmp_path):
    put(tmp_path / "elsewhere" / "a.png")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "root")
    assert find_images(tmp_path / "root").paths == ("link/a.png",)


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    put(tmp_path / "a.png")
    put(tmp_path / "d" / "closed" / "b.png")
    scandir = os.scandir

    def refusing(path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    found = find_images(tmp_path)
    assert found.paths == ("a.png",)
    assert found.left_out == {"d/closed": "Permission denied"}


def test_no_folder(tmp_path):
    found = find_images(tmp_path / "none")
    assert found.paths == ()
    assert found.left_out == {".": "No such file or directory"}


def test_names():
    assert is_image_name("a.JPG")
    assert not is_image_name("a.txt")
    assert not is_image_name("._a.jpg")
    assert is_hidden("__MACOSX")
    assert not is_hidden("a.b")

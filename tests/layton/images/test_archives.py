"""Archives as tar writes them, and as an attacker does; GNU tar itself is the reference."""

import io
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from layton.errors import ImageError
from layton.images import MAX_FILE_BYTES, Span, read_index, read_span

GNU_TAR = shutil.which("tar")


def add(archive: tarfile.TarFile, name: str, data: bytes = b"x", **fields: object) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for field, value in fields.items():
        setattr(member, field, value)
    archive.addfile(member, io.BytesIO(data))


def link(archive: tarfile.TarFile, name: str, target: str, kind: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    archive.addfile(member)


def contents(path: Path) -> dict[str, bytes]:
    return {name: read_span(path, span) for name, span in read_index(path).spans.items()}


def test_links_to_members_are_pictures(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        link(archive, "before.png", "d/0.png", tarfile.SYMTYPE)
        add(archive, "d/0.png", b"zero")
        link(archive, "hard.png", "d/0.png", tarfile.LNKTYPE)
        link(archive, "d/soft.png", "0.png", tarfile.SYMTYPE)
        link(archive, "d/up.png", "../hard.png", tarfile.SYMTYPE)
        link(archive, "gone.png", "none.png", tarfile.SYMTYPE)
        link(archive, "out.png", "../../etc/passwd", tarfile.SYMTYPE)
        link(archive, "loop.png", "pool.png", tarfile.SYMTYPE)
        link(archive, "pool.png", "loop.png", tarfile.SYMTYPE)
        link(archive, "text", "none", tarfile.SYMTYPE)
    index = read_index(path)
    assert list(index.spans) == ["before.png", "d/0.png", "hard.png", "d/soft.png", "d/up.png"]
    assert set(contents(path).values()) == {b"zero"}
    assert index.left_out == {
        "gone.png": "it links to none.png, which is not in the archive",
        "out.png": "it links to ../../etc/passwd, which is not in the archive",
        "loop.png": "it links to loop.png, which is not in the archive",
        "pool.png": "it links to pool.png, which is not in the archive",
    }
    assert index.damage == ""


def test_names(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for name in ("./0.png", "/abs/1.png", "a//b/./2.png", "../3.png", "a/../../4.png",
                     "__MACOSX/5.png", ".hidden/6.png", "a/._7.png", "8.txt"):  # fmt: skip
            add(archive, name)
    index = read_index(path)
    assert list(index.spans) == ["0.png", "abs/1.png", "a/b/2.png", "8.txt"]
    reason = "its name leads out of the archive's folder"
    assert index.left_out == {"../3.png": reason, "../4.png": reason}


def test_of_two_members_of_one_name_the_last_counts(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        add(archive, "0.png", b"old")
        add(archive, "1.png", b"one")
        add(archive, "./0.png", b"new")
    assert contents(path) == {"0.png": b"new", "1.png": b"one"}
    assert read_index(path).left_out == {"0.png": "another member of the same name follows"}


@pytest.mark.skipif(GNU_TAR is None or sys.platform != "linux", reason="needs GNU tar")
@pytest.mark.parametrize("form", ["gnu", "pax", "posix --sparse-version=0.0", "oldgnu"])
def test_sparse_files_of_gnu_tar(tmp_path, form):
    folder = tmp_path / "folder"
    folder.mkdir()
    parts = {0: b"head", 1 << 16: b"middle" * 1000, 3 << 16: b"end"}
    for name, tail in (("a.png", 0), ("hole-at-end.png", 1 << 20)):
        with (folder / name).open("wb") as file:
            for position, data in parts.items():
                file.seek(position)
                file.write(data)
            file.truncate((3 << 16) + 3 + tail)
    (folder / "plain.png").write_bytes(b"plain")
    os.link(folder / "plain.png", folder / "same.png")
    words = ["--sparse", f"--format={form.split()[0]}", *form.split()[1:]]
    if "--sparse-version=0.0" in words:
        words[1] = "--format=pax"
    path = tmp_path / "a.tar"
    done = subprocess.run([str(GNU_TAR), "cf", path, *words, "-C", folder, "."], check=False)
    if done.returncode:
        pytest.skip("this tar does not write such archives")
    assert contents(path) == {p.name: p.read_bytes() for p in folder.iterdir()}
    assert path.stat().st_size < (3 << 16) or not read_index(path).spans["a.png"].parts
    assert read_index(path).damage == ""


@pytest.mark.parametrize("padding", [0, 20, 1000])
def test_archives_joined_end_to_end(tmp_path, padding):
    parts = []
    for number in range(3):
        with tarfile.open(tmp_path / "part.tar", "w") as archive:
            add(archive, f"{number}.png", bytes([number]))
        parts.append((tmp_path / "part.tar").read_bytes() + bytes(512 * padding))
    path = tmp_path / "a.tar"
    path.write_bytes(b"".join(parts))
    assert contents(path) == {"0.png": b"\0", "1.png": b"\1", "2.png": b"\2"}
    assert read_index(path).damage == ""
    path.write_bytes(b"".join(parts) + b"no archive" * 100)
    index = read_index(path)
    assert len(index.spans) == 3
    assert index.damage


def header(name: bytes, size: int, kind: bytes = b"0") -> bytes:
    """A header by hand; a negative or large size in base 256, as GNU tar has it."""
    number = (
        b"%011o\0" % size if 0 <= size < 8**11 else b"\x80" + (size % 2**88).to_bytes(11, "big")
    )
    if size < 0:
        number = b"\xff" + number[1:]
    block = name.ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + number + b"00000000000\0"
    block += b" " * 8 + kind + b"\0" * 100 + b"ustar  \0"
    block = block.ljust(512, b"\0")
    checksum = b"%06o\0 " % sum(block)
    return block[:148] + checksum + block[156:]


GOOD = header(b"good.png", 4) + b"good".ljust(512, b"\0")


def pax(records: bytes) -> bytes:
    return header(b"pax", len(records), b"x") + records.ljust(-(-len(records) // 512) * 512, b"\0")


def record(key: bytes, value: bytes) -> bytes:
    size = len(key) + len(value) + 3
    size += len(str(size + len(str(size))))
    return b"%d %s=%s\n" % (size, key, value)


@pytest.mark.parametrize(
    "attack",
    [
        header(b"loop.png", -512),
        header(b"loop.png", -1024),
        header(b"loop.png", -(2**60)),
        header(b"name", -512, b"L"),
        header(b"name", 2**40, b"L"),
        header(b"pax", -512, b"x"),
        header(b"pax", 2**62, b"x"),
        pax(record(b"size", b"-512")) + header(b"loop.png", 4),
        pax(record(b"size", b"-1536")) + header(b"loop.png", 4),
        pax(b"x" * 600),
        pax(record(b"GNU.sparse.major", b"1") + record(b"GNU.sparse.minor", b"0"))
        + header(b"sparse.png", 512) + b"9" * 512,
    ],
)  # fmt: skip
def test_sizes_that_lie_end_the_reading(tmp_path, attack):
    path = tmp_path / "a.tar"
    path.write_bytes(GOOD + attack + bytes(1024))
    start = time.perf_counter()
    index = read_index(path)
    assert time.perf_counter() - start < 5
    assert read_span(path, index.spans["good.png"]) == b"good"
    assert index.damage


def test_a_chain_of_headers_that_each_need_the_next(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(GOOD + pax(record(b"comment", b"x")) * 5000 + GOOD)
    index = read_index(path)
    assert "good.png" in index.spans
    assert index.damage


def test_sizes_beyond_the_archive(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(GOOD + header(b"long.png", 5000) + b"short".ljust(512, b"\0"))
    index = read_index(path)
    assert index.damage
    with pytest.raises(ImageError, match="cut short: the archive holds 512 of 5000 bytes"):
        read_span(path, index.spans["long.png"])
    path.write_bytes(GOOD + header(b"huge.png", 2**50))
    index = read_index(path)
    assert list(index.spans) == ["good.png"]
    assert index.left_out == {"huge.png": f"it is too large: {2**50:,} bytes"}
    assert MAX_FILE_BYTES < 2**50


def sparse_header(name: bytes, parts: list[tuple[int, int]], stored: int, size: int) -> bytes:
    block = bytearray(header(name, stored, b"S"))
    for number, part in enumerate(parts):
        place = 386 + 24 * number
        block[place : place + 24] = b"%011o\0%011o\0" % part
    block[483:495] = b"%011o\0" % size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def test_sparse_parts_by_hand(tmp_path):
    path = tmp_path / "a.tar"
    data = b"abcd".ljust(512, b"\0")
    path.write_bytes(sparse_header(b"a.png", [(2, 3), (7, 1)], 4, 10) + data + bytes(1024))
    assert contents(path) == {"a.png": b"\0\0abc\0\0d\0\0"}
    for parts in ([(0, 3), (1, 3)], [(8, 3)], [(0, 8**11 - 1)]):
        path.write_bytes(sparse_header(b"a.png", parts, 4, 10) + data + GOOD + bytes(1024))
        index = read_index(path)
        assert list(index.spans) == ["good.png"]
        assert index.left_out == {"a.png": "its sparse parts do not fit its size"}


def test_what_is_no_archive(tmp_path):
    for content in (b"", b"hello" * 1000, b"\x1f\x8b" + bytes(2000)):
        (tmp_path / "a.tar").write_bytes(content)
        index = read_index(tmp_path / "a.tar")
        assert index.damage
        assert index.spans == {}
    with pytest.raises(ImageError, match="there is no such file"):
        read_index(tmp_path / "none.tar")
    with pytest.raises(ImageError, match="it is not a regular file"):
        read_index(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes and devices are files of Unix")
def test_pipes_devices_and_endless_zeros_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.tar")
    (tmp_path / "zero.tar").symlink_to("/dev/zero")
    for name in ("pipe.tar", "zero.tar"):
        with pytest.raises(ImageError, match="it is not a regular file"):
            read_index(tmp_path / name)
    with (tmp_path / "sparse.tar").open("wb") as file:
        file.write(GOOD)
        file.truncate(1 << 40)
    start = time.perf_counter()
    assert list(read_index(tmp_path / "sparse.tar").spans) == ["good.png"]
    assert time.perf_counter() - start < 5


def test_an_archive_that_vanishes(tmp_path):
    with pytest.raises(ImageError, match="cannot be read: No such file or directory"):
        read_span(tmp_path / "none.tar", Span(0, 1))


def test_fuzzed_headers_raise_nothing_else(tmp_path):
    import random

    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for number in range(4):
            add(archive, f"{'long' * 40}{number}.png", b"x" * 700, mtime=1.5)
    whole = path.read_bytes()
    dice = random.Random(0)
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(dice.randrange(1, 6)):
            place = dice.randrange(len(data))
            data[place : place + dice.randrange(1, 9)] = dice.randbytes(4)
        path.write_bytes(data)
        index = read_index(path)
        for span in index.spans.values():
            try:
                read_span(path, span)
            except ImageError:
                continue


def test_numbers_are_read_as_struct_writes_them():
    assert header(b"a", 5)[124:135] == b"00000000005"
    assert struct.unpack(">q", header(b"a", -512)[128:136])[0] == -512

"""Kept digests: when they hold, when they do not, and a cache that cannot be used."""

import os
import sqlite3
import time
from pathlib import Path

import pytest

from layton_bench.datasets.digest_cache import DigestCache, Stamp

CLOCK = "layton_bench.datasets.digest_cache.time.time_ns"
NOW = time.time_ns


@pytest.fixture(autouse=True)
def later(monkeypatch):
    """The ctime of a file cannot be set: let a minute pass before each look at the clock."""
    monkeypatch.setattr(CLOCK, lambda: NOW() + 60 * 10**9)


def stamp(path: Path, part: str = "") -> Stamp:
    return Stamp.of(path, part, path.stat())


def keep(*entries: tuple[Stamp, str]) -> None:
    cache = DigestCache()
    cache.keep(entries)
    cache.close()


def find(wanted: Stamp) -> str | None:
    cache = DigestCache()
    found = cache.find(wanted)
    cache.close()
    return found


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "a.tar"
    file.write_bytes(b"one")
    return file


def test_a_digest_is_kept_for_each_part_of_a_file(path):
    keep((stamp(path, "1"), "first"), (stamp(path, "2"), "second"))
    assert find(stamp(path, "1")) == "first"
    assert find(stamp(path, "2")) == "second"
    assert find(stamp(path, "3")) is None


def as_it_was(path: Path, before: os.stat_result) -> None:
    """Give a file its old modification time again."""
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def written_over(path: Path) -> None:
    path.write_bytes(b"two")


def moved_into_place(path: Path) -> None:
    path.with_name("new").write_bytes(b"two")
    path.with_name("new").replace(path)


def exchanged(path: Path) -> None:
    path.with_name("b.bin").write_bytes(b"two")
    path.rename(path.with_name("c"))
    path.with_name("b.bin").rename(path)


@pytest.mark.parametrize("replace", [written_over, moved_into_place, exchanged])
def test_a_file_of_equal_size_and_time_is_noticed(path, replace):
    before = path.stat()
    keep((stamp(path), "old"))
    assert find(stamp(path)) == "old"
    time.sleep(0.02)  # the clock of a file system may be that coarse
    replace(path)
    as_it_was(path, before)
    assert find(stamp(path)) is None


def test_a_file_of_just_now_is_not_trusted_to_show_its_next_change(path, monkeypatch):
    monkeypatch.setattr(CLOCK, NOW)
    keep((stamp(path), "old"))
    assert find(stamp(path)) is None


def test_a_name_in_another_encoding(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    try:
        path.write_bytes(b"one")
    except OSError:
        pytest.skip("this file system has names in UTF-8 only")
    keep((stamp(path), "digest"))
    assert find(stamp(path)) == "digest"


@pytest.mark.parametrize("fault", ["file in place of the folder", "no database", "other table"])
def test_a_cache_that_cannot_be_used_is_an_empty_one(tmp_path, path, monkeypatch, caplog, fault):
    cache = tmp_path / "cache"
    monkeypatch.setenv("LAYTON_BENCH_CACHE", str(cache))
    if fault == "file in place of the folder":
        cache.write_bytes(b"")
    else:
        cache.mkdir()
    if fault == "no database":
        (cache / "digests.sqlite").write_bytes(b"rubbish" * 1000)
    if fault == "other table":
        connection = sqlite3.connect(cache / "digests.sqlite")
        connection.execute("CREATE TABLE contents (a)")
        connection.close()
    keep((stamp(path), "digest"))
    assert find(stamp(path)) is None
    assert "digests of images cannot be kept: " in caplog.text


def test_the_table_of_an_older_version_is_left_alone(path):
    folder = Path(os.environ["LAYTON_BENCH_CACHE"])
    connection = sqlite3.connect(folder / "digests.sqlite")
    connection.execute("CREATE TABLE digests (path TEXT, part TEXT, size INTEGER)")
    connection.execute("INSERT INTO digests VALUES ('a', 'b', 3)")
    connection.commit()
    keep((stamp(path), "digest"))
    assert find(stamp(path)) == "digest"
    assert connection.execute("SELECT * FROM digests").fetchall() == [("a", "b", 3)]
    connection.close()

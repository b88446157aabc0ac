import hashlib
import os
import time
from pathlib import Path

import pytest

from layton_bench.datasets.fingerprints import (
    UNREADABLE,
    content_digests,
    duplicates,
    files_digest,
    fingerprint,
    prompted_fingerprint,
    sample_digests,
)
from layton_bench.datasets.layouts.folder import FileDataset, open_folder
from layton_bench.errors import ImageError
from layton_bench.types import Item

LONG_AGO = time.time() - 3600


CLOCK = "layton_bench.datasets.digest_cache.time.time_ns"
NOW = time.time_ns


@pytest.fixture(autouse=True)
def later(monkeypatch):
    """The ctime of a file cannot be set: let a minute pass before each look at the clock."""
    monkeypatch.setattr(CLOCK, lambda: NOW() + 60 * 10**9)


def put(path: Path, data: bytes, *, at: float = LONG_AGO) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (at, at))
    return path


class Counting:
    """A data set that counts how often it is read."""

    def __init__(self, inner: FileDataset) -> None:
        self.name = inner.name
        self.inner = inner
        self.reads = 0

    def items(self):
        return self.inner.items()

    def source(self, item: Item) -> Path:
        return self.inner.source(item)

    def read(self, item: Item) -> bytes:
        self.reads += 1
        return self.inner.read(item)


def counting(root: Path) -> Counting:
    return Counting(open_folder(root))


def test_files_have_the_digest_of_their_contents(tmp_path):
    paths = [put(tmp_path / name, name.encode()) for name in ("a.bin", "b.bin")]
    digests = sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in paths)
    expected = hashlib.sha256("\n".join(digests).encode()).hexdigest()
    assert files_digest(paths) == files_digest(paths[::-1]) == expected
    paths[0].rename(tmp_path / "c.bin")
    assert files_digest([tmp_path / "c.bin", paths[1]]) == expected
    put(paths[1], b"other", at=LONG_AGO + 1)
    assert files_digest([tmp_path / "c.bin", paths[1]]) != expected
    paths[1].unlink()
    digests = sorted([hashlib.sha256(b"a.bin").hexdigest(), UNREADABLE])
    expected = hashlib.sha256("\n".join(digests).encode()).hexdigest()
    assert files_digest([tmp_path / "c.bin", paths[1]]) == expected


def test_what_is_drawn_for_an_image_counts_where_it_is_asked(tmp_path):
    put(tmp_path / "a.png", b"one")
    put(tmp_path / "b.png", b"two")
    dataset = open_folder(tmp_path)
    captions = {"a": ("a cat", "more"), "b": ("a dog",)}

    def of(captions):
        drawn = dataset.with_captions(captions)
        return prompted_fingerprint(drawn, drawn.items())

    first = of(captions)
    assert first == of(captions | {"a": ("a cat", "another second one")})
    assert first != of(captions | {"a": ("a cow",)})
    assert first != of({"a": ("a dog",), "b": ("a cat",)})  # which prompt is whose
    drawn = dataset.with_captions(captions)
    assert prompted_fingerprint(drawn, drawn.items()[::-1]) == first
    assert fingerprint(drawn, drawn.items()) == fingerprint(dataset, dataset.items())


def test_value_by_hand(tmp_path):
    put(tmp_path / "a.png", b"one")
    put(tmp_path / "b.png", b"two")
    dataset = open_folder(tmp_path)
    digests = sorted(hashlib.sha256(data).hexdigest() for data in (b"one", b"two"))
    expected = hashlib.sha256("\n".join(digests).encode()).hexdigest()
    assert fingerprint(dataset, dataset.items()) == expected


def test_names_places_and_order_do_not_count_but_contents_and_number_do(tmp_path):
    put(tmp_path / "x" / "a.png", b"one")
    put(tmp_path / "x" / "b.png", b"two")
    put(tmp_path / "y" / "deep" / "z.jpg", b"one")
    put(tmp_path / "y" / "1.png", b"two")
    first, second = open_folder(tmp_path / "x"), open_folder(tmp_path / "y")
    whole = fingerprint(first, first.items())
    assert fingerprint(second, second.items()) == whole
    assert fingerprint(first, first.items()[::-1]) == whole
    assert fingerprint(first, first.items()[:1]) != whole
    put(tmp_path / "y" / "2.png", b"two")
    third = open_folder(tmp_path / "y")
    assert fingerprint(third, third.items()) != whole


def test_second_time_nothing_is_read(tmp_path):
    for i in range(20):
        put(tmp_path / f"{i}.png", bytes([i]))
    first, second = counting(tmp_path), counting(tmp_path)
    value = fingerprint(first, first.items())
    assert first.reads == 20
    assert fingerprint(second, second.items()) == value
    assert duplicates(second, second.items()) == ()
    assert second.reads == 0


def test_a_changed_file_is_read_again(tmp_path):
    path = put(tmp_path / "a.png", b"one")
    put(tmp_path / "b.png", b"two")
    dataset = counting(tmp_path)
    before = fingerprint(dataset, dataset.items())
    put(path, b"uno", at=LONG_AGO + 1)  # same size, another time
    assert fingerprint(dataset, dataset.items()) != before
    assert dataset.reads == 3
    put(path, b"three", at=LONG_AGO + 1)  # same time, another size
    fingerprint(dataset, dataset.items())
    assert dataset.reads == 4


def test_which_name_has_which_content(tmp_path):
    put(tmp_path / "a.png", b"one")
    put(tmp_path / "b.png", b"two")
    dataset = open_folder(tmp_path)
    one, two = (hashlib.sha256(data).hexdigest() for data in (b"one", b"two"))
    assert sample_digests(dataset, dataset.items()) == {"a": one, "b": two}
    whole = fingerprint(dataset, dataset.items())
    put(tmp_path / "a.png", b"two")
    put(tmp_path / "b.png", b"one")
    assert sample_digests(dataset, dataset.items()) == {"a": two, "b": one}
    assert fingerprint(dataset, dataset.items()) == whole


def test_unreadable_and_empty_files_count_as_such(tmp_path):
    put(tmp_path / "a.png", b"one")
    put(tmp_path / "b.png", b"")
    gone = put(tmp_path / "c.png", b"three")
    dataset = open_folder(tmp_path)
    gone.unlink()
    found = content_digests(dataset, dataset.items())
    empty = hashlib.sha256(b"").hexdigest()
    assert found == (hashlib.sha256(b"one").hexdigest(), empty, UNREADABLE)
    with_gap = fingerprint(dataset, dataset.items())
    assert with_gap != fingerprint(dataset, dataset.items()[:2])
    put(gone, b"three")
    assert fingerprint(dataset, dataset.items()) != with_gap


def test_duplicates_are_grouped_in_order_and_unreadable_ones_are_not(tmp_path):
    for name, data in (
        ("e", b"1"),
        ("d", b"2"),
        ("c", b"1"),
        ("b", b"3"),
        ("a", b"2"),
        ("f", b"1"),
    ):
        put(tmp_path / f"{name}.png", data)
    dataset = open_folder(tmp_path)
    assert duplicates(dataset, dataset.items()) == (("a", "d"), ("c", "e", "f"))
    missing = tuple(Item(key=str(i), locator=f"{i}.gone") for i in range(3))
    assert duplicates(dataset, missing) == ()


def test_a_data_set_without_files_is_read_each_time():
    class InMemory:
        name = "memory"

        def items(self):
            return [Item(key="a"), Item(key="b")]

        def read(self, item):
            if item.key == "b":
                raise ImageError("no")
            return b"one"

    dataset = InMemory()
    expected = (hashlib.sha256(b"one").hexdigest(), UNREADABLE)
    assert content_digests(dataset, dataset.items()) == expected


def test_no_items(tmp_path):
    put(tmp_path / "a.png", b"one")
    dataset = open_folder(tmp_path)
    assert fingerprint(dataset, ()) == hashlib.sha256(b"").hexdigest()
    assert duplicates(dataset, ()) == ()


class Told:
    """A reporter that keeps what it is told."""

    def __init__(self):
        self.heard = []

    def start(self, title, total):
        self.heard.append((title, total))

    def advance(self, count):
        self.heard.append(count)

    def finish(self):
        self.heard.append("done")


def test_a_long_reading_is_told_of_and_no_short_one(tmp_path, monkeypatch):
    monkeypatch.setattr("layton_bench.datasets.fingerprints._MANY", 2)
    for name in ("a", "b", "c"):
        put(tmp_path / f"{name}.png", name.encode())
    dataset = open_folder(tmp_path)
    first, again = Told(), Told()
    value = fingerprint(dataset, dataset.items()[:2], reporter=first)
    assert first.heard == [("Fingerprint of the data", 2), 1, 1, "done"]
    # one more is to be read, the others are known
    assert fingerprint(dataset, dataset.items(), reporter=again) != value
    assert again.heard == []


@pytest.mark.parametrize("fault", [ArithmeticError("lost"), SystemExit(0), "no bytes"])
def test_a_reader_of_a_plugin_that_fails_is_an_unreadable_item(tmp_path, fault):
    put(tmp_path / "a.png", b"one")
    dataset = open_folder(tmp_path)
    items = dataset.items()

    class Sick:
        name = "sick"

        def items(self):
            return items

        def read(self, item):
            if isinstance(fault, BaseException):
                raise fault
            return fault

    unreadable = hashlib.sha256(UNREADABLE.encode()).hexdigest()
    assert fingerprint(Sick(), items) == unreadable != fingerprint(dataset, items)

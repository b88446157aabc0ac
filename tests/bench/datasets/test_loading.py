import os
import signal
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lab import file_bytes, picture
from odd_datasets import Deadly, Odd
from PIL import Image

from layton_bench.datasets.layouts.folder import open_folder
from layton_bench.datasets.layouts.parquet import open_parquet
from layton_bench.datasets.loading import ITEMS_PER_WORKER, fitting_workers, load
from layton_bench.datasets.protocols import PROTOCOLS
from layton_bench.errors import UserError
from layton_bench.images import decode_rgb
from layton_bench.machine.workers import available_cores
from layton_bench.types import ImageBatch

BY_NAME = {protocol.name: protocol for protocol in PROTOCOLS}
CANONICAL, NATIVE = BY_NAME["canonical"], BY_NAME["native"]
WORKERS = pytest.mark.parametrize("num_workers", [0, 2])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 good pictures of two sizes, and bad files among and after them."""
    root = tmp_path_factory.mktemp("pictures")
    for i in range(20):
        size = (40, 30) if i < 12 else (30, 20)
        (root / f"{i:02d}.png").write_bytes(file_bytes(picture(i, size)))
    jpeg = file_bytes(picture(50, (64, 64)), "JPEG")
    (root / "05x.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (root / "11x.jpg").write_bytes(b"")
    (root / "99.jpg").write_bytes(b"hello")
    (root / "99b.jpg").write_bytes(b"hello")
    return root


def good_keys() -> list[str]:
    return [f"{i:02d}" for i in range(20)]


def run(folder: Path, protocol=CANONICAL, size_px=16, **kwargs) -> list[ImageBatch]:
    dataset = open_folder(folder)
    return list(load(dataset, dataset.items(), protocol, size_px, **kwargs))


@WORKERS
def test_batches_hold_the_protocols_pixels_in_order(folder, num_workers):
    batches = run(folder, batch_size=6, num_workers=num_workers)
    assert [len(batch.items) for batch in batches] == [6, 6, 6, 2]
    assert [key for batch in batches for key in batch.keys] == good_keys()
    for batch in batches:
        assert batch.images.dtype == torch.uint8
        assert batch.images.shape == (len(batch.items), 3, 16, 16)
        assert batch.images.is_contiguous()
    for key, image in zip(good_keys(), torch.cat([b.images for b in batches]), strict=True):
        picture_ = decode_rgb((folder / f"{key}.png").read_bytes())
        expected = CANONICAL.apply(picture_, 16)
        assert (image.permute(1, 2, 0).numpy() == expected).all()


@WORKERS
def test_bad_files_are_failures_of_the_batch_they_would_have_been_in(folder, num_workers):
    batches = run(folder, batch_size=6, num_workers=num_workers)
    found = [
        [(f.key, f.stage, f.reason.split(":")[0]) for f in batch.failures] for batch in batches
    ]
    assert found == [
        [],
        [("05x", "read", "cannot be decoded")],
        [("11x", "read", "the file is empty (0 bytes)")],
        [
            ("99", "read", "not an image in any known format (it starts with 68 65 6c 6c 6f)"),
            ("99b", "read", "not an image in any known format (it starts with 68 65 6c 6c 6f)"),
        ],
    ]
    (truncated,) = batches[1].failures
    assert "truncated" in truncated.reason


@WORKERS
def test_failures_after_the_last_full_batch_come_without_images(folder, num_workers):
    *full, last = run(folder, batch_size=5, num_workers=num_workers)
    assert [len(batch.items) for batch in full] == [5, 5, 5, 5]
    assert last.items == ()
    assert len(last.images) == 0
    assert [failure.key for failure in last.failures] == ["99", "99b"]


@WORKERS
def test_native_sizes_end_a_batch_where_the_size_changes(folder, num_workers):
    batches = run(folder, NATIVE, None, batch_size=8, num_workers=num_workers)
    assert [tuple(batch.images.shape) for batch in batches] == [
        (8, 3, 30, 40),
        (4, 3, 30, 40),
        (8, 3, 20, 30),
        (0, 3, 0, 0),
    ]
    assert [key for batch in batches for key in batch.keys] == good_keys()


def test_pictures_smaller_than_the_size_are_listed_as_upscaled(folder):
    batches = run(folder, CANONICAL, 25, batch_size=50, num_workers=0)
    assert batches[0].upscaled == tuple(good_keys()[12:])
    assert run(folder, NATIVE, None, batch_size=50, num_workers=0)[0].upscaled == ()


def test_a_square_protocol_needs_a_size(folder):
    with pytest.raises(UserError) as caught:
        run(folder, CANONICAL, None, batch_size=4)
    assert caught.value.thing == "protocol canonical@1"
    assert "size_px" in caught.value.remedy


@WORKERS
def test_no_items(folder, num_workers):
    dataset = open_folder(folder)
    assert list(load(dataset, (), CANONICAL, 16, batch_size=4, num_workers=num_workers)) == []


def test_only_bad_items(folder):
    dataset = open_folder(folder)
    bad = [item for item in dataset.items() if item.key.startswith("99")]
    (batch,) = load(dataset, bad, CANONICAL, 16, batch_size=1, num_workers=0)
    assert batch.items == ()
    assert [failure.key for failure in batch.failures] == ["99", "99b"]


@WORKERS
def test_a_data_set_that_reads_in_order(folder, tmp_path, num_workers):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    files = sorted(folder.iterdir())
    images = [{"bytes": path.read_bytes(), "path": path.name} for path in files]
    images[3]["bytes"] = None
    pq.write_table(pa.table({"image": images}), tmp_path / "a.parquet", row_group_size=4)
    dataset = open_parquet([tmp_path / "a.parquet"], name="p")
    batches = list(
        load(dataset, dataset.items(), CANONICAL, 16, batch_size=7, num_workers=num_workers)
    )
    assert [key for b in batches for key in b.keys] == [k for k in good_keys() if k != "03"]
    assert [f.key for b in batches for f in b.failures] == ["03", "05x", "11x", "99", "99b"]
    plain = torch.cat([b.images for b in run(folder, batch_size=7, num_workers=0)])
    expected = torch.cat([plain[:3], plain[4:]])
    assert torch.equal(torch.cat([b.images for b in batches]), expected)


def test_memory_does_not_grow_with_what_was_read(folder):
    """Only a bounded number of items is taken ahead of the batch that is asked for."""
    dataset = open_folder(folder)
    taken = []

    class Watched(list):
        def __iter__(self):
            for item in super().__iter__():
                taken.append(item.key)
                yield item

    items = Watched(dataset.items()[:1] * 400)
    with closing(load(dataset, items, CANONICAL, 16, batch_size=10, num_workers=2)) as batches:
        for number in range(1, 11):
            next(batches)
            assert len(taken) <= 10 * number + 2 * 10 + 2 * 8
    assert len(taken) < 200


def children() -> set[int]:
    psutil = pytest.importorskip("psutil")
    return {
        child.pid
        for child in psutil.Process().children(recursive=True)
        if "resource_tracker" not in " ".join(child.cmdline())
    }


def test_closing_early_leaves_no_process(folder):
    dataset = open_folder(folder)
    before = children()
    with closing(
        load(dataset, dataset.items() * 20, CANONICAL, 16, batch_size=4, num_workers=2)
    ) as batches:
        next(batches)
        assert len(children() - before) == 2
    assert children() == before


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_worker_that_is_killed_costs_nothing(folder):
    dataset = open_folder(folder)
    before = children()
    with closing(
        load(dataset, dataset.items() * 20, CANONICAL, 16, batch_size=4, num_workers=2)
    ) as batches:
        found = [next(batches)]
        os.kill(min(children() - before), signal.SIGKILL)
        found += batches
    assert [key for batch in found for key in batch.keys] == good_keys() * 20
    assert children() == before


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_item_at_which_the_worker_dies_is_a_failure(folder):
    dataset = Deadly(open_folder(folder), "07")
    batches = list(load(dataset, dataset.items(), CANONICAL, 16, batch_size=4, num_workers=2))
    assert [k for b in batches for k in b.keys] == [k for k in good_keys() if k != "07"]
    reasons = {f.key: f.reason for b in batches for f in b.failures}
    assert reasons["07"] == "the process that read it died (killed, or out of memory)"
    assert len(reasons) == 5


@WORKERS
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("none", "empty"),
        ("text", "cannot be decoded"),
        ("exit", "SystemExit"),
        ("key", "KeyError: 'no such thing'"),
        ("memory", "MemoryError"),
    ],
)
def test_a_data_set_that_fails_in_its_own_way_costs_its_sample(num_workers, fault, reason):
    dataset = Odd(fault)
    (batch,) = load(dataset, dataset.items(), CANONICAL, 16, batch_size=4, num_workers=num_workers)
    assert batch.keys == ("good",)
    ((key, found),) = [(failure.key, failure.reason) for failure in batch.failures]
    assert key == "bad"
    assert reason in found


def wrong_shape(image, size_px):
    return np.zeros((size_px, size_px), np.uint8)


def no_memory(image, size_px):
    raise MemoryError


@pytest.mark.parametrize(
    ("apply", "reason"),
    [
        (wrong_shape, "protocol canonical@1 gave uint8 (16, 16) instead of uint8 (H, W, 3)"),
        (no_memory, "too large: there is not enough memory for it"),
    ],
)
def test_a_protocol_that_fails_costs_its_sample(folder, apply, reason):
    dataset = open_folder(folder)
    (batch,) = load(
        dataset, dataset.items()[:1], replace(CANONICAL, apply=apply), 16,
        batch_size=4, num_workers=0,
    )  # fmt: skip
    assert [failure.reason for failure in batch.failures] == [reason]


def test_how_many_workers():
    assert fitting_workers(0) == 0
    assert fitting_workers(ITEMS_PER_WORKER - 1) == 0
    assert fitting_workers(ITEMS_PER_WORKER) == 1
    assert fitting_workers(10**6) == available_cores()
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


def test_real_photographs_come_out_the_same_from_workers(shared):
    dataset = open_folder(shared / "data" / "coco-mini" / "val2017")
    items = dataset.items()[:24]
    for name in ("canonical", "adm-center-crop"):
        alone, apart = (
            torch.cat(
                [
                    batch.images
                    for batch in load(
                        dataset, items, BY_NAME[name], 64, batch_size=5, num_workers=num_workers
                    )
                ]
            )
            for num_workers in (0, 2)
        )
        assert torch.equal(alone, apart)
        assert len(alone) == 24


def test_sixteen_bit_grey_goes_through(tmp_path):
    values = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    (tmp_path / "a.png").write_bytes(file_bytes(Image.fromarray(values)))
    (batch,) = run(tmp_path, NATIVE, None, batch_size=1, num_workers=0)
    assert (batch.images[0, 0].numpy() == np.rint(values / 257)).all()

"""How fast images are loaded: processes against threads, the main process and torch's DataLoader.

    python benchmarks/bench_loader.py [--images 600] [--rounds 3] [--workers 2] [--size 256]

Reads JPEG files of 500 × 375 px cut from the embedded photographs, by the canonical protocol, in
batches of 32. The ways are timed in turn, A B C D A B C D, workers' start included. The table gives
the best round, its ratio to the main process alone, and the CPU time of all processes together,
which other work on the machine disturbs less. ``--burden N`` lets the main process run N small
operations of torch for each batch, as it launches a model's kernels on a GPU.
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch

from layton_bench.datasets.layouts.embedded import open_photos
from layton_bench.datasets.layouts.folder import FileDataset, open_folder
from layton_bench.datasets.loading import Decoder, Loaded, Reader, batches, load
from layton_bench.datasets.protocols import PROTOCOLS
from layton_bench.images import decode_rgb

CANONICAL = PROTOCOLS[0]
BATCH = 32


def make_images(folder: Path, count: int) -> FileDataset:
    """``count`` crops of the photographs as JPEG files of quality 95."""
    photos = [decode_rgb(open_photos().read(item)) for item in open_photos().items()]
    rng = np.random.default_rng(0)
    for number in range(count):
        photo = photos[number % len(photos)]
        left = int(rng.integers(0, max(1, photo.width - 400)))
        crop = photo.crop((left, 0, left + 400, 300)).resize((500, 375))
        buffer = io.BytesIO()
        crop.save(buffer, format="JPEG", quality=95)
        (folder / f"{number:05d}.jpg").write_bytes(buffer.getvalue())
    return open_folder(folder)


class TorchDataset(torch.utils.data.Dataset[Loaded]):
    """The same work inside torch's DataLoader."""

    def __init__(self, dataset: FileDataset, size_px: int) -> None:
        self.items = dataset.items()
        self.reader = Reader(dataset, Decoder(CANONICAL, size_px))

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.from_numpy(self.reader(self.items[index]).pixels)


def ours(dataset: FileDataset, size_px: int, num_workers: int) -> Iterator[torch.Tensor]:
    """The package's loader."""
    for batch in load(dataset, dataset.items(), CANONICAL, size_px, batch_size=BATCH,
                      num_workers=num_workers):  # fmt: skip
        yield batch.images


def threads(dataset: FileDataset, size_px: int, num_workers: int) -> Iterator[torch.Tensor]:
    """The same work on threads, two batches ahead."""
    reader = Reader(dataset, Decoder(CANONICAL, size_px))
    items = dataset.items()
    with ThreadPoolExecutor(num_workers) as pool:
        pending = [pool.submit(reader, item) for item in items[: 2 * BATCH]]

        def results() -> Iterator[Loaded]:
            for number in range(len(items)):
                if number + 2 * BATCH < len(items):
                    pending.append(pool.submit(reader, items[number + 2 * BATCH]))
                yield pending[number].result()
                pending[number] = None

        for batch in batches(results(), batch_size=BATCH):
            yield batch.images


def dataloader(dataset: FileDataset, size_px: int, num_workers: int) -> Iterator[torch.Tensor]:
    """The DataLoader of torch with spawned workers."""
    yield from torch.utils.data.DataLoader(
        TorchDataset(dataset, size_px), batch_size=BATCH, num_workers=num_workers,
        multiprocessing_context="spawn",
    )  # fmt: skip


def seconds(way: Callable[[], Iterator[torch.Tensor]], burden: int) -> tuple[float, float]:
    """Wall and CPU time to use up a loader, with some work of the main process for each batch."""
    weights = torch.randn(16, 16)
    start, start_cpu = time.perf_counter(), cpu_seconds()
    for _ in way():
        for _ in range(burden):
            weights = torch.tanh(weights)
    return time.perf_counter() - start, cpu_seconds() - start_cpu


def cpu_seconds() -> float:
    """CPU time of this process and of those that it started and that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> None:
    """Time all ways and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--burden", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        dataset = make_images(Path(folder), arguments.images)
        ways = {
            "main process": partial(ours, dataset, arguments.size, 0),
            "processes": partial(ours, dataset, arguments.size, arguments.workers),
            "threads": partial(threads, dataset, arguments.size, arguments.workers),
            "torch DataLoader": partial(dataloader, dataset, arguments.size, arguments.workers),
        }
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(arguments.rounds):
            for name, way in ways.items():
                times[name].append(seconds(way, arguments.burden))
    base = min(wall for wall, _ in times["main process"])
    for name, taken in times.items():
        wall, cpu = (min(values) for values in zip(*taken, strict=True))
        rounds = " ".join(f"{value:.1f}" for value, _ in taken)
        print(f"{name:18} {arguments.images / wall:6.0f} images/s  ×{base / wall:.2f}  "
              f"CPU {cpu / arguments.images * 1e3:.2f} ms an image  ({rounds} s)")  # fmt: skip


if __name__ == "__main__":
    main()

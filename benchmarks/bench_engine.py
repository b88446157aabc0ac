"""What the engine costs beyond decoding files and computing metrics, and whether memory grows.

    pytest benchmarks/bench_engine.py --benchmark-enable -s

Overhead: ``identity`` at 256 px over JPEG files, scored by the metrics of photos-256. The engine's
pass (loader, tokenizer contract, checks, rounding, gallery, bookkeeping) is compared with a bare
loop that decodes the same files and updates the same metrics, batch by batch in turn, in one
process and one thread, by CPU time, which other work on the machine disturbs least. Limit: 5 %.

Memory: the whole command line, `layton-bench run`, over 200 and over 2,000 images, each in a
process of its own; the peak of the main process, of which workers are no part. Limit: 50 MB apart.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from bench_loader import CANONICAL, make_images

from layton_bench.datasets.layouts.folder import FileDataset
from layton_bench.datasets.loading import Decoder, Reader, load
from layton_bench.machine.clock import Clock
from layton_bench.machine.memory import keep_freed_memory
from layton_bench.metrics.base import Metric, MetricContext
from layton_bench.models.base import LoadContext
from layton_bench.registry.plugins import Plugins
from layton_bench.run.engine.candidates import Reconstruct
from layton_bench.run.engine.gallery import Gallery
from layton_bench.run.engine.loop import evaluate
from layton_bench.seeds import sample_seed
from layton_bench.types import Codes, ImageBatch, Item, ScoredBatch

SIZE_PX, BATCH, IMAGES, ROUNDS = 256, 8, 96, 7
OVERHEAD_LIMIT, MEMORY_LIMIT_MB = 0.05, 50.0
PLUGINS = Plugins()
SUITE = PLUGINS.suites["photos-256"]


def make_metrics() -> dict[str, Metric]:
    context = MetricContext(features=None)  # type: ignore[arg-type]
    specs = {name: PLUGINS.metric(name) for name in SUITE.metrics}
    return {n: s.make(context) for n, s in specs.items() if "codebook" not in s.needs}


class BareLoop:
    """Decodes files and updates metrics with them, and nothing else; knows how long that took."""

    def __init__(self, dataset: FileDataset) -> None:
        self.read = Reader(dataset, Decoder(CANONICAL, SIZE_PX))
        self.metrics = make_metrics()
        self.seconds = 0.0

    def __call__(self, items: Sequence[Item]) -> None:
        """Score each file as its own reconstruction."""
        start = time.process_time()
        images = torch.from_numpy(np.stack([self.read(item).pixels for item in items]))
        codes = Codes(size_px=(SIZE_PX, SIZE_PX), payloads=tuple(b"" for _ in items))
        batch = ScoredBatch(
            keys=tuple(item.key for item in items),
            candidates=images.clone(),  # as much memory to read as a reconstruction
            references=images,
            codes=codes,
        )
        for metric in self.metrics.values():
            metric.update(batch)
        self.seconds += time.process_time() - start


def engine_and_bare_seconds(dataset: FileDataset) -> tuple[float, float]:
    """CPU seconds of a pass of the engine, and of the bare loop, which takes turns with it."""
    context = LoadContext(device="cpu", dtype="float32", weights=lambda name: Path(name))
    clock, bare = Clock(), BareLoop(dataset)
    candidates = Reconstruct(
        PLUGINS.model("identity").load(context),  # type: ignore[arg-type]
        seed_of=partial(sample_seed, SUITE.name, user_seed=0),
        rounding=SUITE.rounding,
        clock=clock,
        device="cpu",
    )

    def batches() -> Iterator[ImageBatch]:
        for batch in load(
            dataset, dataset.items(), CANONICAL, SIZE_PX, batch_size=BATCH, num_workers=0
        ):
            yield batch
            bare(batch.items)

    start = time.process_time()
    evaluate(batches(), candidates, make_metrics(), clock=clock, gallery=Gallery("psnr"))
    return time.process_time() - start - bare.seconds, bare.seconds


def test_overhead(benchmark, tmp_path):
    torch.set_num_threads(1)
    keep_freed_memory()  # as the command line does
    dataset = make_images(tmp_path, IMAGES)
    engine_and_bare_seconds(dataset)
    rounds = np.array([engine_and_bare_seconds(dataset) for _ in range(ROUNDS)])
    engine, bare = rounds.sum(axis=0) / ROUNDS / IMAGES * 1e3
    overhead = engine / bare - 1
    each = ", ".join(f"{e / b - 1:+.1%}" for e, b in rounds)
    print(f"\nbare {bare:.2f} ms, engine {engine:.2f} ms an image: {overhead:+.1%} ({each})")
    benchmark.extra_info |= {"bare_ms": bare, "engine_ms": engine, "overhead": overhead}
    benchmark.pedantic(engine_and_bare_seconds, (dataset,), rounds=1)
    assert overhead <= OVERHEAD_LIMIT


PLUGIN = """
from pathlib import Path
from layton_bench import DatasetSpec, hookimpl
from layton_bench.datasets.layouts.folder import open_folder

@hookimpl
def layton_bench_register_datasets(register):
    register(DatasetSpec(name="crops", summary="crops", num_items=None, open=open_folder))

@hookimpl
def layton_bench_register_suites(register):
    register(Path(__file__).with_name("crops-256.toml"))
"""
SUITE_FILE = f"""
name = "crops-256"
kind = "reconstruction"
summary = "crops of the photographs"
dataset = "crops"
reference = "crops"
size_px = {SIZE_PX}
protocol = "{CANONICAL.id}"
metrics = {json.dumps(list(SUITE.metrics))}
"""
RUNNER = """
import resource, sys
from layton_bench.cli import invoke
code = invoke(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
sys.exit(code)
"""


def peak_mb(folder: Path, count: int) -> float:
    """Peak memory of a run over ``count`` images, MiB."""
    images = folder / f"images-{count}"
    images.mkdir()
    make_images(images, count)
    words = ["--plugin", str(folder / "crops.py"), "run", "--suite", "crops-256"]
    words += ["--model", "identity", "--data-root", str(images)]
    words += ["--out", str(folder / f"results-{count}")]
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, *words],
        stdout=subprocess.PIPE,
        env=os.environ | {"LAYTON_BENCH_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"},
        text=True,
        check=True,
    )
    assert len(list((folder / f"results-{count}").rglob("record.json"))) == 1
    return float(done.stdout.splitlines()[-1])


@pytest.mark.skipif(sys.platform == "win32", reason="no resource usage of processes")
def test_memory(benchmark, tmp_path):
    (tmp_path / "crops.py").write_text(textwrap.dedent(PLUGIN))
    (tmp_path / "crops-256.toml").write_text(SUITE_FILE)
    few = peak_mb(tmp_path, 200)
    many = benchmark.pedantic(peak_mb, (tmp_path, 2000), rounds=1)
    print(f"\npeak {few:.0f} MB at 200 images, {many:.0f} MB at 2,000: {many - few:+.1f} MB")
    benchmark.extra_info |= {"peak_mb_200": few, "peak_mb_2000": many}
    assert many - few <= MEMORY_LIMIT_MB

"""Damaged files: each is read, or refused by name. Nothing hangs, fills memory, or runs code."""

from __future__ import annotations

import io
import json
import pickle
import resource
import signal
import tarfile
import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from lab import Lab, file_bytes, picture
from mutation import damaged, replaced
from safetensors.torch import save

from layton.errors import LaytonError
from layton.weights.checkpoint import read_state
from layton_bench.datasets import Dataset, open_prompts
from layton_bench.datasets.layouts.parquet import open_parquet
from layton_bench.datasets.layouts.webdataset import open_tars
from layton_bench.errors import ImageError, UserError
from layton_bench.gates.file import read_gates
from layton_bench.images import decode_rgb
from layton_bench.leaderboard import read_reported
from layton_bench.models.external.declaration import read_declaration
from layton_bench.records import read_record, read_samples, stored_runs
from layton_bench.records.folder import _digest
from layton_bench.suite import load_suite
from layton_bench.tasks.geneval import read_results
from layton_bench.weights import load_state_dict

if TYPE_CHECKING:
    from PIL import Image

SECONDS, MIB = 20, 1500

REFUSALS = (UserError, ImageError, LaytonError)
"""What a reader may raise; each has a message of its own."""


@contextmanager
def bounded():
    """Within the block, warnings count for nothing, and SECONDS and MIB are kept."""

    def ring(number: int, frame: object) -> None:
        raise AssertionError(f"not done in {SECONDS} s")

    before, peak = signal.signal(signal.SIGALRM, ring), _peak_mib()
    begin = time.monotonic()
    signal.alarm(SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - begin < SECONDS  # also where a reader has caught the alarm
    assert _peak_mib() - peak < MIB


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def attempt(read: Callable[[], object], what: bytes) -> bool:
    """Whether a file was read; False where it was refused with a message."""
    try:
        with bounded():
            read()
    except REFUSALS as error:
        assert str(error).strip()
        return False
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error}; file: {what[:200]!r} …") from error
    return True


def small() -> Image.Image:
    return picture(1, (40, 32))


def tar_bytes() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for number in range(3):
            for suffix, data in (("png", file_bytes(small())), ("txt", b"a cat"), ("cls", b"7")):
                info = tarfile.TarInfo(f"{number:03d}.{suffix}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def parquet_bytes() -> bytes:
    images = [{"bytes": file_bytes(small()), "path": f"{n}.png"} for n in range(3)]
    buffer = io.BytesIO()
    pq.write_table(pa.table({"image": images, "label": [1, 2, 3]}), buffer)
    return buffer.getvalue()


def torch_bytes(*, zipped: bool) -> bytes:
    buffer = io.BytesIO()
    state = {"a.weight": torch.ones(8, 4), "a.bias": torch.zeros(8)}
    torch.save({"model": state}, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


SUITE = b"""name = "own-64"
kind = "reconstruction"
summary = "small"
dataset = "photos"
reference = "photos"
size_px = 64
protocol = "canonical@1"
metrics = ["psnr", "ssim"]
"""
GATES = b"""[[gate]]
name = "a"
suite = "photos-256"
model = "webp@448B"
limit = 2
bounds.psnr = { min = 22.5 }
not_worse.ssim = { by = 0.01 }
baseline = "b"
"""
EXTERNAL = b"""command = ["python", "child.py"]
[card]
name = "outside"
kind = "tokenizer"
family = "own"
summary = "in a process of its own"
"""
GENEVAL = json.dumps({
    "filename": "00000/samples/0000.png", "tag": "single_object", "prompt": "a cup",
    "correct": True, "reason": "", "metadata": json.dumps({
        "tag": "single_object", "include": [{"class": "cup", "count": 1}], "prompt": "a cup"
    }), "details": "{}",
}).encode()  # fmt: skip
REPORTED = b"model,suite,metric,value,source,protocol,note\nm,photos-256,psnr,20.5,arXiv,crop,\n"


def all_images(open_files: Callable[..., Dataset], path: Path) -> None:
    """Decode every image of a data set; one that is refused costs itself alone."""
    dataset = open_files([path], name="x")
    for item in dataset.items():
        try:
            decode_rgb(dataset.read(item))
        except ImageError as error:
            assert str(error).strip()


def image_file(form: str) -> tuple[Callable[[], bytes], str, Callable[[Path], object]]:
    return lambda: file_bytes(small(), form), "x", lambda path: decode_rgb(path.read_bytes())


model_of = partial(load_state_dict, key="model")

FILES: dict[str, tuple[Callable[[], bytes], str, Callable[[Path], object]]] = {
    **{
        f"image {form}": image_file(form)
        for form in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
    },
    "tar": (tar_bytes, "x.tar", partial(all_images, open_tars)),
    "parquet": (parquet_bytes, "x.parquet", partial(all_images, open_parquet)),
    "suite": (lambda: SUITE, "own-64.toml", load_suite),
    "gates": (lambda: GATES, "x.gates.toml", read_gates),
    "external model": (lambda: EXTERNAL, "x.toml", read_declaration),
    "prompts txt": (lambda: b"a cat\na dog\n", "x.txt", lambda path: open_prompts(path).items()),
    "prompts jsonl": (
        lambda: b'{"prompt": "a cat"}\n{"prompt": "a dog"}\n', "x.jsonl",
        lambda path: open_prompts(path).items(),
    ),
    "prompts csv": (
        lambda: b"key,prompt\n1,a cat\n2,a dog\n", "x.csv", lambda path: open_prompts(path).items()
    ),
    "GenEval results": (lambda: GENEVAL, "results.jsonl", read_results),
    "published numbers": (
        lambda: REPORTED, "reported.csv", lambda path: read_reported(path.parent)
    ),
    "safetensors": (
        lambda: save({"a": torch.ones(8, 4), "b": torch.zeros(8)}), "x.safetensors", load_state_dict
    ),
    "checkpoint": (lambda: torch_bytes(zipped=True), "x.pth", model_of),
    "old checkpoint": (lambda: torch_bytes(zipped=False), "x.pth", model_of),
    "layton's checkpoint": (lambda: torch_bytes(zipped=True), "x.pth", read_state),
}  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
def test_a_damaged_file_is_read_or_refused(kind: str, tmp_path: Path, attacks: int) -> None:
    make, name, read = FILES[kind]
    data, path = make(), tmp_path / name
    path.write_bytes(data)
    assert attempt(lambda: read(path), data), "the whole file"
    outcomes = []
    for copy in damaged(data, kind, attacks):
        path.write_bytes(copy)
        outcomes.append(attempt(lambda: read(path), copy))
    # a line of published numbers that is wrong is left out, and the others are read
    if kind != "published numbers":
        assert not all(outcomes), "no damage was noticed: the attack is too weak"


@pytest.fixture
def run(lab: Lab) -> Any:
    lab.run("lab-half")
    (stored,) = stored_runs(lab.bench.results)
    return stored


def test_a_damaged_record_is_left_out_and_named(
    lab: Lab, run: Any, attacks: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither damage nor other values get through: a record has a digest."""
    path = run.folder / "record.json"
    data = path.read_bytes()
    for copy in damaged(data, "record", attacks):
        path.write_bytes(copy)
        found = attempt(lambda: read_record(run.folder), copy)
        assert not found or read_record(run.folder) == run.record
        with bounded():
            assert len(stored_runs(lab.bench.results)) == int(found)
    path.write_bytes(data)
    assert read_record(run.folder) == run.record


def test_a_record_of_hostile_values_with_a_right_digest(lab: Lab, run: Any, attacks: int) -> None:
    """Values that a plugin or another program may have put there: tables and pages still work."""
    path = run.folder / "record.json"
    raw = json.loads(path.read_text("utf-8"))
    for other in replaced(raw, "values", attacks):
        try:
            other["digest"] = _digest(other)
            path.write_text(json.dumps(other), encoding="utf-8")
        except (UnicodeError, TypeError):  # a value that no JSON file holds
            continue
        if not attempt(lambda: read_record(run.folder), path.read_bytes()):
            continue
        for words in (["leaderboard"], ["leaderboard", "--format", "json"], ["list", "runs"]):
            outcome = lab.bench(*words, "--out", str(lab.bench.results))
            assert outcome.code in (0, 2), (words, outcome.err)
            assert "\x1b" not in outcome.out


def test_a_damaged_table_of_samples_is_refused(run: Any, attacks: int) -> None:
    path = run.folder / "samples.parquet"
    data = path.read_bytes()
    for copy in damaged(data, "samples", attacks):
        path.write_bytes(copy)
        if attempt(lambda: read_samples(run.folder, run.record), copy):
            assert copy == data
    path.write_bytes(data)
    assert isinstance(read_samples(run.folder, run.record), pd.DataFrame)


class Bomb:
    """Runs code where a pickle of it is loaded."""

    def __init__(self, canary: Path) -> None:
        self.canary = str(canary)

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, (self.canary, "w")


@pytest.mark.parametrize("place", ["state", "key", "wrapper", "plain"])
def test_no_code_in_a_pickle_runs(place: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    bomb = Bomb(canary)
    held: Any = {
        "state": {"a": torch.ones(2), "b": bomb},
        "key": {"model": {"a": torch.ones(2)}, "args": bomb},
        "wrapper": [bomb],
        "plain": bomb,
    }[place]
    for path, write in (
        (tmp_path / "x.pth", lambda path: torch.save(held, path)),
        (tmp_path / "x.bin", lambda path: path.write_bytes(pickle.dumps(held))),
    ):
        write(path)
        for read in (load_state_dict, read_state):
            attempt(lambda read=read, path=path: read(path), path.read_bytes())
            assert not canary.exists(), (place, path, read)

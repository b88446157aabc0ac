"""External models: a second environment, the real engine, and children that go wrong."""

import dataclasses
import gc
import json
import os
import platform
import random
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from external_twins import TEXTS, Painter
from lab import Bench, Lab, Outcome, picture
from PIL import Image
from places import DOCS, SUPPORT

from layton_bench.datasets.protocols import canonical
from layton_bench.errors import ModelOutputError, UserError
from layton_bench.images import to_uint8
from layton_bench.models.base import LoadContext, ModelSpec, Tokenizer
from layton_bench.models.external.arrays import ArrayFolder
from layton_bench.models.external.child import layton_bench_child as child
from layton_bench.models.external.declaration import external_model
from layton_bench.records.folder import read_samples
from layton_bench.records.record import RunRecord
from layton_bench.records.results import stored_runs
from layton_bench.seeds import sample_seed
from layton_bench.types import Prompt

CHILDREN = SUPPORT / "external_children"
PLUGINS = [
    word
    for name in ("lab_plugin.py", "external_twins.py")
    for word in ("--plugin", str(SUPPORT / name))
]


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a second environment, in which nothing is installed."""
    folder = tmp_path_factory.mktemp("second") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder / "bin" / "python"


@pytest.fixture
def left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[str]]]:
    """Tells what is left: processes with this test's folder in their words, exchange folders."""
    exchange = tmp_path / "exchange"
    exchange.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(exchange))
    monkeypatch.setenv("TMPDIR", str(exchange))

    def found() -> list[str]:
        words = [" ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"])]
        folders = exchange.glob("layton-bench-external-*")
        return [w for w in words if str(tmp_path) in w] + list(map(str, folders))

    yield found
    if found():
        gc.collect()  # an exception's traceback may hold a model
    assert found() == []


def declare(
    folder: Path, name: str, *command: object, kind: str = "tokenizer", more: str = ""
) -> Path:
    """A declaration of a model whose command runs in ``folder``."""
    path = folder / f"{name}.toml"
    words = [str(word) for word in command]
    size = "sizes_px = [8]" if kind == "generator" else ""
    path.write_text(
        f"command = {json.dumps(words)}\n{more}\n"
        f'[card]\nname = "{name}"\nkind = "{kind}"\nfamily = "tests"\nsummary = "a child"\n{size}\n'
    )
    return path


def limits(start: float = 120, silence: float = 60, batch: float = 120) -> str:
    values = f"start_seconds={start}, silence_seconds={silence}, batch_seconds={batch}"
    return f"limits = {{{values}}}"


def spec_of(path: Path) -> ModelSpec:
    specs: list[ModelSpec] = []
    external_model(path).layton_bench_register_models(specs.append)
    return specs[0]


def load(path: Path) -> Tokenizer:
    spec = spec_of(path)
    context = LoadContext(device="cpu", dtype="float32", weights=Path, options=spec.options)
    return spec.load(context)


def raw(folder: Path, fault: str, *more: object, **options: str) -> Tokenizer:
    """The child that speaks the protocol by itself, with a fault."""
    script = CHILDREN / "raw.py"
    path = declare(folder, "raw", sys.executable, script, "raw", fault, folder, *more, **options)
    return load(path)


def whiten(path: Path) -> None:
    """A picture on which ``raw.py`` goes wrong."""
    Image.new("RGB", (64, 64), "white").save(path)


BRIGHT, DARK = torch.ones(1, 3, 8, 8), -torch.ones(1, 3, 8, 8)


def run(lab: Lab, declared: Path, *models: str, more: str = "") -> Outcome:
    words = [word for model in models for word in ("--model", model)]
    return lab.bench(
        "--plugin", declared, *PLUGINS, "run", "--suite", "lab-64", "--device", "cpu",
        "--data-root", lab.bench.data, "--out", lab.bench.results, *words, *more.split(),
    )  # fmt: skip


def table(bench: Bench, model: str) -> pd.DataFrame:
    (found,) = (r for r in stored_runs(bench.results) if r.record.model.name == model)
    return read_samples(found.folder, found.record).set_index("key")


def metrics(record: RunRecord) -> dict[str, object]:
    return {name: result.model_dump() for name, result in record.metrics.items()}


@pytest.mark.parametrize(
    ("codec", "twin"),
    [("half", "lab-half"), ("corners", "twin-corners"), ("packed", "twin-packed")],
)
def test_a_codec_in_a_second_environment_has_the_values_of_its_twin_in_this_one(
    lab: Lab, tmp_path: Path, python: Path, left, codec: str, twin: str
) -> None:
    declared = declare(
        tmp_path, codec, python, CHILDREN / "codecs.py", codec, more=f"options.codec = '{codec}'"
    )
    outcome = run(lab, declared, codec, twin, more="--batch-size 2")
    assert outcome.code == 0, outcome.err
    theirs, ours = sorted(outcome.records, key=lambda record: record.model.name == twin)
    assert metrics(theirs) == metrics(ours)
    assert theirs.metrics["psnr"].n == 5
    assert theirs.bits_per_image == ours.bits_per_image
    assert theirs.not_applicable == ours.not_applicable
    pd.testing.assert_frame_equal(table(lab.bench, codec), table(lab.bench, twin), check_exact=True)
    # nothing but Python there, and the record says so
    assert theirs.model.environment == {"python": platform.python_version()}
    assert ours.model.environment == {}
    assert theirs.model.options == {"codec": codec}


def test_the_example_of_the_docs(lab: Lab, tmp_path: Path, python: Path, left) -> None:
    page = DOCS / "external.md"
    found = re.findall(r"<!-- external: (\S+) -->\n```\w+\n(.*?)```", page.read_text(), re.DOTALL)
    for name, text in found:
        (tmp_path / name).write_text(text)
    (tmp_path / "venv").symlink_to(python.parents[1])
    assert [name for name, _ in found] == ["old-model.toml", "old_model.py"]
    # the second environment, with numpy in reach
    packages = next(python.parents[1].glob("lib/python*/site-packages"))
    numpy_alone = tmp_path / "packages"
    numpy_alone.mkdir()
    for source in Path(np.__file__).parents[1].glob("numpy*"):
        (numpy_alone / source.name).symlink_to(source)
    (packages / "numpy.pth").write_text(str(numpy_alone))
    try:
        outcome = run(lab, tmp_path / "old-model.toml", "old-model", more="--set levels=5")
    finally:
        (packages / "numpy.pth").unlink()
    assert outcome.code == 0, outcome.err
    (record,) = outcome.records
    assert record.bits_per_image == pytest.approx(64 * 64 * np.log2(5))
    assert record.model.environment.keys() == {"python", "numpy"}
    reference = canonical(picture(3, (96, 80)), 64).astype(np.float32) / 127.5 - 1
    levels = ((reference.mean(axis=2) + 1) * 2).round() / 2 - 1
    difference = np.floor(levels * 127.5 + 128).clip(0, 255)[..., None] - (reference + 1) * 127.5
    psnr = 10 * np.log10(255**2 / (difference**2).mean())
    assert table(lab.bench, "old-model").loc["003", "psnr"] == pytest.approx(psnr, abs=0.02)


def test_a_generator_has_the_pictures_and_the_cost_that_it_tells(
    bench: Bench, tmp_path: Path, python: Path, left
) -> None:
    declared = declare(
        tmp_path, "painter", python, CHILDREN / "painter.py", "painter", kind="generator",
        more="options.steps = 4",
    )  # fmt: skip
    words = ("--suite", "external-gen", "--device", "cpu", "--out", bench.results)
    outcome = bench(
        "--plugin", declared, *PLUGINS, "run", *words, "--model", "painter", "--set", "steps=6",
        "--batch-size", "3",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    (record,) = outcome.records
    # the prompts that fail are left out of the twin's run, whose seeds are the same
    failed = {failure.key: failure.reason for failure in record.completeness.failed}
    assert failed["2"] == "ArithmeticError: no [31m idea"
    assert failed["4"].endswith("CUDA out of memory")
    assert record.completeness.effective == 4
    kept = [i for i in range(6) if str(i) not in failed]
    images = Painter().generate(
        [Prompt(key=str(i), text=TEXTS[i]) for i in kept],
        [sample_seed("external-gen", str(i)) for i in kept],
    )
    levels = to_uint8(images, "round").double().mean(dim=(1, 2, 3))
    frame = table(bench, "painter")
    assert frame.loc[[str(i) for i in kept], "level"].tolist() == levels.tolist()
    speed = record.throughput
    assert speed.stage_seconds == {"text": 0.5, "tokens": 2.0, "decode": 0.25}
    assert (speed.nfe, speed.peak_device_mib) == (6, 12.5)
    assert 1 < speed.peak_host_mib < 100  # of the child, which has no torch
    assert record.model.environment == {"python": "3.8.0", "a library": "1.0"}


def test_a_crash_costs_its_own_sample_and_the_child_is_started_again(
    lab: Lab, tmp_path: Path, left
) -> None:
    whiten(lab.pictures / "bad.png")
    declared = declare(
        tmp_path, "raw", sys.executable, CHILDREN / "raw.py", "raw", "crash", tmp_path
    )
    outcome = run(lab, declared, "raw", more="--batch-size 6")
    assert outcome.code == 0
    (record,) = outcome.records
    (failure,) = record.completeness.failed
    assert (failure.key, failure.stage, record.completeness.effective) == ("bad", "encode", 5)
    assert failure.reason == (
        "external model: it ended with exit code 3;"
        " its last lines on stderr: loading | about to [1m fall over"
    )
    assert "starting external model 'raw' again" in outcome.err


FAULTS = {
    "crash": "ended with exit code 3",
    "killed": "was killed by SIGKILL",
    "closes": "closed its standard output",
    "garbage": r"a line that is no message: 'Downloading�: 100%'",
    "nesting": r"a line that is no message: '\[\[\[",
    "endless-line": "a line of more than 1,048,576 bytes",
    "other-answer": r'answered encode 1 with \{"type": "done", "id": 7',
    "outside": "'codes' of its answer names no file",
    "no-file": "'codes' of its answer cannot be read .FileNotFoundError",
    "pickle": "'codes' of its answer cannot be read .ValueError: Object arrays",
    "no-array": "'codes' of its answer cannot be read .ValueError",
    "float-codes": "'codes' of its answer holds float32",
    "no-codebook": "codes and no codebook_size",
    "two-kinds": "not exactly one of",
    "lengths": "do not add up",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_and_the_next_request_is_answered(tmp_path: Path, left, fault) -> None:
    model = raw(tmp_path, fault)
    with pytest.raises(ModelOutputError, match=FAULTS[fault]):
        model.encode(BRIGHT)
    codes = model.encode(DARK)
    assert codes.codes.tolist() == [[0]]
    assert codes.codes.dtype == torch.int64  # sent as big-endian int32
    assert torch.equal(model.decode(codes, [1]), torch.zeros(1, 3, 8, 8))


def test_a_child_that_stands_still_is_stopped_with_its_own_children(tmp_path: Path, left) -> None:
    model = raw(tmp_path, "stop", more=limits(silence=1))
    start = time.monotonic()
    with pytest.raises(ModelOutputError, match="nothing was heard of it for 1 s"):
        model.encode(BRIGHT)
    assert 1 <= time.monotonic() - start < 30
    assert [words for words in left() if "raw.py" in words or "sleep" in words] == []


def test_a_child_that_beats_without_end_is_stopped(tmp_path: Path, left) -> None:
    model = raw(tmp_path, "hang", more=limits(batch=1))
    with pytest.raises(ModelOutputError, match="did not answer within 1 s"):
        model.encode(BRIGHT)


def test_a_slow_child_with_heartbeats_is_waited_for(tmp_path: Path, left) -> None:
    model = raw(tmp_path, "slow", more=limits(silence=2))
    start = time.monotonic()
    assert model.encode(BRIGHT).codes.tolist() == [[0]]
    assert time.monotonic() - start > 3


def test_megabytes_of_stderr_block_nobody(tmp_path: Path, left) -> None:
    model = raw(tmp_path, "stderr")
    assert model.encode(BRIGHT).codes.tolist() == [[0]]


def test_shapes_are_checked_by_the_engine(lab: Lab, tmp_path: Path, left) -> None:
    script = CHILDREN / "raw.py"
    for fault, message in (
        ("wrong-shape", "returned shape (1, 3, 65, 64), expected (1, 3, 64, 64)"),
        ("too-few", "returned codes of 0 images for 1"),
    ):
        for path in lab.pictures.iterdir():
            whiten(path)
        declared = declare(tmp_path, "raw", sys.executable, script, "raw", fault, tmp_path)
        outcome = run(lab, declared, "raw")
        assert outcome.code == 2
        assert message in outcome.err


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("version", "it speaks protocol 2, this layton-bench speaks 1"),
        ("ends-at-once", "exit code 1; its last lines on stderr: no module named torch"),
        ("banner", "it wrote a line that is no message: 'Welcome!'"),
        ("other-card", 'its card says name "another", the declaration says "raw"'),
        ("no-card", "its first message has no card with name and kind"),
        ("never-starts", "it did not answer within 1 s"),
    ],
)
def test_a_child_that_does_not_start_is_the_users_to_mend(
    tmp_path: Path, left, fault: str, message: str
) -> None:
    start = 1 if fault == "never-starts" else 120
    with pytest.raises(UserError) as caught:
        raw(tmp_path, fault, more=limits(start=start))
    assert message in str(caught.value)
    assert left() == []


def test_what_cannot_be_started_again_fails_fast(tmp_path: Path, left) -> None:
    model = raw(tmp_path, "once", tmp_path / "mark")
    with pytest.raises(ModelOutputError, match="exit code 3"):
        model.encode(BRIGHT)
    for _ in range(3):
        with pytest.raises(ModelOutputError, match="the licence has run out"):
            model.encode(DARK)
    with pytest.raises(ModelOutputError, match="did not start 3 times in a row"):
        model.encode(DARK)


HOST = """
import sys
from pathlib import Path
import numpy as np
from layton_bench.models.external.declaration import external_model
from layton_bench.images import to_uint8
from layton_bench.models.base import LoadContext

specs = []
external_model(Path(sys.argv[1])).layton_bench_register_models(specs.append)
context = LoadContext(device="cpu", dtype="float32", weights=Path, options={})
model = specs[0].load(context)
print("loaded", flush=True)
with model._session.ask("encode", {"images": np.ones((1, 3, 8, 8), np.float32)}) as reply:
    print(reply)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_a_host_that_is_killed(
    tmp_path: Path, left, number: signal.Signals
) -> None:
    declared = declare(
        tmp_path, "raw", sys.executable, CHILDREN / "raw.py", "raw", "stop", tmp_path
    )
    host = subprocess.Popen(
        [sys.executable, "-c", HOST, str(declared)], stdout=subprocess.PIPE, text=True,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with host:
        assert host.stdout is not None
        assert host.stdout.readline() == "loaded\n"
        until(lambda: any("time.sleep(600)" in words for words in left()))
        host.send_signal(number)
        host.wait(timeout=60)
    until(lambda: left() == [])


def test_two_ctrl_c_end_a_run_that_stands_still(lab: Lab, tmp_path: Path, left) -> None:
    whiten(lab.pictures / "004.png")
    declared = declare(
        tmp_path, "raw", sys.executable, CHILDREN / "raw.py", "raw", "stop", tmp_path
    )

    def press() -> None:
        until(lambda: any("time.sleep(600)" in words for words in left()))
        for _ in range(2):  # the first lets the batch in hand finish
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.5)

    fingers = threading.Thread(target=press)
    fingers.start()
    outcome = run(lab, declared, "raw", more="--batch-size 1")
    fingers.join()
    assert (outcome.code, outcome.records) == (130, [])
    assert "Stopping after this batch" in outcome.err
    assert left() == []


def until(is_so: Callable[[], bool], *, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_request_longer_than_a_pipe_holds(tmp_path: Path, left) -> None:
    script = CHILDREN / "painter.py"
    declared = declare(
        tmp_path, "painter", sys.executable, script, "painter", kind="generator",
        more="options.steps = 1",
    )  # fmt: skip
    images = load(declared).generate([Prompt(key="0", text="x" * 300_000)], [2**63 - 1])
    assert images[0, 0, 0, 0] == 300
    assert images[0, 2, 7, 7] == torch.tensor(noise(2**63 - 1)[-1])


def noise(seed: int) -> list[float]:
    rng = random.Random(seed)
    return [rng.random() * 2 - 1 for _ in range(3 * 64)]


def test_a_model_that_is_dropped_leaves_nothing(tmp_path: Path, left) -> None:
    model = raw(tmp_path, "none")
    assert len(left()) == 3  # the child, its watchdog and the folder
    assert model.encode(DARK).codes.tolist() == [[0]]
    del model
    assert left() == []


def test_a_declaration_is_listed_without_a_start(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left
) -> None:
    declared = declare(tmp_path, "listed", "no-such-program-anywhere")
    outcome = bench("--plugin", declared, "list", "models", "--json")
    rows = {row["model"]: row for row in json.loads(outcome.out)}
    assert rows["listed"]["summary"] == "a child"
    monkeypatch.setenv("LAYTON_BENCH_PLUGINS", str(declared))
    again = bench("--plugin", declared.name, "list", "models", "--json")  # named twice
    assert json.loads(again.out) == json.loads(outcome.out)
    failed = bench("--plugin", declared, "run", "--suite", "photos-256", "--model", "listed")
    assert failed.code == 2
    assert "there is no program 'no-such-program-anywhere'" in failed.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("command = []", "command: Tuple should have at least 1 item"),
        ("comand = ['x']", "comand: Extra inputs"),
        ("limits.silence_seconds = -1", "limits.silence_seconds: Input should be greater than 0"),
        ("options.deep = [1]", "options.deep"),
        ("card.colour = 'red'", "card: there is no 'colour'"),
        ("card.kind = 'oracle'", "card: kind"),
        ("card.name = 'My Model'", "'My Model' is no name"),
        ("card.kind = 'generator'", "a generator needs sizes_px"),
        ("=", "not valid TOML"),
    ],
)
def test_a_bad_declaration_names_its_file_and_field(
    tmp_path: Path, bench: Bench, text: str, message: str
) -> None:
    good = {
        "command": "command = ['python', 'x.py']", "card.name": "card.name = 'm'",
        "card.kind": "card.kind = 'tokenizer'", "card.family": "card.family = 'f'",
        "card.summary": "card.summary = 's'",
    }  # fmt: skip
    good[text.partition(" ")[0]] = text
    path = tmp_path / "bad.toml"
    path.write_text("\n".join(good.values()))
    outcome = bench("--plugin", path, "list", "models")
    assert outcome.code == 2
    assert message in outcome.err
    assert "bad.toml" in outcome.err


def test_paths_are_the_declarations_and_its_files_are_in_the_digest(tmp_path: Path, left) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "child.py").write_text((CHILDREN / "raw.py").read_text())
    (tmp_path / "weights.bin").write_bytes(b"1")
    declared = declare(
        tmp_path, "raw", "bin/python", "child.py", "raw", "none", tmp_path,
        more="files = ['weights.bin']",
    )  # fmt: skip
    assert load(declared).encode(DARK).codes.tolist() == [[0]]
    assert [path.name for path in spec_of(declared).files()] == [
        "raw.toml", "child.py", "weights.bin",
    ]  # fmt: skip
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(UserError, match=r"files: there is no .*weights\.bin"):
        spec_of(declared).files()


def test_the_child_has_its_own_variables_and_not_our_pythons(
    tmp_path: Path, left, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/ours")
    monkeypatch.setenv("VIRTUAL_ENV", "/ours")
    monkeypatch.setenv("OF_THE_USER", "kept")
    script = tmp_path / "child.py"
    script.write_text(
        textwrap.dedent(
            """
            import json, os, sys
            from layton_bench_child import Array, serve
            class Model:
                def encode(self, images): raise ValueError(json.dumps(FOUND))
                decode = None
            def load(start):
                global FOUND
                FOUND = [os.environ.get(n) for n in ("VIRTUAL_ENV", "OF_THE_USER", "OURS")]
                FOUND += ["/ours" in sys.path, start.device, start.dtype, start.options]
                FOUND += [os.getcwd() == os.path.dirname(os.path.abspath(__file__))]
                return Model()
            serve(load, card={"name": "vars", "kind": "tokenizer"})
            """
        )
    )
    declared = declare(
        tmp_path, "vars", sys.executable, "child.py", more="environment.OURS = '1'\noptions.n = 2"
    )
    with pytest.raises(ModelOutputError) as caught:
        load(declared).encode(DARK)
    told = json.loads(str(caught.value).removeprefix("ValueError: "))
    assert told == [None, "kept", "1", False, "cpu", "float32", {"n": 2}, True]


def test_load_errors_reach_the_user(tmp_path: Path, left) -> None:
    script = tmp_path / "child.py"
    script.write_text(
        "from layton_bench_child import serve\n"
        "def load(start): raise OSError('no weights at ' + start.weights['w'])\n"
        "serve(load, card={'name': 'broken', 'kind': 'tokenizer'})\n"
    )
    declared = declare(tmp_path, "broken", sys.executable, "child.py")
    spec = spec_of(declared)
    spec = dataclasses.replace(spec, card=dataclasses.replace(spec.card, weights=("w",)))
    declared.write_text(declared.read_text() + 'weights = ["w"]\n')
    context = LoadContext(
        device="cpu", dtype="float32", weights=lambda name: Path("/weights") / name, options={}
    )
    with pytest.raises(UserError, match="failed to load: OSError: no weights at /weights/w"):
        spec.load(context)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i8", "i4", "i2", "u1", ">f4", ">i8"])
def test_npy_files_with_and_without_numpy(tmp_path: Path, monkeypatch, dtype: str) -> None:
    values = np.arange(24, dtype=dtype).reshape(2, 3, 4)
    np.save(tmp_path / "a.npy", values)
    plain = child._read_array(tmp_path / "a.npy")
    assert plain.shape == (2, 3, 4)
    assert list(plain.values) == list(range(24))
    child.write_npy(tmp_path / "b.npy", plain)
    again = np.load(tmp_path / "b.npy")
    assert again.dtype == values.dtype.newbyteorder("=")
    np.testing.assert_array_equal(again, values)
    assert (tmp_path / "b.npy").read_bytes()[:128].index(b"\n") % 64 == 63  # aligned as asked
    with pytest.raises(ValueError, match="23 values for shape"):
        child.write_npy(tmp_path / "c.npy", child.Array((2, 3, 4), plain.values[:-1]))


def test_files_are_taken_once(tmp_path: Path) -> None:
    folder = ArrayFolder(tmp_path)
    name = folder.put("x", np.ones((2, 2), np.float32).T)
    assert folder.take({"images": name}, "images", kinds="f").tolist() == [[1, 1], [1, 1]]
    with pytest.raises(ModelOutputError, match="FileNotFoundError"):
        folder.take({"images": name}, "images", kinds="f")
    for bad in ("../x.npy", "/x.npy", "", ".x.npy", "a/b.npy", None, 3):
        with pytest.raises(ModelOutputError, match="names no file"):
            folder.take({"images": bad}, "images", kinds="f")


def test_torch_tensors_of_a_child_may_be_bfloat16(tmp_path: Path) -> None:
    child.write_npy(tmp_path / "x.npy", torch.tensor([0.5, -2.0], dtype=torch.bfloat16))
    assert np.load(tmp_path / "x.npy").tolist() == [0.5, -2.0]

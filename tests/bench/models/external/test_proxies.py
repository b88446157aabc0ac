"""External models in runs, beside their twins in this process."""

import platform
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from external_support import CHILDREN, PLUGINS, declare, metrics, run, table, whiten
from external_twins import TEXTS, Painter
from lab import Bench, Lab, picture
from places import DOCS

from layton_bench.datasets.protocols import canonical
from layton_bench.images import to_uint8
from layton_bench.seeds import sample_seed
from layton_bench.types import Prompt


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
    assert "restarting external model 'raw'" in outcome.err


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

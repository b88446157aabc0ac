"""The child's process and its end."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from external_support import BRIGHT, CHILDREN, DARK, declare, limits, load, raw, run, until, whiten
from lab import Lab

from layton_bench.errors import ModelOutputError
from layton_bench.types import Prompt


def test_a_child_that_stands_still_is_stopped_with_its_own_children(tmp_path: Path, left) -> None:
    model = raw(tmp_path, "stop", more=limits(silence=1))
    start = time.monotonic()
    with pytest.raises(ModelOutputError, match="it sent nothing for 1 s"):
        model.encode(BRIGHT)
    assert 1 <= time.monotonic() - start < 30
    assert [words for words in left() if "raw.py" in words or "sleep" in words] == []


def test_megabytes_of_stderr_block_nobody(tmp_path: Path, left) -> None:
    model = raw(tmp_path, "stderr")
    assert model.encode(BRIGHT).codes.tolist() == [[0]]


HOST = """
import sys
from pathlib import Path
import numpy as np
from layton_bench.registry.declared import external_model
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

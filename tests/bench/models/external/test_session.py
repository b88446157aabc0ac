"""Children that go wrong, in what they say or in how long they take."""

import dataclasses
import sys
import time
from pathlib import Path

import pytest
import torch
from external_support import (
    BRIGHT,
    DARK,
    declare,
    limits,
    raw,
    spec_of,
)

from layton_bench.errors import ModelOutputError, UserError
from layton_bench.models.base import LoadContext

FAULTS = {
    "crash": "ended with exit code 3",
    "killed": "was killed by SIGKILL",
    "closes": "closed its standard output",
    "garbage": r"a line that is not a message: 'Downloading�: 100%'",
    "nesting": r"a line that is not a message: '\[\[\[",
    "endless-line": "a line of more than 1,048,576 bytes",
    "other-answer": r'answered encode 1 with \{"type": "done", "id": 7',
    "outside": "'codes' of its answer names no file",
    "no-file": "'codes' of its answer cannot be read .FileNotFoundError",
    "pickle": "'codes' of its answer cannot be read .ValueError: Object arrays",
    "no-array": "'codes' of its answer cannot be read .ValueError",
    "fifo": "'codes' of its answer cannot be read .OSError: .* not a regular file",
    "device": "'codes' of its answer cannot be read .OSError: .* not a regular file",
    "sparse": "'codes' of its answer cannot be read .OSError: .* 1,099,511,627,776 bytes",
    "folder": "'codes' of its answer cannot be read .IsADirectoryError",
    "huge-shape": "'codes' of its answer cannot be read ",
    "float-codes": "'codes' of its answer holds float32",
    "no-codebook": "codes but no codebook_size",
    "two-kinds": "exactly one of",
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


def test_a_child_that_beats_without_end_is_stopped(tmp_path: Path, left) -> None:
    model = raw(tmp_path, "hang", more=limits(batch=1))
    with pytest.raises(ModelOutputError, match="did not answer within 1 s"):
        model.encode(BRIGHT)


def test_a_slow_child_with_heartbeats_is_waited_for(tmp_path: Path, left) -> None:
    model = raw(tmp_path, "slow", more=limits(silence=2))
    start = time.monotonic()
    assert model.encode(BRIGHT).codes.tolist() == [[0]]
    assert time.monotonic() - start > 3


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("version", "it speaks protocol 2, this layton-bench speaks 1"),
        ("ends-at-once", "exit code 1; its last lines on stderr: no module named torch"),
        ("banner", "it wrote a line that is not a message: 'Welcome!'"),
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

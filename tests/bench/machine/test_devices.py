import pytest
import torch

from layton_bench.errors import UserError
from layton_bench.machine.devices import (
    DTYPES,
    parse_batch_size,
    resolve_device,
    starting_batch_size,
    torch_dtype,
)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """Says what torch shall find: number of CUDA GPUs, and whether there is Metal."""

    def has(*, cuda: int = 0, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return has


def test_auto_takes_the_best_there_is(machine) -> None:
    machine()
    assert resolve_device("auto") == "cpu"
    machine(mps=True)
    assert resolve_device("auto") == "mps"
    machine(cuda=2, mps=True)
    assert resolve_device("auto") == "cuda:0"


def test_a_device_that_is_there_is_taken_as_named(machine) -> None:
    machine(cuda=2, mps=True)
    assert [resolve_device(n) for n in ("cpu", "cuda", "cuda:1", "mps")] == [
        "cpu", "cuda:0", "cuda:1", "mps",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gpu", "torch knows no such device"),
        ("", "torch knows no such device"),
        ("cuda", "torch finds no CUDA GPU here. Use --device cpu."),
        ("mps", "torch finds no Metal GPU here"),
        ("meta", "it is not supported"),
    ],
)
def test_a_device_that_is_not_there_is_refused(machine, name: str, reason: str) -> None:
    machine()
    with pytest.raises(UserError) as caught:
        resolve_device(name)
    assert str(caught.value).startswith(f"device '{name}': {reason}")


def test_gpus_are_counted_from_0(machine) -> None:
    machine(cuda=1)
    with pytest.raises(UserError, match=r"cuda:1': torch finds 1 GPU\. The first one is cuda:0\."):
        resolve_device("cuda:1")


def test_dtypes_are_written_as_torch_writes_them() -> None:
    assert [str(torch_dtype(name)) for name in DTYPES] == [f"torch.{name}" for name in DTYPES]
    assert torch_dtype("bfloat16") is torch.bfloat16


@pytest.mark.parametrize("name", ["fp16", "float64", "int8", "__doc__"])
def test_other_dtypes_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="Use float32, bfloat16, float16"):
        torch_dtype(name)


def test_batch_sizes() -> None:
    assert parse_batch_size("auto") is None
    assert parse_batch_size("12") == 12
    for text in ("0", "-1", "many", "1.5", "", "²"):
        with pytest.raises(UserError, match="not a positive number"):
            parse_batch_size(text)


def test_the_first_batch_holds_as_many_pixels_at_every_size() -> None:
    assert [starting_batch_size("cpu", px) for px in (256, 512, 1024, None)] == [8, 2, 1, 8]
    assert [starting_batch_size("cuda:1", px) for px in (64, 256, 512, 1024)] == [64, 64, 16, 4]

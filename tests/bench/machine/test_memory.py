"""Freed memory is kept: large blocks no longer cost page faults each time they come back."""

import subprocess
import sys
import weakref

import pytest
import torch

from layton_bench.errors import PluginError
from layton_bench.machine.memory import is_out_of_memory, keep_freed_memory, recover

PROGRAM = """
import resource, sys
import torch
from layton_bench.machine.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        torch.empty(48 << 20, dtype=torch.uint8).fill_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if sys.argv[1] == "keep":
    assert keep_freed_memory()
faults()
print(faults())
"""


def page_faults(mode):
    command = [sys.executable, "-c", PROGRAM, mode]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(not keep_freed_memory(), reason="the C library is not glibc")
def test_large_blocks_are_reused():
    kept, mapped = page_faults("keep"), page_faults("default")
    # at least one fault a huge page of 2 MiB when mapped afresh
    assert mapped >= 8 * 24
    assert kept <= mapped / 4  # one of eight blocks may be new on a machine short of memory


def test_other_c_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    assert not keep_freed_memory()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peaks are reset on Linux alone")
def test_the_peak_of_the_host_is_of_the_calls_and_not_of_what_was_before() -> None:
    # in a process of its own: memory that other tests have freed would serve the 256 MiB
    script = """
import torch
from layton_bench.machine import peak_host_mib, reset_peak
reset_peak("cpu")
before = peak_host_mib()
torch.ones(2**26)
high = peak_host_mib()
reset_peak("cpu")
print(before, high, peak_host_mib())
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    before, high, after = map(float, done.stdout.split())
    assert high > before + 200
    assert after < high - 200


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("shapes do not match"), False),
        (ValueError("out of memory"), False),
        (PluginError(MemoryError()), True),
        (PluginError(RuntimeError("CUDA out of memory")), True),
        (PluginError(ValueError("out of memory")), False),
    ],
)
def test_memory_that_runs_out_is_recognised(error: Exception, *, is_memory: bool) -> None:
    assert is_out_of_memory(error) == is_memory


@pytest.mark.parametrize("chained", [False, True])
def test_what_a_failed_call_held_is_freed(*, chained: bool) -> None:
    alive = weakref.WeakSet[torch.Tensor]()

    def call() -> None:
        tensor = torch.zeros(8)
        alive.add(tensor)
        raise MemoryError

    try:
        try:
            call()
        except MemoryError as error:
            if chained:
                raise RuntimeError("no room") from error
            raise
    except (MemoryError, RuntimeError) as error:
        assert len(alive) == 1
        recover(error)
    assert len(alive) == 0


def test_a_circle_of_errors_is_walked_once() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    recover(first)

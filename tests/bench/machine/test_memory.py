"""Freed memory is kept: large blocks no longer cost page faults each time they come back."""

import subprocess
import sys

import pytest

from layton_bench.machine.memory import keep_freed_memory

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
    assert kept < mapped / 10


def test_other_c_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    assert not keep_freed_memory()

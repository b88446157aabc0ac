"""Memory: keep freed blocks, measure peaks, and recover when it runs out."""

from __future__ import annotations

import ctypes
import platform
import sys
from contextlib import suppress
from pathlib import Path

from layton_bench.errors import PluginError

# numbers of mallopt(3) in glibc, and what they are set to
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_INT = 2**31 - 1

_STATUS = Path("/proc/self/status")
_CLEAR_REFS, _RESET_PEAK = Path("/proc/self/clear_refs"), "5"  # see proc(5)

# What torch says on Linux, on Windows, and of CUDA and its libraries, in plain RuntimeErrors.
_NO_MEMORY = (
    "can't allocate memory", "not enough memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED",
)  # fmt: skip


def keep_freed_memory() -> bool:
    """Make the C library keep large freed blocks for this process's next use.

    One feature map of a convolutional tokenizer at 256 px is 32 MiB. The C library of Linux maps
    blocks of that size again at every allocation, and the kernel clears them page by page: up to
    a third of the CPU time of encode and decode (docs/performance.md).

    Peak memory grows by the gaps between blocks (a fifth, measured on VQGAN). Only glibc is
    concerned; elsewhere nothing happens.

    Returns:
        Whether it took effect.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = {_M_MMAP_THRESHOLD: _LARGEST_INT, _M_TRIM_THRESHOLD: _LARGEST_INT}
    return all(mallopt(number, value) == 1 for number, value in settings.items())


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out, of the device or of the host."""
    import torch

    error = _raised(error)
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error) for said in _NO_MEMORY)


def recover(error: BaseException) -> None:
    """Free what a failed call held: its frames hold the tensors that did not fit."""
    import torch

    held: BaseException | None = error
    seen: set[int] = set()  # a plugin can make a circle of errors
    while held is not None and id(held) not in seen:
        seen.add(id(held))
        held.__traceback__ = None
        held = held.__cause__ or held.__context__  # these have frames of their own
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _raised(error: BaseException) -> BaseException:
    """Return what a plugin raised, if the error is about that."""
    return error.cause if isinstance(error, PluginError) else error


def peak_host_mib() -> float:
    """Return this process's largest resident size since ``reset_peak``.

    Outside Linux it is the largest since the process began.
    """
    # getrusage's peak on Linux includes that of the process this one was forked from
    with suppress(OSError, StopIteration):
        lines = _STATUS.read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def peak_device_mib(device: str) -> float | None:
    """Return the largest allocation since ``reset_peak``; None on a device without own memory."""
    import torch

    if not device.startswith("cuda"):
        return None
    return torch.cuda.max_memory_allocated(device) / 2**20


def allocated_device_mib(device: str) -> float:
    """Return what this process holds on the device now; 0 on a device without own memory."""
    import torch

    return torch.cuda.memory_allocated(device) / 2**20 if device.startswith("cuda") else 0.0


def reset_peak(device: str) -> None:
    """Start a new measurement of peak memory, of the device and of this process."""
    import torch

    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
    with suppress(OSError):  # only Linux has it, and some containers forbid it
        _CLEAR_REFS.write_text(_RESET_PEAK)

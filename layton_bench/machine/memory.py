"""Memory that a CPU run frees and asks for again at once: keep it, instead of mapping it anew.

One feature map of a convolutional tokenizer at 256 px is 32 MiB. The C library of Linux maps
blocks of that size afresh at every allocation, and the kernel clears them page by page: up to a
third of the CPU time of encode and decode (docs/performance.md).
"""

from __future__ import annotations

import ctypes
import platform

# numbers of mallopt(3) in glibc, and what they are set to
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_INT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Have the C library keep large freed blocks for this process's next use.

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

"""Arrays exchanged with a child: .npy files in one folder, each read once."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layton_bench.errors import ModelOutputError, reason_of
from layton_bench.machine import open_regular

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

_MAX_BYTES: Final = 2**33
"""Size at which a child's file is refused: far more than a batch of images has."""

_FILE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


class ArrayFolder:
    """Writes arrays for the child, and takes those that it writes.

    Args:
        folder: an empty folder that both processes see.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, name: str, array: NDArray[Any]) -> str:
        """Write an array in C order as NAME.npy; returns the file's name."""
        file = f"{name}.npy"
        np.save(self._folder / file, np.ascontiguousarray(array), allow_pickle=False)
        return file

    def take(self, reply: Mapping[str, Any], member: str, *, kinds: str) -> NDArray[Any]:
        """Read and remove the array that a member of a reply names.

        Args:
            reply: the message.
            member: its value is the file's name.
            kinds: numpy's letters of the accepted kinds (``f``, ``iu``).

        Raises:
            ModelOutputError: there is no such file, or it is not an array of these kinds.
        """
        name = reply.get(member)
        if not isinstance(name, str) or not _FILE_NAME.fullmatch(name):
            raise ModelOutputError(f"'{member}' of its answer names no file")
        path = self._folder / name
        try:
            with open_regular(path, max_bytes=_MAX_BYTES) as file:
                array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        except (OSError, ValueError, EOFError, MemoryError) as error:
            reason = f"'{member}' of its answer cannot be read ({reason_of(error)})"
            raise ModelOutputError(reason) from None
        path.unlink(missing_ok=True)
        if array.dtype.kind not in kinds:
            raise ModelOutputError(f"'{member}' of its answer holds {array.dtype}")
        return array

    def clear(self) -> None:
        """Remove everything that a request leaves behind, answered or not."""
        with suppress(OSError):  # the child can remove the folder, and make folders in it
            for path in self._folder.iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)


def to_tensor(array: NDArray[Any]) -> Tensor:
    """Return a tensor with the array's values, in this machine's byte order."""
    import torch

    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return torch.from_numpy(np.ascontiguousarray(native))


def to_array(tensor: Tensor) -> NDArray[Any]:
    """Return the tensor's values; bfloat16, which numpy lacks, becomes float32."""
    import torch

    held = tensor.detach().cpu()
    array: NDArray[Any] = (held.float() if held.dtype == torch.bfloat16 else held).numpy()
    return array

"""Arrays that are exchanged with a child: .npy files in one folder, each read once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layton_bench.errors import ModelOutputError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

_FILE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


class ArrayFolder:
    """Writes arrays for the child and takes its own.

    Args:
        folder: an empty folder that both see.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, name: str, array: NDArray[Any]) -> str:
        """Write an array in C order as NAME.npy; the file's name."""
        file = f"{name}.npy"
        np.save(self._folder / file, np.ascontiguousarray(array), allow_pickle=False)
        return file

    def take(self, reply: Mapping[str, Any], member: str, *, kinds: str) -> NDArray[Any]:
        """Read and remove the array that a member of a reply names.

        Args:
            reply: the message.
            member: whose value is the file's name.
            kinds: numpy's letters of the kinds that will do (``f``, ``iu``).

        Raises:
            ModelOutputError: there is no such file, or it is no array of these kinds.
        """
        name = reply.get(member)
        if not isinstance(name, str) or not _FILE_NAME.fullmatch(name):
            raise ModelOutputError(f"'{member}' of its answer names no file")
        path = self._folder / name
        try:
            with path.open("rb") as file:
                array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        except (OSError, ValueError, EOFError, MemoryError) as error:
            reason = f"'{member}' of its answer cannot be read ({type(error).__name__}: {error})"
            raise ModelOutputError(reason) from None
        path.unlink(missing_ok=True)
        if array.dtype.kind not in kinds:
            raise ModelOutputError(f"'{member}' of its answer holds {array.dtype}")
        return array

    def clear(self) -> None:
        """Remove every file: what a request leaves behind, answered or not."""
        for path in self._folder.iterdir():
            path.unlink(missing_ok=True)


def to_tensor(array: NDArray[Any]) -> Tensor:
    """A tensor of the array's values, in this machine's byte order."""
    import torch

    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return torch.from_numpy(np.ascontiguousarray(native))


def to_array(tensor: Tensor) -> NDArray[Any]:
    """The tensor's values; bfloat16, which numpy lacks, as float32."""
    import torch

    held = tensor.detach().cpu()
    array: NDArray[Any] = (held.float() if held.dtype == torch.bfloat16 else held).numpy()
    return array

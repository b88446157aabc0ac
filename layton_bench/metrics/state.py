"""What accumulators have seen, as arrays, and files of it.

A file is an ``.npz`` archive without pickle. Its entry ``index`` is JSON: metric → name → number of
an array. Equal arrays are written once, so metrics of the same features take no more room than one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import IO, Any

import numpy as np

State = dict[str, np.ndarray[Any, Any]]
"""Name → array of numbers, booleans or text (numpy's ``str_``). Objects are not allowed, so that a
state can be written to a file without pickle. Scalars are arrays of shape ()."""

_KINDS = "biufcU"
_INDEX = "index"


def write_states(file: IO[bytes], states: Mapping[str, State]) -> None:
    """Write the states of metrics to an open binary file.

    Args:
        file: where to write.
        states: name of a metric → its state.

    Raises:
        TypeError: an array is of objects.
    """
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    numbers: dict[str, str] = {}
    known: dict[int, str] = {}
    index: dict[str, dict[str, str]] = {}
    for metric, state in states.items():
        index[metric] = {}
        for name, array in state.items():
            if array.dtype.kind not in _KINDS:
                raise TypeError(f"state '{name}' of '{metric}' is an array of {array.dtype}")
            if id(array) not in known:
                digest = _digest(array)
                known[id(array)] = numbers.setdefault(digest, f"array-{len(numbers)}")
            index[metric][name] = known[id(array)]
            arrays[known[id(array)]] = array
    text = json.dumps(index).encode()
    np.savez(file, allow_pickle=False, **arrays, **{_INDEX: np.frombuffer(text, np.uint8)})


def read_states(file: IO[bytes]) -> dict[str, State]:
    """Read what ``write_states`` wrote. Metrics that shared an array share it again.

    Raises:
        ValueError: the file is damaged, or of another kind.
    """
    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files if name != _INDEX}
            index = json.loads(archive[_INDEX].tobytes())
        return {
            metric: {name: arrays[number] for name, number in state.items()}
            for metric, state in index.items()
        }
    except Exception as error:  # numpy and zipfile raise many kinds for a damaged file
        raise ValueError(f"it does not hold the states of metrics ({error})") from error


def _digest(array: np.ndarray[Any, Any]) -> str:
    digest = hashlib.blake2b(f"{array.dtype.str} {array.shape}".encode(), digest_size=20)
    digest.update(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
    return digest.hexdigest()

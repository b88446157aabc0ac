"""The child's side of layton-bench's external models: Python 3.7 or newer, standard library only.

layton-bench puts this file's folder on the child's PYTHONPATH. It is one file, although a long one,
so that it can be copied into another environment. A script:

    from layton_bench_child import serve

    class Model:
        def encode(self, images): ...              # (B, 3, H, W) in [-1, 1] -> see below
        def decode(self, codes, size_px, seeds): ...   # -> images (B, 3, H, W) in [-1, 1]

    def load(start):                               # import torch in here, not above
        return Model(start.device, start.options)

    serve(load, card={"name": "my-model", "kind": "tokenizer"})

``encode`` returns a dictionary with one of these, and ``decode`` receives it: ``codes`` (B, N) and
``codebook_size``; ``latents``; ``payloads``, a list of B byte strings. A generator has
``generate(prompts, seeds)`` instead. Its prompts are dictionaries with ``key``, ``text`` and
``class_id``. It may have ``latest_cost()``, which returns a dictionary with any of ``seconds``
(stage -> seconds of the batch), ``nfe``, ``peak_host_mib`` and ``peak_device_mib``.

Arrays arrive as numpy arrays if numpy is installed, otherwise as `Array`. The script may return
numpy arrays, torch tensors and `Array`. What the script prints goes to stderr, because the protocol
uses stdout. docs/external.md describes the protocol.
"""

from __future__ import annotations

import array
import ast
import contextlib
import json
import os
import platform
import struct
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

PROTOCOL = 1

_MAX_REASON = 2000
_MAGIC = b"\x93NUMPY"
_TYPES = {"f4": "f", "f8": "d", "i8": "q", "i4": "i", "i2": "h", "u1": "B"}
_KINDS = ("codes", "latents", "payloads")


class Array:
    """An array without numpy.

    Args:
        shape: its sides.
        values: all of them in C order: array.array of type f, d (floats), q, i, h (integers), B.
    """

    def __init__(self, shape: Sequence[int], values: array.array[Any]) -> None:
        self.shape = tuple(shape)
        self.values = values


def read_npy(path: Path) -> Any:
    """Read a .npy file: a numpy array where numpy is installed, else an `Array`."""
    try:
        import numpy
    except ImportError:
        return _read_array(path)
    return numpy.load(path, allow_pickle=False)


def write_npy(path: Path, values: Any) -> None:
    """Write a numpy array, torch tensor or `Array` as a .npy file."""
    if isinstance(values, Array):
        _write_array(path, values)
        return
    import numpy

    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if str(values.dtype) == "torch.bfloat16":  # numpy has no such type
            values = values.float()
        values = values.numpy()
    numpy.save(path, numpy.ascontiguousarray(values), allow_pickle=False)


def serve(
    load: Callable[[Any], Any],
    card: dict[str, Any],
    environment: dict[str, str] | None = None,
) -> None:
    """Answer layton-bench's requests until it sends no more.

    Args:
        load: returns the model. Receives an object with ``device``, ``dtype``, ``options`` and
            ``weights`` (name -> path).
        card: ``name`` and ``kind`` of the model, and any other member of its card in the
            declaration. layton-bench refuses to start if one differs.
        environment: versions for the record. By default those of Python and numpy, and of torch,
            transformers and diffusers if ``load`` has imported them.
    """
    wire = _Wire()
    hello = wire.read()
    if hello is None:
        return
    if hello["protocol"] != PROTOCOL:
        wire.write(type="failed", reason=f"it speaks protocol {PROTOCOL}")
        return
    threading.Thread(target=wire.beat, args=(hello["heartbeat_seconds"],), daemon=True).start()
    start = {name: hello[name] for name in ("device", "dtype", "options", "weights")}
    try:
        model = load(SimpleNamespace(**start))
    except Exception as error:
        traceback.print_exc()
        wire.write(type="failed", reason=_describe(error))
        return
    versions = _versions() if environment is None else environment
    wire.write(type="ready", protocol=PROTOCOL, card=card, environment=versions)
    _answer_all(wire, model, hello["folder"])


class _Wire:
    """Lines of JSON over the standard streams that the process was started with.

    Afterwards stdout is the same as stderr and stdin is empty, so that prints cannot disturb the
    protocol.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        sys.stdout.flush()
        self._from_host = os.fdopen(os.dup(0), "rb")
        self._to_host = os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)

    def read(self) -> dict[str, Any] | None:
        """Return the next message; None after the last."""
        line = self._from_host.readline()
        return json.loads(line) if line else None

    def write(self, **message: Any) -> None:
        """Send a message; ends the process if layton-bench has gone."""
        data = memoryview(json.dumps(message).encode() + b"\n")
        try:
            with self._lock:
                while data:
                    data = data[self._to_host.write(data) :]
        except OSError:
            os._exit(1)

    def beat(self, seconds: float) -> None:
        """Send heartbeats without end."""
        waiting = threading.Event()
        while not waiting.wait(seconds):
            self.write(type="alive")


def _answer_all(wire: _Wire, model: Any, folder: str) -> None:
    while True:
        request = wire.read()
        if request is None:
            return
        try:
            members = _ANSWERS[request["type"]](model, request, folder)
        except Exception as error:
            traceback.print_exc()
            wire.write(
                type="failed", id=request["id"], reason=_describe(error),
                out_of_memory=_is_out_of_memory(error),
            )  # fmt: skip
        else:
            wire.write(type="done", id=request["id"], **members)


def _encode(model: Any, request: dict[str, Any], folder: str) -> dict[str, Any]:
    made = model.encode(read_npy(Path(folder, request["images"])))
    kinds = [kind for kind in _KINDS if kind in made]
    if len(kinds) != 1:
        raise ValueError("encode returns a dictionary with one of " + ", ".join(_KINDS))
    held = made[kinds[0]]
    if kinds[0] != "payloads":
        members = {name: value for name, value in made.items() if name == "codebook_size"}
        return dict(members, **{kinds[0]: _put(folder, request, kinds[0], held)})
    joined = Array((sum(map(len, held)),), array.array("B", b"".join(held)))
    lengths = [len(payload) for payload in held]
    return {"payloads": _put(folder, request, "payloads", joined), "lengths": lengths}


def _decode(model: Any, request: dict[str, Any], folder: str) -> dict[str, Any]:
    kind = next(kind for kind in _KINDS if kind in request)
    path = Path(folder, request[kind])
    codes: dict[str, Any] = {kind: None}
    if kind == "payloads":
        codes[kind] = _split(_read_array(path).values.tobytes(), request["lengths"])
    else:
        codes[kind] = read_npy(path)
    if kind == "codes":
        codes["codebook_size"] = request["codebook_size"]
    images = model.decode(codes, tuple(request["size_px"]), request["seeds"])
    return {"images": _put(folder, request, "decoded", images)}


def _generate(model: Any, request: dict[str, Any], folder: str) -> dict[str, Any]:
    _reset_device_peak()
    images = model.generate(request["prompts"], request["seeds"])
    told = model.latest_cost() if hasattr(model, "latest_cost") else {}
    members = dict(_peaks(), **told)
    return dict(members, images=_put(folder, request, "drawn", images))


_ANSWERS = {"encode": _encode, "decode": _decode, "generate": _generate}


def _put(folder: str, request: dict[str, Any], name: str, values: Any) -> str:
    file = f"{request['id']}-{name}-out.npy"
    write_npy(Path(folder, file), values)
    return file


def _split(joined: bytes, lengths: list[int]) -> list[bytes]:
    payloads, start = [], 0
    for length in lengths:
        payloads.append(joined[start : start + length])
        start += length
    return payloads


def _read_array(path: Path) -> Array:
    with path.open("rb") as file:
        shape, code, is_swapped = _read_header(file)
        values = array.array(code)
        values.frombytes(file.read())
    if is_swapped:
        values.byteswap()
    return Array(shape, values)


def _read_header(file: Any) -> tuple[tuple[int, ...], str, bool]:
    """Return shape, type of array.array, and whether the byte order is the other one."""
    start = file.read(8)
    if start[:6] != _MAGIC:
        raise ValueError("not a .npy file")
    length = (
        struct.unpack("<H", file.read(2)) if start[6] == 1 else struct.unpack("<I", file.read(4))
    )
    header = ast.literal_eval(file.read(length[0]).decode("latin1"))
    order, kind = header["descr"][0], header["descr"][1:]
    if kind not in _TYPES or (header["fortran_order"] and len(header["shape"]) > 1):
        raise ValueError(f"a .npy file of {header['descr']}, which needs numpy")
    ours = "<" if sys.byteorder == "little" else ">"
    return tuple(header["shape"]), _TYPES[kind], order not in ("|", "=", ours)


def _write_array(path: Path, values: Array) -> None:
    count = 1
    for side in values.shape:
        count *= side
    if len(values.values) != count:
        raise ValueError(f"{len(values.values)} values for shape {values.shape}")
    kind = next(kind for kind, code in _TYPES.items() if code == values.values.typecode)
    order = "|" if kind == "u1" else "<" if sys.byteorder == "little" else ">"
    header = repr({"descr": order + kind, "fortran_order": False, "shape": values.shape})
    header += " " * (-(len(header) + 11) % 64) + "\n"
    with path.open("wb") as file:
        file.write(_MAGIC + b"\x01\x00" + struct.pack("<H", len(header)) + header.encode())
        file.write(values.values.tobytes())


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:_MAX_REASON]


def _is_out_of_memory(error: Exception) -> bool:
    names = [kind.__name__ for kind in type(error).__mro__]
    return "MemoryError" in names or "OutOfMemoryError" in names or "out of memory" in str(error)


def _versions() -> dict[str, str]:
    with contextlib.suppress(ImportError):
        import numpy  # noqa: F401  arrays will arrive as its own
    versions = {"python": platform.python_version()}
    for name in ("numpy", "torch", "transformers", "diffusers"):
        module = sys.modules.get(name)
        if module is not None:
            versions[name] = str(getattr(module, "__version__", "?"))
    return versions


def _cuda() -> Any:
    """Return torch.cuda if the model has used it, else None."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None


def _reset_device_peak() -> None:
    cuda = _cuda()
    if cuda is not None:
        cuda.reset_peak_memory_stats()


def _peaks() -> dict[str, float]:
    """Return peak memory of this process and of the current device."""
    found = {"peak_host_mib": _peak_host_mib()}
    cuda = _cuda()
    if cuda is not None:
        found["peak_device_mib"] = cuda.max_memory_allocated() / 2.0**20
    return found


def _peak_host_mib() -> float:
    # on Linux getrusage counts what the process was before it ran Python: a copy of its parent
    if sys.platform == "linux":
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2.0**10
    import resource

    unit = 2.0**20 if sys.platform == "darwin" else 2.0**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit

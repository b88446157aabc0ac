"""Weights on disk → a module: read safely, check every key, report what does not fit."""

import io
import zipfile
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from layton.errors import CheckpointError
from layton.weights.keys import KeyReport, require_fit

__all__ = [
    "check_model",
    "load_model",
    "load_strict",
    "read_state",
    "strip_prefix",
]

M = TypeVar("M", bound=nn.Module)

_WRAPPERS = ("ema", "model", "module", "state_dict")
_MAX_WRAPPERS = 8
# modules that training checkpoints name beside the weights: command lines, callbacks, numpy
_MENTIONED = frozenset({"_codecs", "argparse", "numpy", "omegaconf", "pathlib", "typing"})
_MENTIONED |= {"lightning", "pytorch_lightning"}
_PICKLES = (".ckpt", ".pt", ".pth")  # in a plain zip archive
_MAX_EXPANSION = 4  # weights hardly compress; more would be a bomb
# the one file of weights in a Hugging Face folder, by the library that wrote it
_FOLDER_FILES = (
    "model.safetensors",
    "diffusion_pytorch_model.safetensors",
    "pytorch_model.bin",
    "diffusion_pytorch_model.bin",
)


def read_state(path: Path | str, *, wrappers: Iterable[str] = _WRAPPERS) -> dict[str, Tensor]:
    """Read a state dict without running anything the file contains.

    A safetensors file is recognised by its content and mapped. All others are read by
    `torch.load(weights_only=True)`, with inert stand-ins for the classes of training frameworks.
    In a folder, as from Hugging Face, the file of weights is read. In a plain zip archive, the one
    checkpoint is read. Dictionaries around the state dict are opened by the first name of
    `wrappers` that they hold. A prefix `module.` or `_orig_mod.` of all keys is removed.

    Raises:
        CheckpointError: no such file, a broken or unsafe file, or no tensors in it.
    """
    path = _weights_file(Path(path))
    loaded = _load(path)
    names = tuple(wrappers)
    for _ in range(_MAX_WRAPPERS):  # a dictionary in a pickle may hold itself
        if isinstance(loaded, Mapping) and (name := _wrapper(loaded, names)):
            loaded = loaded[name]
    state = _tensors(loaded)
    if not state:
        raise CheckpointError(str(path), "holds no tensors by name", "Pass a state dict.")
    for prefix in ("module.", "_orig_mod."):
        if all(key.startswith(prefix) for key in state):
            state = strip_prefix(state, prefix)
    return state


def strip_prefix(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the entries whose key starts with `prefix`, without that prefix."""
    return {key.removeprefix(prefix): v for key, v in state.items() if key.startswith(prefix)}


def load_strict(
    model: nn.Module,
    state: Mapping[str, Tensor],
    *,
    source: str,
    optional: Collection[str] = ("codebook_used",),
) -> KeyReport:
    """Load `state` into `model`, which must want exactly these keys and shapes.

    A model on the meta device uses the file's tensors without a copy, in the file's dtype.
    Otherwise the values are copied into the parameters.

    Args:
        model: the module to fill.
        state: key → tensor.
        source: name of the file in messages.
        optional: last parts of keys that may be missing or unknown.

    Raises:
        CheckpointError: a key is missing, unknown or of another shape; nothing is loaded then.
    """
    wanted = model.state_dict()
    report = require_fit(state, wanted, source=source, optional=optional)
    assign = any(tensor.is_meta for tensor in wanted.values())
    known = {key: tensor for key, tensor in state.items() if key in wanted}
    model.load_state_dict(known, strict=False, assign=assign)
    if assign:
        _fill_optional(model, wanted.keys() - known.keys())
    return report


def check_model(
    build: Callable[[], nn.Module], path: Path | str, *, ignore: tuple[str, ...] = ()
) -> None:
    """Raise CheckpointError unless `load_model` can load the file; no weights are copied."""
    state = {k: v for k, v in read_state(path).items() if not k.startswith(ignore)}
    with torch.device("meta"):
        wanted = build().state_dict()
    require_fit(state, wanted, source=str(path))


def load_model(build: Callable[[], M], path: Path | str, *, ignore: tuple[str, ...] = ()) -> M:
    """Build a module and fill it from a file, in evaluation mode and the file's dtype.

    It is built on the meta device: initial values cost no time or memory.

    Args:
        build: returns the module.
        path: a file or folder; see `read_state`.
        ignore: prefixes of keys that are not part of the model (`loss.` of Lightning files).

    Raises:
        CheckpointError: the file cannot be read, or does not fit.
    """
    state = {k: v for k, v in read_state(path).items() if not k.startswith(ignore)}
    with torch.device("meta"):
        model = build()
    load_strict(model, state, source=str(path))
    return model.eval()


def _fill_optional(model: nn.Module, keys: Collection[str]) -> None:
    # statistics that are not in the file start at −1, as in a new model
    for key in keys:
        owner, _, name = key.rpartition(".")
        module = model.get_submodule(owner)
        module.register_buffer(name, torch.full_like(module.get_buffer(name), -1.0, device="cpu"))


def _weights_file(path: Path) -> Path:
    if path.is_dir():
        for name in _FOLDER_FILES:
            if (path / name).is_file():
                return path / name
        raise CheckpointError(
            str(path), f"holds none of {', '.join(_FOLDER_FILES)}", "Pass the file of weights."
        )
    if not path.is_file():
        raise CheckpointError(str(path), "no such file", "Check the path.")
    return path


class _Inert:
    """Replaces a class that a checkpoint names: accepts any arguments, does nothing."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        del args, kwargs

    def __setstate__(self, state: object) -> None:
        del state


def _unpacked(path: Path) -> Path | io.BytesIO:
    """The file itself, or the one checkpoint in a plain zip archive (torch's own are zips too)."""
    with zipfile.ZipFile(path) as archive:
        members = [info for info in archive.infolist() if not info.is_dir()]
        found = [info for info in members if Path(info.filename).suffix in _PICKLES]
        if len(found) != 1 or any(info.filename.endswith("/data.pkl") for info in members):
            return path
        if found[0].file_size > _MAX_EXPANSION * path.stat().st_size:
            raise RuntimeError(f"{found[0].filename} expands too far for weights")
        return io.BytesIO(archive.read(found[0]))


def _stand_ins(
    source: Path | io.BytesIO,
) -> list[Callable[..., object] | tuple[Callable[..., object], str]]:
    foreign = torch.serialization.get_unsafe_globals_in_checkpoint(source)
    if isinstance(source, io.BytesIO):
        source.seek(0)
    return [(_Inert, name) for name in foreign if name.partition(".")[0] in _MENTIONED]


def _load(path: Path) -> object:
    try:
        with path.open("rb") as file:
            head = file.read(9)
        if head[8:] == b"{":  # eight bytes of length, then the JSON header of safetensors
            return load_file(path)
        if not head.startswith(b"PK"):
            return torch.load(path, map_location="cpu", weights_only=True)
        source = _unpacked(path)
        with torch.serialization.safe_globals(_stand_ins(source)):
            mapped = isinstance(source, Path)
            return torch.load(source, map_location="cpu", weights_only=True, mmap=mapped)
    except (
        SafetensorError,
        RuntimeError,
        OSError,
        EOFError,
        KeyError,
        zipfile.BadZipFile,
    ) as error:
        raise CheckpointError(
            str(path), f"cannot be read ({error})", "Download it again."
        ) from None
    except Exception as error:
        # pickle.UnpicklingError and any other exception that a malformed pickle raises
        raise CheckpointError(
            str(path), f"refused: {error}", "Only plain tensors are loaded; convert the file."
        ) from None


def _tensors(value: object) -> dict[str, Tensor]:
    items = value.items() if isinstance(value, Mapping) else ()
    return {str(key): tensor for key, tensor in items if isinstance(tensor, Tensor)}


def _wrapper(value: Mapping[str, object], names: tuple[str, ...]) -> str | None:
    return next((name for name in names if isinstance(value.get(name), Mapping)), None)

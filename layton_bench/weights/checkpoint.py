"""Reads files of tensors safely: safetensors, or pickles restricted to tensors."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from layton_bench.errors import UserError, reason_of

if TYPE_CHECKING:
    from torch import Tensor


def is_safetensors(path: Path) -> bool:
    """Return whether a file begins like safetensors: eight bytes of length, then a JSON object."""
    with path.open("rb") as stream:
        return stream.read(9)[8:] == b"{"


def load_checkpoint(path: Path) -> object:
    """Return the content of a file, on the CPU, without running code in it.

    Raises:
        UserError: damaged, or a pickle that holds more than tensors and plain containers.
    """
    import torch
    from safetensors.torch import load_file

    try:
        if is_safetensors(path):
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "weights_only" not in str(error).lower():
            raise UserError(str(path), f"damaged ({error})", "Download the file again.") from None
        raise UserError(
            str(path),
            "a pickle that holds more than tensors; loading it could run any code",
            "If you trust its source, install it once with `layton-bench weights add NAME FILE"
            " --trust-pickle`. Its tensors are kept as safetensors.",
        ) from error
    except FileNotFoundError:
        raise UserError(str(path), "there is no such file", "Check the path.") from None
    except Exception as error:  # damaged pickles raise anything
        reason = f"damaged ({reason_of(error)})"
        raise UserError(str(path), reason, "Get the file again.") from error


def load_state_dict(path: Path, *, key: str | None = None) -> dict[str, Tensor]:
    """Return a state dict: parameter name → tensor on the CPU.

    Args:
        path: safetensors or a torch file.
        key: name of the state dict in a file that holds more.

    Raises:
        UserError: the file is damaged or unsafe, or holds no state dict.
    """
    import torch

    loaded = load_checkpoint(path)
    if key is not None and isinstance(loaded, Mapping):
        loaded = loaded.get(key)
    if not isinstance(loaded, Mapping) or not loaded:
        raise UserError(str(path), "it holds no state dict", "Check that it is the right file.")
    stray = [name for name, value in loaded.items() if not isinstance(value, torch.Tensor)]
    if stray:
        raise UserError(
            str(path), f"it holds entries that are not tensors: {', '.join(map(str, stray[:3]))}",
            "Check that it is the right file.",
        )  # fmt: skip
    return {str(name): value for name, value in loaded.items()}


def pickle_to_safetensors(source: Path, target: Path) -> None:
    """Load a pickle that the user trusts and keep its state dict; raises UserError without one.

    Only this function loads a pickle without restriction.
    """
    import torch
    from safetensors.torch import save_file

    loaded = torch.load(source, map_location="cpu", weights_only=False)
    if isinstance(loaded, torch.nn.Module):
        loaded = loaded.state_dict()
    elif isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    tensors = {
        str(name): value.detach().contiguous().clone()
        for name, value in (loaded.items() if isinstance(loaded, Mapping) else ())
        if isinstance(value, torch.Tensor)
    }
    if not tensors:
        raise UserError(str(source), "it holds no state dict", "Check that it is the right file.")
    save_file(tensors, target)

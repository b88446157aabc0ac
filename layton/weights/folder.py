"""A model's folder: config.json beside model.safetensors."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import save_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import Tensor

__all__ = ["CONFIG_FILE", "WEIGHTS_FILE", "write_folder"]

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"


def write_folder(
    folder: Path, state: Mapping[str, Tensor], config: str, *, dtype: torch.dtype | None = None
) -> None:
    """Write weights and configuration; each file appears whole or not at all.

    Args:
        folder: created if it does not exist; existing files are replaced.
        state: key → tensor.
        config: text of config.json.
        dtype: of the stored floating tensors; None keeps theirs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stored = {
        key: tensor.detach().to("cpu", dtype if tensor.is_floating_point() else None).contiguous()
        for key, tensor in state.items()
    }
    with tempfile.TemporaryDirectory(dir=folder) as name:
        scratch = Path(name)
        save_file(stored, scratch / WEIGHTS_FILE)
        (scratch / CONFIG_FILE).write_text(config)
        for file in (WEIGHTS_FILE, CONFIG_FILE):
            (scratch / file).replace(folder / file)

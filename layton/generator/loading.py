"""Transformers on disk: the published checkpoints, and the folders of `save_gpt`."""

from pathlib import Path

import torch
from pydantic import TypeAdapter

from layton.errors import ConfigError, raising
from layton.generator.config import GPTConfig
from layton.generator.folder import read_gpt_config
from layton.generator.transformer import GPT
from layton.weights import WEIGHTS_FILE, load_strict, read_state, require_fit, write_folder

__all__ = ["check_gpt", "load_gpt", "save_gpt"]

_JSON = TypeAdapter(GPTConfig)
# the order in which the published scripts look
_WRAPPERS = ("model", "module", "state_dict")
_OPTIONAL = ("freqs_cis",)  # some files hold the rotary table, which follows from the sizes


def load_gpt(
    source: Path | str,
    *,
    config: GPTConfig | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> GPT:
    """Read a transformer, in evaluation mode.

    Args:
        source: a published `.pt` file, a `.safetensors` file, or a folder of `save_gpt`.
        config: the sizes; a folder has its own.
        dtype: of the weights.
        device: where to.

    Raises:
        CheckpointError: a file that cannot be read or does not fit.
        ConfigError: no sizes for a file, or a broken config.json.
    """
    path = Path(source)
    if path.is_dir():
        config, path = read_gpt_config(path), path / WEIGHTS_FILE
    elif config is None:
        raise ConfigError(str(path), "a file alone does not say its sizes", "Pass config= with it.")
    broken = raising(ConfigError, str(source), "its sizes do not fit together", "Correct them.")
    with broken, torch.device("meta"):
        model = GPT(config)
    state = read_state(path, wrappers=_WRAPPERS)
    cast = {key: tensor.to(dtype) for key, tensor in state.items()}
    load_strict(model, cast, source=str(source), optional=_OPTIONAL)
    return model.to(device).eval()


def check_gpt(path: Path, config: GPTConfig) -> None:
    """Raise CheckpointError unless `load_gpt` can load the file with that configuration."""
    with torch.device("meta"):
        wanted = GPT(config).state_dict()
    state = read_state(path, wrappers=_WRAPPERS)
    require_fit(state, wanted, source=str(path), optional=_OPTIONAL)


def save_gpt(model: GPT, folder: Path | str, *, dtype: torch.dtype | None = None) -> None:
    """Write config.json and model.safetensors, which `load_gpt(folder)` reads.

    Args:
        model: not packed.
        folder: created if it does not exist; existing files are replaced, each in one move.
        dtype: of the stored weights; None keeps theirs.
    """
    config = _JSON.dump_json(model.config, indent=2).decode() + "\n"
    write_folder(Path(folder), model.state_dict(), config, dtype=dtype)

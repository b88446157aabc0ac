"""Loading a transformers model from an installed folder, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from layton_bench.errors import MissingWeightsError


def load_pretrained(
    model_class: Any, folder: Path, *, name: str, device: str = "cpu", config: Any = None
) -> Any:
    """A transformers model in eval mode, from config.json and its weights.

    These are model.safetensors, or pytorch_model.bin restricted to tensors.

    The library fills parameters that a file lacks with random numbers and only logs it; here that
    is an error.

    Args:
        model_class: has ``from_pretrained``.
        folder: where the files lie; nothing is downloaded.
        name: of the weights in the registry, for messages.
        device: as torch writes it.
        config: in place of the folder's own.

    Raises:
        MissingWeightsError: the folder does not hold the whole model.
    """
    from safetensors import SafetensorError

    try:
        model, info = model_class.from_pretrained(
            folder, config=config, local_files_only=True, output_loading_info=True,
            use_safetensors=not (folder / "pytorch_model.bin").is_file(), weights_only=True,
        )  # fmt: skip
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise unusable(name, folder, str(error).splitlines()[0]) from error
    missing = sorted(info["missing_keys"])
    if missing:
        raise unusable(name, folder, f"{len(missing)} parameters are missing, as {missing[0]}")
    return model.eval().to(device)


def require_files(folder: Path, files: tuple[str, ...], *, name: str) -> None:
    """Raise MissingWeightsError unless all these files lie in the folder."""
    absent = [file for file in files if not (folder / file).is_file()]
    if absent:
        raise unusable(name, folder, f"{', '.join(absent)} is not there")


def unusable(name: str, folder: Path, reason: str) -> MissingWeightsError:
    """The error for weights that cannot be used, with the command that mends it."""
    return MissingWeightsError(
        f"weights '{name}' in {folder}", reason, f"Run `layton-bench weights pull {name}`."
    )


def tower_config(folder: Path, tower: str, *, name: str) -> Any:
    """The ``text`` or ``vision`` part of a folder's config.json.

    The width of the projection is the whole model's: published files have another in the parts.
    """
    from transformers import CLIPConfig

    require_files(folder, ("config.json",), name=name)
    config = CLIPConfig.from_pretrained(folder, local_files_only=True)
    part = getattr(config, f"{tower}_config")
    part.projection_dim = config.projection_dim
    return part

"""Loads a transformers model from an installed folder, completely or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from layton_bench.errors import MissingWeightsError


def load_pretrained(
    model_class: Any, folder: Path, *, name: str, device: str = "cpu", config: Any = None
) -> Any:
    """Load a transformers model in eval mode, from config.json and its weights.

    The weights are model.safetensors, or pytorch_model.bin restricted to tensors. If a parameter is
    missing in the file, the library fills it with random numbers and only logs that. Here it is an
    error.

    Args:
        model_class: has ``from_pretrained``.
        folder: where the files are. Nothing is downloaded.
        name: name of the weights in the registry, for messages.
        device: in torch's notation.
        config: used instead of the folder's own.

    Raises:
        MissingWeightsError: the folder does not have the complete model.
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
        raise unusable(
            name, folder, f"{len(missing)} parameters are missing, for example {missing[0]}"
        )
    return model.eval().to(device)


def require_files(folder: Path, files: tuple[str, ...], *, name: str) -> None:
    """Raise MissingWeightsError unless all these files are in the folder."""
    absent = [file for file in files if not (folder / file).is_file()]
    if absent:
        raise unusable(name, folder, f"missing: {', '.join(absent)}")


def unusable(name: str, folder: Path, reason: str) -> MissingWeightsError:
    """Return the error for weights that cannot be used, with the command that helps."""
    return MissingWeightsError(
        f"weights '{name}' in {folder}", reason, f"Run `layton-bench weights pull {name}`."
    )


def tower_config(folder: Path, tower: str, *, name: str) -> Any:
    """Return the ``text`` or ``vision`` part of a folder's config.json.

    The width of the projection is that of the whole model. In published files the parts differ.
    """
    from transformers import CLIPConfig

    require_files(folder, ("config.json",), name=name)
    config = CLIPConfig.from_pretrained(folder, local_files_only=True)
    part = getattr(config, f"{tower}_config")
    part.projection_dim = config.projection_dim
    return part

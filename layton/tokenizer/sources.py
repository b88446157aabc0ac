"""Where a tokenizer's file of weights is: at a path, in a folder, or on the hub."""

from __future__ import annotations

from pathlib import Path

from layton.errors import CheckpointError, MissingPartError
from layton.tokenizer.named import NAMED_MODELS, PUBLISHED, named_model, published_in
from layton.weights import CONFIG_FILE, WEIGHTS_FILE, find_folder

__all__ = ["locate"]

_CHECKPOINTS = (".ckpt", ".pt", ".pth", ".safetensors")


def locate(source: str | Path, name: str | None) -> tuple[Path, Path | None]:
    """Return the file of weights, and config.json if there is one.

    Args:
        source: a file, a folder, the name of a shipped or a published model, or a hub id.
        name: the published model that a folder or a hub repository holds.

    Raises:
        CheckpointError: there is no such file, folder or repository, or the choice is not clear.
        MissingPartError: no file of the named model is published.
    """
    path, label = Path(source), str(source)
    if path.is_file():
        return path, None
    if not path.is_dir() and (found := find_folder(label)) is not None:
        path = found
    if path.is_dir():
        return _in_folder(path, name)
    if label in NAMED_MODELS:
        return _published(label), None
    return _from_hub(label, name)


def _in_folder(folder: Path, name: str | None) -> tuple[Path, Path | None]:
    if (folder / WEIGHTS_FILE).is_file():
        return folder / WEIGHTS_FILE, folder / CONFIG_FILE
    files = sorted(file for file in folder.glob("*") if file.suffix in _CHECKPOINTS)
    file = named_model(name).file if name else None
    chosen = [f for f in files if (f.name == file[1] if file else published_in("", f.name))]
    if len(chosen or files) != 1:
        held = f"holds no {WEIGHTS_FILE}, and {len(files)} other files of weights"
        raise CheckpointError(str(folder), held, "Pass the file of weights.")
    return (chosen or files)[0], None


def _published(name: str) -> Path:
    file = NAMED_MODELS[name].file
    if file is None:
        raise MissingPartError(
            name,
            "no file of it is published",
            f"Use {PUBLISHED}, or your own file: Tokenizer.from_pretrained(PATH, name={name!r}),"
            f" --model PATH --name {name}.",
        )
    return _downloaded(*file)


def _from_hub(repository: str, name: str | None) -> tuple[Path, Path | None]:
    if repository.count("/") != 1 or repository.startswith((".", "/")):
        raise CheckpointError(repository, "no such file, folder or model", "Check the name.")
    known = name if name in NAMED_MODELS else published_in(repository)
    file = NAMED_MODELS[known].file if known else None
    if file and file[0] == repository:
        return _downloaded(*file), None
    return _downloaded(repository, WEIGHTS_FILE), _downloaded(repository, CONFIG_FILE)


def _downloaded(repository: str, file: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(hf_hub_download(repository, file))
    except (OSError, HFValidationError) as error:
        raise CheckpointError(repository, f"cannot be fetched ({error})", "Check it.") from None

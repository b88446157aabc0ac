"""A pipeline's folder as diffusers saves it, read without torch."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layton.weights import content_digest
from layton_bench import UserError
from layton_bench_diffusers.variants import KINDS, PipelineKind

__all__ = ["PipelineFolder", "find_folder", "read_folder"]

INDEX = "model_index.json"
LIBRARIES = ("diffusers", "transformers")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
# components without weights
_NO_NETWORK = ("tokenizer", "scheduler", "feature_extractor", "image_processor")
_MAX_LATENT_SIDE = 4096  # no pipeline is made for larger pictures than 32,768 px


@dataclass(frozen=True, kw_only=True, slots=True)
class PipelineFolder:
    """The contents of a folder's small files.

    Attributes:
        path: the folder.
        pipeline: class of the pipeline, one of `KINDS`.
        components: name → library and class; optional ones that are absent are not included.
        scheduler: class of its scheduler.
        size_px: side of the pictures it was made for.
    """

    path: Path
    pipeline: str
    components: Mapping[str, tuple[str, str]]
    scheduler: str
    size_px: int

    @property
    def kind(self) -> PipelineKind:
        """How pipelines of this class are run."""
        return KINDS[self.pipeline]

    def networks(self) -> tuple[str, ...]:
        """Names of the components that have weights."""
        return tuple(name for name in self.components if not name.startswith(_NO_NETWORK))

    def digest(self) -> str:
        """Return digits that tell this folder from another one of the same name."""
        folders = (self.path / name for name in self.components)
        found = (path for folder in folders for path in folder.glob("*") if path.is_file())
        return content_digest([self.path / INDEX, *sorted(found)])

    def files(self) -> list[Path]:
        """Return every file that is read; raise UserError if one is missing."""
        found = [self.path / INDEX]
        for name in self.components:
            folder = self.path / name
            if name in self.networks():
                found += [folder / "config.json", *_weights(folder)]
            else:
                found += sorted(path for path in folder.glob("*") if path.is_file())
        return found


def find_folder(source: str) -> Path:
    """Return the folder at that path, or of that id in the hub's cache; raise UserError if none."""
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    if not _HUB_ID.fullmatch(source):
        raise UserError(
            f"pipeline {source}",
            "there is no such folder",
            "Pass a folder saved by diffusers, or a repository as OWNER/NAME.",
        )
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(source, INDEX)
    if not isinstance(found, str):
        raise _not_here(source)
    return Path(found).parent


def _not_here(hub_id: str) -> UserError:
    return UserError(
        f"pipeline {hub_id}",
        "it is not in the Hugging Face cache, and nothing is downloaded automatically",
        f"Run `hf download {hub_id}`. If it asks for a licence, first accept it at "
        f"https://huggingface.co/{hub_id} and run `hf auth login`. Or pass a folder: "
        "--model diffusers:FOLDER.",
    )


def read_folder(path: Path) -> PipelineFolder:
    """Read a folder's small files.

    Raises:
        UserError: it holds no pipeline, an unknown one, or lacks a part.
    """
    index = _json(path / INDEX)
    pipeline = str(index.get("_class_name"))
    if pipeline not in KINDS:
        raise UserError(
            str(path / INDEX),
            f"its pipeline is {pipeline}, which is not supported",
            f"Supported: {', '.join(KINDS)}.",
        )
    components = dict(_components(path, index, KINDS[pipeline]))
    if "vae" not in components or KINDS[pipeline].denoiser not in components:
        wanted = f"vae and {KINDS[pipeline].denoiser}"
        raise UserError(str(path / INDEX), f"it does not name {wanted}", "Save the whole pipeline.")
    return PipelineFolder(
        path=path,
        pipeline=pipeline,
        components=components,
        scheduler=components["scheduler"][1] if "scheduler" in components else "",
        size_px=_latent_side(path, KINDS[pipeline]) * _downsample_factor(path),
    )


def _components(
    path: Path, index: Mapping[str, Any], kind: PipelineKind
) -> Iterator[tuple[str, tuple[str, str]]]:
    for name, value in index.items():
        is_left_out = name in kind.load_settings and kind.load_settings[name] is None
        if not isinstance(value, list) or value[:1] == [None] or is_left_out:
            continue
        match value:
            case [str(library), str(class_name)] if library in LIBRARIES and name.isidentifier():
                yield name, (library, class_name)
            case _:
                raise UserError(
                    str(path / INDEX),
                    f"component {name} is {value}",
                    f"Only classes of {' and '.join(LIBRARIES)} can be loaded.",
                )
        if not (path / name).is_dir():
            raise UserError(str(path / name), "the component's folder is missing", _COMPLETE)


def _latent_side(path: Path, kind: PipelineKind) -> int:
    """Return the side of the latents that the denoiser was made for."""
    file = path / kind.denoiser / "config.json"
    size = _json(file).get("sample_size")
    side = kind.latent_side if size is None else size
    if isinstance(side, list) and len(side) == 2 and side[0] == side[1]:  # (height, width)
        side = side[0]
    if isinstance(side, int) and not isinstance(side, bool) and 0 < side <= _MAX_LATENT_SIDE:
        return side
    reason = (
        "it has no sample_size"
        if side is None
        else f"its sample_size is {str(side)[:60]}, not one side in latent pixels"
    )
    raise UserError(
        str(file), reason, "Set it to the side of the square latents that the model was made for."
    )


def _downsample_factor(path: Path) -> int:
    """Return image side over latent side: a factor of two between the image decoder's levels."""
    config = _json(path / "vae" / "config.json")
    levels = config.get("block_out_channels") or config.get("encoder_block_out_channels")
    if not isinstance(levels, list) or not levels:
        reason = "the number of the image decoder's levels is missing"
        raise UserError(str(path / "vae" / "config.json"), reason, _COMPLETE)
    return int(2 ** (len(levels) - 1))


_COMPLETE = "Download or save the whole pipeline again."


def _weights(folder: Path) -> list[Path]:
    """Return the files of a component's weights; variants (model.fp16.safetensors) are not read."""
    for name in ("diffusion_pytorch_model", "model"):
        single, index = folder / f"{name}.safetensors", folder / f"{name}.safetensors.index.json"
        if index.is_file():
            shards = sorted(set(_json(index).get("weight_map", {}).values()))
            paths = [folder / Path(shard).name for shard in shards]
            for path in paths:
                if not path.is_file():
                    raise UserError(str(path), "a part of the weights is missing", _COMPLETE)
            return [index, *paths]
        if single.is_file():
            return [single]
    raise UserError(
        str(folder),
        "it holds no weights as safetensors (pickles and variants such as fp16 are not read)",
        _COMPLETE,
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UserError(str(path), "there is no such file", _COMPLETE) from None
    except (OSError, ValueError) as error:
        raise UserError(str(path), f"it cannot be read: {error}", _COMPLETE) from None
    if not isinstance(content, dict):
        raise UserError(str(path), "it is not a JSON object", _COMPLETE)
    return content

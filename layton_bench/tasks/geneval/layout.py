"""GenEval's own folder layout: writing and reading.

    ROOT/00000/metadata.jsonl       one line: the prompt and its demands
    ROOT/00000/samples/0000.png     image k of the prompt
    ROOT/00000/grid.png             optional, not read

Files of an operating system (``.DS_Store``, ``Thumbs.db``) are passed over. Written names
consist of numbers. A link that leads out of the root is not read.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layton_bench.errors import MissingDataError, UserError
from layton_bench.images import is_hidden
from layton_bench.machine import read_text, write_whole
from layton_bench.tasks.geneval.prompts import parse_prompts
from layton_bench.types import Failure

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from layton_bench.tasks.geneval.prompts import ScenePrompt

METADATA = "metadata.jsonl"
SAMPLES = "samples"
_SAMPLE = re.compile(r"([0-9]{1,9})\.png")
_FOLDER = re.compile(r"[0-9]{1,9}")
# A prompt's metadata is one short line. A larger file is something else.
_MAX_METADATA_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptFolder:
    """One prompt and its images.

    Attributes:
        index: the folder's number.
        prompt: its metadata.
        samples: number → path of the image, in order. Numbers may be missing.
    """

    index: int
    prompt: ScenePrompt
    samples: Mapping[int, Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A folder of generated images: what can be scored, and what is wrong with the rest.

    Attributes:
        root: the folder.
        folders: prompts with metadata and at least one image, by number.
        problems: files and folders that cannot be used, each with the reason.
    """

    root: Path
    folders: tuple[PromptFolder, ...]
    problems: tuple[Failure, ...]

    @property
    def num_images(self) -> int:
        """Number of images that can be scored."""
        return sum(len(folder.samples) for folder in self.folders)


def sample_path(root: Path, prompt_index: int, sample_index: int) -> Path:
    """Return the path of image ``sample_index`` of prompt ``prompt_index``."""
    return root / f"{prompt_index:05d}" / SAMPLES / f"{sample_index:04d}.png"


def sample_name(prompt_index: int, sample_index: int) -> str:
    """Return the path of an image relative to the root: the ``filename`` of results."""
    return f"{prompt_index:05d}/{SAMPLES}/{sample_index:04d}.png"


def write_metadata(root: Path, prompt_index: int, prompt: ScenePrompt) -> None:
    """Write a prompt's metadata. Existing metadata must be the same.

    Raises:
        UserError: the folder belongs to another prompt.
    """
    path = root / f"{prompt_index:05d}" / METADATA
    if path.exists():
        if _read_metadata(path) != prompt:
            reason = f"it has another prompt than number {prompt_index} of this set"
            raise UserError(
                str(path), reason, "Give an empty folder, or the prompts of this folder."
            )
        return
    (path.parent / SAMPLES).mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(prompt.metadata()) + "\n")


def read_layout(root: Path) -> Layout:
    """Find the prompts and images in a folder. Images are not opened.

    Anything missing, misplaced or unreadable is listed as a problem. The rest can be scored.

    Raises:
        UserError: there is no such folder, or no prompt folder in it.
    """
    if not root.is_dir():
        raise MissingDataError(str(root), "there is no such folder", "Check the path.")
    members = [path for path in root.iterdir() if path.is_dir() and _FOLDER.fullmatch(path.name)]
    if not members:
        remedy = f"Expected prompt folders like 00000/{METADATA} and 00000/{SAMPLES}/0000.png."
        raise MissingDataError(str(root), "it has no prompt folder", remedy)
    folders: list[PromptFolder] = []
    problems: list[Failure] = []
    for member in sorted(members, key=lambda path: int(path.name)):
        folder = _read_folder(root, member, problems)
        if folder is not None:
            folders.append(folder)
    return Layout(root=root, folders=tuple(folders), problems=tuple(problems))


def _read_folder(root: Path, member: Path, problems: list[Failure]) -> PromptFolder | None:
    """Return a prompt's folder, or None. Append what is wrong to ``problems``."""
    metadata = member / METADATA
    if not _is_inside(root, metadata):
        problems.append(_problem(member.name, f"it has no {METADATA}"))
        return None
    try:
        prompt = _read_metadata(metadata)
    except UserError as error:
        problems.append(_problem(f"{member.name}/{METADATA}", error.reason))
        return None
    samples = _samples(root, member, problems)
    if not samples:
        problems.append(_problem(member.name, "it has no images"))
        return None
    return PromptFolder(index=int(member.name), prompt=prompt, samples=samples)


def _read_metadata(path: Path) -> ScenePrompt:
    if path.stat().st_size > _MAX_METADATA_BYTES:
        raise UserError(str(path), "it is too large for a prompt's metadata", "Check the folder.")
    prompts = parse_prompts(read_text(path), name=str(path))
    if len(prompts) != 1:
        reason = f"it has {len(prompts)} prompts instead of one"
        raise UserError(str(path), reason, "Each folder is for one prompt.")
    return prompts[0]


def _problem(member: str, reason: str) -> Failure:
    return Failure(key=member, stage="read", reason=reason)


def _samples(root: Path, member: Path, problems: list[Failure]) -> dict[int, Path]:
    """Return the images of a prompt by number. Append other files to ``problems``."""
    folder = member / SAMPLES
    if not folder.is_dir():
        return {}
    numbered: dict[int, Path] = {}
    for path in sorted(path for path in folder.iterdir() if not is_hidden(path.name)):
        match = _SAMPLE.fullmatch(path.name)
        where = f"{member.name}/{SAMPLES}/{path.name}"
        if match is None:
            problems.append(_problem(where, "it is not named like 0000.png"))
        elif not _is_inside(root, path):
            problems.append(_problem(where, "it is not a regular file inside the folder"))
        elif int(match[1]) in numbered:
            problems.append(_problem(where, f"there are two images {int(match[1])}"))
        else:
            numbered[int(match[1])] = path
    return dict(sorted(numbered.items()))


def _is_inside(root: Path, path: Path) -> bool:
    """Return whether this is a file whose real path is inside the root."""
    return path.is_file() and path.resolve().is_relative_to(root.resolve())

"""GenEval's prompts: their words and demands, the packaged set, and files of the same form."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from layton_bench.datasets import DatasetSpec, PromptDataset
from layton_bench.errors import MissingDataError, UserError, pydantic_problem
from layton_bench.machine import lines_of, read_text
from layton_bench.types import Item

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

Task = Literal["single_object", "two_object", "counting", "colors", "position", "color_attr"]
Color = Literal[
    "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white"
]
Relation = Literal["left of", "right of", "above", "below"]

TASKS: tuple[Task, ...] = get_args(Task)
COLORS: tuple[Color, ...] = get_args(Color)

NAME = "geneval-prompts"
IMAGES_PER_PROMPT = 4
Variant = Literal["original", "rewritten", "other"]

_REMEDY = (
    'Each line is a JSON object like {"tag": "colors", "include": [{"class": "cup", "count": 1, '
    '"color": "red"}], "prompt": "a photo of a red cup"}.'
)
# Bad lines named in one message; the rest are counted.
_MAX_LISTED = 5


class Clause(BaseModel):
    """One thing that an image must show: ``count`` objects of a class, colour and position.

    ``position`` is a relation, and the index of the earlier clause that it refers to.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    class_name: str = Field(alias="class", min_length=1)
    count: int = Field(ge=1)
    color: Color | None = None
    position: tuple[Relation, int] | None = None


class ScenePrompt(BaseModel):
    """A prompt and its demands: one line of GenEval's ``evaluation_metadata.jsonl``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tag: str
    include: tuple[Clause, ...] = ()
    exclude: tuple[Clause, ...] = ()
    prompt: str

    @model_validator(mode="after")
    def _relations_point_back(self) -> Self:
        for index, clause in enumerate(self.include):
            if clause.position is not None and not 0 <= clause.position[1] < index:
                raise ValueError(f"include[{index}] refers to a clause that is not before it")
        return self

    def metadata(self) -> dict[str, Any]:
        """Return the prompt as in the file: only keys that are set, in the official order."""
        clauses = {
            name: [clause.model_dump(by_alias=True, exclude_none=True) for clause in group]
            for name, group in (("include", self.include), ("exclude", self.exclude))
            if group
        }
        for clause in clauses.get("include", []):
            if "position" in clause:
                clause["position"] = list(clause["position"])
        return {"tag": self.tag, **clauses, "prompt": self.prompt}


@cache
def official_prompts() -> tuple[ScenePrompt, ...]:
    """Return the 553 prompts of the benchmark, in the official order."""
    text = _packaged("evaluation_metadata.jsonl")
    return tuple(ScenePrompt.model_validate_json(line) for line in text.splitlines())


@cache
def object_names() -> tuple[str, ...]:
    """Return GenEval's names of the 80 COCO classes, in the order of a detector's outputs."""
    return tuple(_packaged("object_names.txt").splitlines())


def open_official(_root: Path | None = None) -> PromptDataset:
    """Return the official prompts as a data set. Keys are the numbers of GenEval's folders."""
    entries = (
        Item(key=f"{number:05d}", captions=(prompt.prompt,))
        for number, prompt in enumerate(official_prompts())
    )
    return PromptDataset(name=NAME, entries=tuple(entries))


DATASET = DatasetSpec(
    name=NAME,
    summary="GenEval's 553 prompts; no download",
    num_items=553,
    open=open_official,
    has_images=False,
)


def _packaged(name: str) -> str:
    return (files("layton_bench") / "suites" / "geneval" / name).read_text(encoding="utf-8")


def read_prompts(path: Path) -> tuple[ScenePrompt, ...]:
    """Read prompts from a JSON-lines file in the form of ``evaluation_metadata.jsonl``.

    Raises:
        UserError: the file is missing, has no prompt, or has bad lines. The message names them.
    """
    if not path.is_file():
        raise MissingDataError(str(path), "there is no such prompt file", "Check the path.")
    return parse_prompts(read_text(path), name=str(path))


def parse_prompts(text: str, *, name: str) -> tuple[ScenePrompt, ...]:
    """Read prompts from the text of a file. ``name`` is its name in messages."""
    prompts: list[ScenePrompt] = []
    problems: list[str] = []
    for number, line in enumerate(lines_of(text), start=1):
        if not line.strip():
            continue
        try:
            prompts.append(ScenePrompt.model_validate_json(line))
        except ValidationError as error:
            problems.append(f"line {number}: {pydantic_problem(error)}")
    if problems:
        listed = "; ".join(problems[:_MAX_LISTED])
        more = len(problems) - _MAX_LISTED
        raise UserError(
            name, listed + (f"; and {more} more bad lines" if more > 0 else ""), _REMEDY
        )
    if not prompts:
        raise UserError(name, "it has no prompt", _REMEDY)
    return tuple(prompts)


def digest(prompts: Iterable[ScenePrompt]) -> str:
    """Return the SHA-256 of the prompts, written like the official file."""
    lines = "".join(json.dumps(prompt.metadata()) + "\n" for prompt in prompts)
    return hashlib.sha256(lines.encode()).hexdigest()


def variant_of(prompts: Sequence[ScenePrompt]) -> Variant:
    """Return which set these prompts are from. Scores of different sets are not comparable.

    ``original``: official prompts, in any order. ``rewritten``: official demands, some in other
    words. ``other``: at least one other demand.
    """
    official = {demand(prompt): prompt.prompt for prompt in official_prompts()}
    words = [(official.get(demand(prompt)), prompt.prompt) for prompt in prompts]
    if any(known is None for known, _ in words):
        return "other"
    return "original" if all(known == drawn for known, drawn in words) else "rewritten"


def demand(prompt: ScenePrompt) -> str:
    """Return the demands of a prompt without its words; unique among the official prompts."""
    metadata = prompt.metadata()
    del metadata["prompt"]
    return json.dumps(metadata)

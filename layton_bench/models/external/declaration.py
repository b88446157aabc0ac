"""A TOML file that declares an external model: what it may say, and what follows from it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    StrictStr,
    TypeAdapter,
    ValidationError,
)

from layton_bench.errors import UserError, pydantic_problem
from layton_bench.machine import read_toml
from layton_bench.models.base import ModelCard

_REMEDY = "Fix the file; see docs/external.md."

CARD_FIELDS: Final = frozenset(field.name for field in fields(ModelCard))
_CARD: Final = TypeAdapter(ModelCard)
_NAME: Final = re.compile(r"[a-z0-9]+([.-][a-z0-9]+)*(@[a-z0-9]+B?)?")
_OURS: Final = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")

CHILD_FOLDER: Final = Path(__file__).with_name("child")
"""Folder of layton_bench_child.py alone: a child imports it, but nothing else of ours."""

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class TimeLimits(_Frozen):
    """How long to wait for the child."""

    start_seconds: Seconds = 600.0
    """Longest time from its start to its first message."""
    silence_seconds: Seconds = 60.0
    """Longest time between two messages while it works. Heartbeats are messages."""
    batch_seconds: Seconds = 3600.0
    """Longest time for one batch, even if heartbeats arrive."""


class Declaration(_Frozen):
    """Content of the file."""

    command: Annotated[tuple[str, ...], Field(min_length=1)]
    """Program and arguments. The command runs in the file's folder, and a program with a slash is
    relative to it."""
    card: dict[str, Any]
    """Members of ModelCard: name, kind, family and summary, and for a generator sizes_px."""
    options: dict[str, StrictInt | StrictFloat | StrictStr] = {}
    """Settings that ``--set`` may change, with their defaults."""
    environment: dict[str, str] = {}
    """Environment variables to add to the user's own."""
    files: tuple[str, ...] = ()
    """Other files of the model, such as weights. The record holds the digest of their contents."""
    limits: TimeLimits = TimeLimits()
    """How long to wait for the child."""


def read_declaration(path: Path) -> Declaration:
    """Read and validate the file; raises UserError that names the file and the field."""
    table = read_toml(path, name=f"external model {path}", remedy=_REMEDY)
    try:
        return Declaration.model_validate(table)
    except ValidationError as error:
        raise _wrong(path, pydantic_problem(error)) from None


def command_of(path: Path, declared: Declaration) -> list[str]:
    """Return the command with the path of its program; raises UserError if there is none."""
    program, *arguments = declared.command
    # links are not resolved: Python finds a virtual environment by the place of its link
    found = shutil.which(str(path.parent / program) if os.sep in program else program)
    if found is None:
        raise _wrong(path, f"there is no program '{program}'")
    return [found, *arguments]


def environment_of(declared: Declaration) -> dict[str, str]:
    """Return the user's variables, without those of our own interpreter, and the declared ones."""
    inherited = {name: value for name, value in os.environ.items() if name not in _OURS}
    made = inherited | declared.environment
    path = [str(CHILD_FOLDER), made.get("PYTHONPATH", "")]
    return made | {"PYTHONPATH": os.pathsep.join(filter(None, path))}


def card_of(path: Path, declared: Declaration) -> ModelCard:
    """Return the declared card; raises UserError for a member that cannot be used."""
    unknown = declared.card.keys() - CARD_FIELDS
    if unknown:
        raise _wrong(path, f"card: unknown member '{min(unknown)}'")
    try:
        card = _CARD.validate_python(declared.card)
    except ValidationError as error:
        raise _wrong(path, f"card: {pydantic_problem(error)}") from None
    if not _NAME.fullmatch(card.name):
        raise _wrong(path, f"card: '{card.name}' is not a name; use lower case, digits and dashes")
    if card.kind == "generator" and not card.sizes_px:
        raise _wrong(path, "card: a generator needs sizes_px, the sides of its pictures")
    return card


def files_of(path: Path, declared: Declaration) -> Sequence[Path]:
    """Return the declaration, the scripts among its arguments, and the files it lists."""
    arguments = [path.parent / word for word in declared.command[1:]]
    listed = [path.parent / name for name in declared.files]
    missing = next((file for file in listed if not file.is_file()), None)
    if missing is not None:
        raise _wrong(path, f"files: {missing} is missing")
    return [path, *(file for file in arguments if file.is_file()), *listed]


def _wrong(path: Path, reason: str) -> UserError:
    return UserError(f"external model {path}", reason, _REMEDY)

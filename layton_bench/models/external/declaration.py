"""A TOML file that declares an external model, as a plugin of one model."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import cache, partial
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
from layton_bench.hookspecs import hookimpl
from layton_bench.machine import read_toml
from layton_bench.models.base import Generator, LoadContext, ModelCard, ModelSpec, Tokenizer

_REMEDY = "Fix the file; see docs/external.md."

CARD_FIELDS: Final = frozenset(field.name for field in fields(ModelCard))
_CARD: Final = TypeAdapter(ModelCard)
_NAME: Final = re.compile(r"[a-z0-9]+([.-][a-z0-9]+)*(@[a-z0-9]+B?)?")
_OURS: Final = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")

CHILD_FOLDER: Final = Path(__file__).with_name("child")
"""Holds layton_bench_child.py alone, so that a child can import it without what is ours."""

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class TimeLimits(_Frozen):
    """How long to wait for the child."""

    start_seconds: Seconds = 600.0
    """From its start to its first message."""
    silence_seconds: Seconds = 60.0
    """Between two of its messages while it works; heartbeats count."""
    batch_seconds: Seconds = 3600.0
    """For one batch, heartbeats or not."""


class Declaration(_Frozen):
    """What the file says."""

    command: Annotated[tuple[str, ...], Field(min_length=1)]
    """Program and arguments; a program with a slash is relative to the file's folder, where the
    command runs."""
    card: dict[str, Any]
    """Members of ModelCard: name, kind, family and summary, and for a generator sizes_px."""
    options: dict[str, StrictInt | StrictFloat | StrictStr] = {}
    """Settings that ``--set`` may change, with their defaults."""
    environment: dict[str, str] = {}
    """Variables in addition to the user's own."""
    files: tuple[str, ...] = ()
    """What else the model is made of (weights): the record holds the digest of their contents."""
    limits: TimeLimits = TimeLimits()
    """How long to wait for the child."""


class ExternalModel:
    """A declared model: the plugin that registers it, and what its process is started from.

    Args:
        path: of the TOML file, absolute.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @hookimpl
    def layton_bench_register_models(self, register: Callable[[ModelSpec], None]) -> None:
        """Register the model."""
        declared = read_declaration(self.path)
        register(
            ModelSpec(
                card=_card(self.path, declared), load=partial(_load, self.path),
                options=declared.options, files=partial(_files, self.path, declared),
            )
        )  # fmt: skip


@cache
def external_model(path: Path) -> ExternalModel:
    """The plugin of a file; one object for each, however often it is named."""
    return ExternalModel(path)


def read_declaration(path: Path) -> Declaration:
    """Read and validate the file; raises UserError naming it and the field."""
    table = read_toml(path, name=f"external model {path}", remedy=_REMEDY)
    try:
        return Declaration.model_validate(table)
    except ValidationError as error:
        raise _wrong(path, pydantic_problem(error)) from None


def command_of(path: Path, declared: Declaration) -> list[str]:
    """The command with its program found; raises UserError where there is none."""
    program, *arguments = declared.command
    # not resolved: the interpreter of a virtual environment is known by where its link lies
    found = shutil.which(str(path.parent / program) if os.sep in program else program)
    if found is None:
        raise _wrong(path, f"there is no program '{program}' that can be run")
    return [found, *arguments]


def environment_of(declared: Declaration) -> dict[str, str]:
    """The user's variables without those of our own interpreter, and the declared ones."""
    inherited = {name: value for name, value in os.environ.items() if name not in _OURS}
    made = inherited | declared.environment
    path = [str(CHILD_FOLDER), made.get("PYTHONPATH", "")]
    return made | {"PYTHONPATH": os.pathsep.join(filter(None, path))}


def _card(path: Path, declared: Declaration) -> ModelCard:
    unknown = declared.card.keys() - CARD_FIELDS
    if unknown:
        raise _wrong(path, f"card: there is no '{min(unknown)}'")
    try:
        card = _CARD.validate_python(declared.card)
    except ValidationError as error:
        raise _wrong(path, f"card: {pydantic_problem(error)}") from None
    if not _NAME.fullmatch(card.name):
        raise _wrong(path, f"card: '{card.name}' is no name: lower case, digits and dashes")
    if card.kind == "generator" and not card.sizes_px:
        raise _wrong(path, "card: a generator needs sizes_px, the side of its pictures")
    return card


def _files(path: Path, declared: Declaration) -> Sequence[Path]:
    """The declaration, its arguments that are files (scripts), and what it lists."""
    arguments = [path.parent / word for word in declared.command[1:]]
    listed = [path.parent / name for name in declared.files]
    missing = next((file for file in listed if not file.is_file()), None)
    if missing is not None:
        raise _wrong(path, f"files: there is no {missing}")
    return [path, *(file for file in arguments if file.is_file()), *listed]


def _load(path: Path, context: LoadContext) -> Tokenizer | Generator:
    from layton_bench.models.external.proxies import ExternalGenerator, ExternalTokenizer
    from layton_bench.models.external.session import Session

    declared = read_declaration(path)
    card = _card(path, declared)
    session = Session(
        card, command_of(path, declared), environment_of(declared), declared.limits,
        cwd=path.parent, context=context,
    )  # fmt: skip
    return (ExternalTokenizer if card.kind == "tokenizer" else ExternalGenerator)(session)


def _wrong(path: Path, reason: str) -> UserError:
    return UserError(f"external model {path}", reason, _REMEDY)

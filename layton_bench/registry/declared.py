"""The plugin that a TOML file declares: one model in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

from layton_bench.hookspecs import hookimpl
from layton_bench.models import (
    ExternalGenerator,
    ExternalTokenizer,
    Generator,
    LoadContext,
    ModelSpec,
    Session,
    Tokenizer,
    card_of,
    command_of,
    environment_of,
    files_of,
    read_declaration,
)


class ExternalModel:
    """A plugin that registers the model of one declaration.

    Args:
        path: the TOML file, absolute.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def sources(self) -> Sequence[Path]:
        """Return the declaration, and the files that its command names."""
        command = read_declaration(self.path).command
        named = (self.path.parent / word for word in command)
        return [self.path, *(path for path in named if path.is_file())]

    @hookimpl
    def layton_bench_register_models(self, register: Callable[[ModelSpec], None]) -> None:
        """Register the model."""
        declared = read_declaration(self.path)
        register(
            ModelSpec(
                card=card_of(self.path, declared), load=partial(_load, self.path),
                options=declared.options, files=partial(files_of, self.path, declared),
            )
        )  # fmt: skip


@cache
def external_model(path: Path) -> ExternalModel:
    """Return the plugin of a file, the same object each time."""
    return ExternalModel(path)


def _load(path: Path, context: LoadContext) -> Tokenizer | Generator:
    declared = read_declaration(path)
    card = card_of(path, declared)
    session = Session(
        card, command_of(path, declared), environment_of(declared), declared.limits,
        cwd=path.parent, context=context,
    )  # fmt: skip
    return (ExternalTokenizer if card.kind == "tokenizer" else ExternalGenerator)(session)

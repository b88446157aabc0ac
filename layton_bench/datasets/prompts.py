"""Prompts without images: text, CSV, TSV, JSON and JSON-lines files, or a folder of text files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layton_bench.datasets.layouts.folder import natural_key, repeated
from layton_bench.errors import ImageError, MissingDataError, UserError
from layton_bench.types import Item

TEXT_FIELDS = ("prompt", "prompts", "caption", "text")
"""Names of the column or member that holds the prompt, in any case."""

KEY_FIELDS = ("id", "key", "item_id")

_FORMS = (
    "Read are: .txt (one prompt a line), .csv and .tsv with a column 'prompt', .jsonl and .json of "
    "objects with a member 'prompt', and a folder of .txt files, one prompt each."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptDataset:
    """Prompts in the order of their file; each is the one caption of its item.

    Attributes:
        name: as suites name it.
        entries: the prompts; a key is the prompt's own id, or its number from 00000 on.
    """

    name: str
    entries: tuple[Item, ...]

    def items(self) -> Sequence[Item]:
        """All prompts, in order."""
        return self.entries

    def read(self, item: Item) -> bytes:
        """Raise ImageError: there is no image."""
        raise ImageError(f"prompt '{item.key}' has no image")

    def content(self, item: Item) -> bytes:
        """What the fingerprint is made of."""
        return "\n".join(item.captions).encode()


def open_prompts(path: Path, *, name: str | None = None) -> PromptDataset:
    """The prompts of a file, or of a folder of text files.

    Rows of one id and one text are one prompt (DPG-Bench's table has a row for each question).

    Raises:
        MissingDataError: there is no such file or folder.
        UserError: its form is not known, a line cannot be understood, or it holds no prompt.
    """
    if not path.exists():
        raise MissingDataError(str(path), "there is no such file", "Check the path.")
    try:
        found = list(_folder(path) if path.is_dir() else _file(path))
    except (ValueError, csv.Error) as error:  # UnicodeDecodeError and JSONDecodeError too
        raise UserError(str(path), f"it cannot be read: {error}", _FORMS) from None
    texts = [(key, " ".join(text.split())) for key, text in found]
    entries = _entries([(key, text) for key, text in texts if text], path)
    return PromptDataset(name=name or path.stem, entries=entries)


def _entries(prompts: Sequence[tuple[str, str]], path: Path) -> tuple[Item, ...]:
    if not prompts:
        raise UserError(str(path), "it holds no prompt", _FORMS)
    once = {pair if pair[0] else number: pair for number, pair in enumerate(prompts)}
    prompts = list(once.values())
    twice = repeated(key for key, _ in prompts if key)
    if twice:
        raise UserError(
            str(path), f"several prompts have the id '{next(iter(twice))}'", "Make ids unique."
        )
    return tuple(
        Item(key=key or f"{number:05d}", captions=(text,))
        for number, (key, text) in enumerate(prompts)
    )


def _folder(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.glob("*.txt"), key=lambda path: natural_key(path.name)):
        yield path.stem, path.read_text(encoding="utf-8-sig")


def _file(path: Path) -> Iterable[tuple[str, str]]:
    text = path.read_text(encoding="utf-8-sig")
    match path.suffix.lower():
        case ".txt":
            return (("", line) for line in text.splitlines())
        case ".csv" | ".tsv":
            return _table(text, "\t" if path.suffix.lower() == ".tsv" else ",")
        case ".jsonl":
            return _json_lines(text)
        case ".json":
            return _json(json.loads(text))
    raise ValueError(f"'{path.suffix}' is not a form of prompt file that is known")


def _table(text: str, delimiter: str) -> Iterator[tuple[str, str]]:
    for row in csv.DictReader(io.StringIO(text), delimiter=delimiter):
        yield _key_and_text(row)


def _json_lines(text: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                yield _key_and_text(json.loads(line))
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None


def _json(content: Any) -> Iterator[tuple[str, str]]:
    if isinstance(content, dict):  # id → object, as MJHQ-30K's meta_data.json
        for key, value in content.items():
            yield str(key), _key_and_text(value)[1]
    elif isinstance(content, list):
        for value in content:
            yield ("", value) if isinstance(value, str) else _key_and_text(value)
    else:
        raise ValueError("it is neither a list nor an object")


def _key_and_text(record: Any) -> tuple[str, str]:
    if not isinstance(record, Mapping):
        raise ValueError(f"{record!r} is not an object")
    fields = {str(name).strip().lower(): value for name, value in record.items()}
    text = next((fields[name] for name in TEXT_FIELDS if name in fields), None)
    if not isinstance(text, str):
        raise ValueError(f"no '{TEXT_FIELDS[0]}' among {', '.join(fields)}")
    key = next((fields[name] for name in KEY_FIELDS if fields.get(name) is not None), "")
    return str(key), text

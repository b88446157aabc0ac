"""Prompts without images: text, CSV, TSV, JSON and JSON-lines files, or a folder of text files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layton_bench.datasets.captions import captions_of, encodable
from layton_bench.datasets.layouts.names import natural_key, readable, repeated
from layton_bench.errors import ImageError, MissingDataError, UserError
from layton_bench.images import is_hidden
from layton_bench.machine import lines_of, parse_json, read_csv, read_json, read_text
from layton_bench.types import Item

TEXT_FIELDS = ("prompt", "prompts", "caption", "text")
"""Names of the column or member that holds the prompt, in any case."""

KEY_FIELDS = ("id", "key", "item_id")

_FORMS = (
    "A prompt file is .txt (one prompt per line), .csv or .tsv with a column 'prompt', .jsonl or "
    ".json of objects with a member 'prompt', or a folder of .txt files with one prompt each."
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
        """Return all prompts, in order."""
        return self.entries

    def read(self, item: Item) -> bytes:
        """Raise ImageError: there is no image."""
        raise ImageError(f"prompt '{item.key}' has no image")

    def content(self, item: Item) -> bytes:
        """Return the bytes that the fingerprint covers."""
        return "\n".join(item.captions).encode()


def open_prompts(path: Path, *, name: str | None = None) -> PromptDataset:
    """Open the prompts of a file, or of a folder of text files.

    Rows of one id and one text are one prompt (DPG-Bench's table has a row for each question). All
    white space in a prompt becomes single spaces.

    Raises:
        MissingDataError: there is no such file or folder.
        UserError: its form is not known, a line cannot be understood, or it holds no prompt.
    """
    if not path.exists():
        raise MissingDataError(str(path), "there is no such file", "Check the path.")
    try:
        found = list(_folder(path) if path.is_dir() else _file(path))
    except ValueError as error:
        raise UserError(str(path), f"it cannot be read: {error}", _FORMS) from None
    entries = _entries([(readable(key), text) for key, text in found], path)
    return PromptDataset(name=readable(name or path.stem), entries=entries)


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
        if not is_hidden(path.name):
            yield path.stem, _text(read_text(path), readable(path.name))


def _file(path: Path) -> Iterable[tuple[str, str]]:
    match path.suffix.lower():
        case ".txt":
            lines = lines_of(read_text(path))
            return [("", " ".join(encodable(line).split())) for line in lines if line.strip()]
        case ".csv" | ".tsv":
            delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
            rows = read_csv(path, delimiter=delimiter)
            return (_key_and_text(row, f"line {number}") for number, row in rows)
        case ".jsonl":
            return _json_lines(read_text(path), path)
        case ".json":
            return _json(read_json(path))
    raise ValueError(f"'{path.suffix}' is not a known kind of prompt file")


def _json_lines(text: str, path: Path) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(lines_of(text), start=1):
        if line.strip():
            record = parse_json(line, name=f"{path}, line {number}")
            yield _key_and_text(record, f"line {number}")


def _json(content: Any) -> Iterator[tuple[str, str]]:
    if isinstance(content, dict):  # id → object, as MJHQ-30K's meta_data.json
        for key, value in content.items():
            yield str(key), _key_and_text(value, f"entry '{key}'")[1]
    elif isinstance(content, list):
        for number, value in enumerate(content, start=1):
            where = f"entry {number}"
            yield (
                ("", _text(value, where)) if isinstance(value, str) else _key_and_text(value, where)
            )
    else:
        raise ValueError("it is neither a list nor an object")


def _key_and_text(record: Any, where: str) -> tuple[str, str]:
    if not isinstance(record, Mapping):
        raise ValueError(f"{where}: {record!r} is not an object")
    fields = {str(name).strip().lower(): value for name, value in record.items()}
    name = next((name for name in TEXT_FIELDS if name in fields), None)
    if name is None:
        raise ValueError(f"{where}: no '{TEXT_FIELDS[0]}' among {', '.join(fields)}")
    key = next((fields[n] for n in KEY_FIELDS if fields.get(n) not in (None, "")), "")
    return str(key), _text(fields[name], where)


def _text(value: Any, where: str) -> str:
    """The one prompt in a value."""
    texts = captions_of(value)
    if len(texts) != 1:
        found = "is empty" if value in (None, "") or isinstance(value, str) else f"is {value!r:.40}"
        raise ValueError(f"{where}: the prompt {found}, and must be one text")
    return " ".join(texts[0].split())

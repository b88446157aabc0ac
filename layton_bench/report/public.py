"""What a published page may show: names and relative paths, no absolute paths of the machine."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from layton_bench.records import RunRecord

M = TypeVar("M", bound=BaseModel)

_PART = r"[^\s/\\'\"<>|:;,()\[\]{}*?]+"
_START = r"(?<![\w./<~…\\-])"
_POSIX = re.compile(rf"{_START}/(?!/)(?:{_PART}/+)*({_PART})/?")
_WINDOWS = re.compile(rf"(?<!\w)(?:[A-Za-z]:[\\/]+|\\\\)(?:{_PART}[\\/]+)*({_PART})")


def public_text(roots: Iterable[Path]) -> Callable[[str], str]:
    """Return a function that cuts each absolute path in a text down to ``…/NAME``.

    Args:
        roots: known folders and files. What is below one keeps its path from there, also if names
            have spaces. Other paths are recognised by their slashes.
    """
    names = {str(root): f"…/{root.name}" for root in roots if root.name}
    longest_first = sorted(names, key=len, reverse=True)
    choices = "|".join(map(re.escape, longest_first)) or r"(?!)"
    any_root = re.compile(rf"{_START}(?:{choices})(?=\W|$)")

    def public(text: str) -> str:
        text = any_root.sub(lambda found: names[found[0]], text.replace("file://", ""))
        return _POSIX.sub(r"…/\1", _WINDOWS.sub(r"…/\1", text))

    return public


def known_roots(results: Path, records: Iterable[RunRecord]) -> set[Path]:
    """Return the folders that texts may name: those of commands, and of this machine."""
    roots = {results.resolve(), Path.cwd(), Path.home(), Path(tempfile.gettempdir())}
    for record in records:
        for word in record.command:
            for text in (word, word.partition("=")[2]):
                if (path := Path(text)).is_absolute():
                    roots |= {path, path.parent}
    return roots


def public_copy(model: M, public: Callable[[str], str]) -> M:
    """Return a copy of a record, or of a published number, with ``public`` applied to its texts."""

    def walk(value: Any) -> Any:
        if isinstance(value, str):
            return public(value)
        if isinstance(value, dict):
            return {key: walk(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [walk(inner) for inner in value]
        return value

    return type(model).model_validate(walk(model.model_dump()))

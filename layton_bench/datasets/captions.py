"""Captions as data sets hold them: texts, lists of texts, nothing at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TEXT_FIELDS = ("prompt", "prompts", "caption", "text", "raw", "sentence")
"""Members of an object that hold its text."""


def captions_of(value: Any) -> tuple[str, ...]:
    """Return the captions in a value: of a text, one; of a list, those of its members.

    An object stands for the text in it (``{"raw": …}``). Blank texts are none, and so is whatever
    is no text: null, numbers.
    """
    if isinstance(value, str):
        text = encodable(value.removeprefix("\ufeff"))  # a byte order mark
        return (text,) if text.strip() else ()
    if isinstance(value, Mapping):
        return next((found for n in TEXT_FIELDS if (found := captions_of(value.get(n)))), ())
    if isinstance(value, list | tuple):
        return tuple(text for member in value for text in captions_of(member))
    return ()


def encodable(text: str) -> str:
    """Return a text that UTF-8 can hold. JSON may give half of a pair of surrogates."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

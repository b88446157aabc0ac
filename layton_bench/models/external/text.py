"""Text of another process, made fit for messages."""

from __future__ import annotations

_MOST = 400


def printable(text: str) -> str:
    """Return the text as one line without control characters; a long text is cut."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _MOST else f"{line[:_MOST]} …"

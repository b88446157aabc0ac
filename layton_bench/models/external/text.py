"""Text of a process that is not ours, fit to be shown."""

from __future__ import annotations

_MOST = 400


def printable(text: str) -> str:
    """One line without control characters, cut where it is long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _MOST else f"{line[:_MOST]} …"

"""Data sets that fail in ways of their own, in a module that worker processes can import."""

from __future__ import annotations

import os
import signal
from typing import Any

from lab import file_bytes, picture

from layton_bench.types import Item


class Deadly:
    """A data set whose reader dies at one item, as at an image that takes all memory."""

    name = "deadly"

    def __init__(self, inner: Any, key: str) -> None:
        self.inner, self.key = inner, key

    def items(self) -> Any:
        return self.inner.items()

    def read(self, item: Item) -> Any:
        if item.key == self.key:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.inner.read(item)


class Odd:
    """A data set of a plugin that fails in ways of its own."""

    name = "odd"

    def __init__(self, fault: str) -> None:
        self.fault = fault

    def items(self) -> list[Item]:
        return [Item(key="good"), Item(key="bad")]

    def read(self, item: Item) -> Any:
        if item.key == "bad":
            match self.fault:
                case "none":
                    return None
                case "text":
                    return "text"
                case "exit":
                    raise SystemExit(0)
                case "key":
                    raise KeyError("no such thing")
                case "memory":
                    raise MemoryError
        return file_bytes(picture(0, (16, 16)))

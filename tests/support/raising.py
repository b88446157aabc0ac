"""A function that raises, in a module that worker processes can import."""

from __future__ import annotations

from layton_bench.errors import MissingDataError


class Raising:
    """Raises for one value; picklable by its module, which workers can import."""

    def __init__(self, error: str) -> None:
        self.error = error

    def __call__(self, value: int) -> int:
        if value == 30 and self.error == "user":
            raise MissingDataError("a.tar", "it is gone", "Bring it back.")
        if value == 30:
            raise KeyError("no such thing")
        return -value

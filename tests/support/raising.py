"""A function that raises, in a module that worker processes can import."""

from __future__ import annotations

import os
import signal

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


class Deadly:
    """Kills its process at some values, as the system does when memory runs out."""

    def __init__(self, *values: int) -> None:
        self.values = values

    def __call__(self, value: int) -> int:
        if value in self.values:
            os.kill(os.getpid(), signal.SIGKILL)
        return -value


class DeadlyStart:
    """Kills its process as soon as a worker unpickles it."""

    def __reduce__(self) -> tuple[object, ...]:
        return (os._exit, (1,))

    def __call__(self, value: int) -> int:
        return value

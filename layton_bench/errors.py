"""Everything this package raises on purpose.

    LaytonBenchError
    ├── UserError               something the user can mend: thing, reason, remedy → exit code 2
    │   ├── UnknownNameError    no such suite, model, metric …: the nearest names are suggested
    │   ├── NameClashError      two plugins claim one name
    │   ├── MissingDataError    a data set's files are not where they should be
    │   ├── MissingWeightsError weights are not installed, or do not match their digest
    │   └── NotComparableError  two values whose signatures differ were asked to be compared
    ├── ImageError              one image cannot be used; becomes a Failure of the run
    └── ModelOutputError        a model returned something it must not; names the sample

Anything else that escapes is a fault of ours: exit code 1 with a log file.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class LaytonBenchError(Exception):
    """Base of every error raised on purpose."""


class UserError(LaytonBenchError):
    """Something the user can mend.

    Args:
        thing: what is wrong (a file, a name, an option).
        reason: why it is wrong.
        remedy: what to do now.
    """

    def __init__(self, thing: str, reason: str, remedy: str) -> None:
        self.thing = thing
        self.reason = reason
        self.remedy = remedy
        super().__init__(f"{thing}: {reason}. {remedy}")


@contextmanager
def as_user_error(kind: type[Exception]) -> Iterator[None]:
    """Raise a library's errors as UserErrors: those of ``kind``, with thing, reason and remedy."""
    try:
        yield
    except kind as error:
        thing, reason, remedy = (getattr(error, name) for name in ("thing", "reason", "remedy"))
        raise UserError(thing, reason, remedy) from error


class UnknownNameError(UserError):
    """No such name; the message lists the nearest known ones.

    Args:
        kind: of thing, in the singular.
        name: as given.
        known: the names there are.
        listing: the command that lists them.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], *, listing: str) -> None:
        near = difflib.get_close_matches(name.lower(), list(known), n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(near)}? " if near else ""
        all_of_them = f"`layton-bench {listing}` lists them all."
        super().__init__(f"{kind} '{name}'", "there is none of that name", hint + all_of_them)
        self.near = near


class NameClashError(UserError):
    """Two plugins claim one name; neither is silently renamed."""

    def __init__(self, kind: str, name: str, first: str, second: str) -> None:
        super().__init__(
            f"{kind} '{name}'",
            f"both '{first}' and '{second}' register it",
            "Uninstall one of the two, or ask its author to rename.",
        )


class MissingDataError(UserError):
    """A data set's files are not where they should be."""


class MissingWeightsError(UserError):
    """Weights are not installed, or are not the ones expected."""


class NotComparableError(UserError):
    """Values of different signatures were asked to be compared."""


class ImageError(LaytonBenchError):
    """One image cannot be used; the run goes on and lists it by name."""


class ModelOutputError(LaytonBenchError):
    """A model returned something it must not."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)

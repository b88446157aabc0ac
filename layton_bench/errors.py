"""All errors that this package raises, and how the errors of others are put into words.

    LaytonBenchError
    ├── UserError               a problem that the user can fix: thing, reason, remedy → exit code 2
    │   ├── UnknownNameError    there is no such suite, model, metric …; suggests near names
    │   ├── NameClashError      two plugins register the same name
    │   ├── MissingDataError    files of a data set are missing
    │   ├── MissingWeightsError weights are not installed, or do not match their digest
    │   └── NotComparableError  two values with different signatures cannot be compared
    ├── PluginError             a plugin's code raised something; the original is its cause
    ├── ImageError              one image cannot be used; the run records a failure
    └── ModelOutputError        a model returned a wrong result; the run records a failure

Any other exception is a bug in this package: exit code 1 with a log file.
"""

from __future__ import annotations

import difflib
import errno
import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

_MAX_REASON = 1000
"""Longer texts of exceptions are cut to this number of characters."""

_MAX_PROBLEMS = 5
"""Of a file with more problems than this, the rest is only counted."""


class LaytonBenchError(Exception):
    """Base of every error raised on purpose."""


class UserError(LaytonBenchError):
    """A problem that the user can fix.

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
    """Raise errors of ``kind``, which have a thing, a reason and a remedy, as UserErrors."""
    try:
        yield
    except kind as error:
        thing, reason, remedy = (getattr(error, name) for name in ("thing", "reason", "remedy"))
        raise UserError(thing, reason, remedy) from error


class UnknownNameError(UserError):
    """There is no such name. The message suggests the nearest known names.

    Args:
        kind: kind of thing, in the singular.
        name: name that the user gave.
        known: all names of that kind.
        listing: command that lists them.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], *, listing: str) -> None:
        near = difflib.get_close_matches(name.lower(), list(known), n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(near)}? " if near else ""
        all_of_them = f"`layton-bench {listing}` lists them all."
        super().__init__(f"{kind} '{name}'", "there is none of that name", hint + all_of_them)
        self.near = near


class NameClashError(UserError):
    """Two plugins register the same name; neither is renamed silently."""

    def __init__(self, kind: str, name: str, first: str, second: str) -> None:
        super().__init__(
            f"{kind} '{name}'",
            f"both '{first}' and '{second}' register it",
            "Uninstall one of the two plugins, or ask its author to rename it.",
        )


class MissingDataError(UserError):
    """Files of a data set are missing."""


class MissingWeightsError(UserError):
    """Weights are not installed, or do not match their digest."""


class NotComparableError(UserError):
    """Two values with different signatures cannot be compared."""


class ImageError(LaytonBenchError):
    """One image cannot be used; the run continues and lists it by name."""


class PluginError(LaytonBenchError):
    """A plugin's code raised ``cause``. The message names its type and its text."""

    def __init__(self, cause: BaseException) -> None:
        self.cause = cause
        super().__init__(reason_of(cause))


class ModelOutputError(LaytonBenchError):
    """A model returned a wrong result."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class CtrlC(KeyboardInterrupt):
    """Raised by our own signal handlers: Ctrl-C was pressed, and no plugin only says so."""


@contextmanager
def guarded() -> Iterator[None]:
    """Run a plugin's code: whatever it raises becomes a PluginError.

    Errors of this package pass unchanged, and so does Ctrl-C. ``sys.exit`` does not end the
    program, and the working directory is restored.
    """
    before = _working_directory()
    try:
        yield
    except LaytonBenchError:
        raise
    except BaseException as error:  # a plugin may raise anything
        if _is_ctrl_c(error):
            raise
        raise PluginError(error) from error
    finally:
        if before is not None and _working_directory() != before:
            with suppress(OSError):
                os.chdir(before)


@contextmanager
def guarded_for_user(thing: str, failed: str, remedy: str) -> Iterator[None]:
    """As ``guarded``, for work that cannot go on without the plugin: raises a UserError.

    Args:
        thing: the plugin's model, metric or data set.
        failed: what failed, such as "it failed to load"; the plugin's error is appended.
        remedy: what the user can do.
    """
    try:
        with guarded():
            yield
    except PluginError as error:
        raise UserError(thing, f"{failed} ({error})", remedy) from error.cause


def _working_directory() -> Path | None:
    try:
        return Path.cwd()
    except OSError:  # it was deleted
        return None


def _is_ctrl_c(error: BaseException) -> bool:
    """Whether the user pressed Ctrl-C. Our handlers raise CtrlC, Python's KeyboardInterrupt."""
    if isinstance(error, CtrlC):
        return True
    is_pythons = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return isinstance(error, KeyboardInterrupt) and is_pythons


def reason_of(error: BaseException) -> str:
    """Return type and text of an exception on one line; of our own errors the text alone.

    Long texts are cut. Control characters are escaped. A text that cannot be made is left out.
    """
    if isinstance(error, PluginError):
        return str(error)  # of this form already
    try:
        text = shown(str(error))
    except BaseException as failure:  # an outsider's __str__ may raise anything
        if _is_ctrl_c(failure):
            raise
        text = "its message cannot be shown"
    if isinstance(error, LaytonBenchError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def shown(text: str) -> str:
    """Return a text of unknown origin as one printable line of bounded length."""
    words = " ".join(text[: 2 * _MAX_REASON].split())
    line = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in words
    )
    if len(text) <= _MAX_REASON and len(line) <= 2 * _MAX_REASON:
        return line
    return f"{line[:_MAX_REASON]}… ({len(text):,} characters)"


def pydantic_problem(error: ValidationError) -> str:
    """Return field and message of each problem that pydantic found, on one line."""
    details = error.errors(include_url=False, include_context=False, include_input=False)
    problems = [
        f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}".removeprefix(": ")
        for detail in details[:_MAX_PROBLEMS]
    ]
    if len(details) > _MAX_PROBLEMS:
        problems.append(f"and {len(details) - _MAX_PROBLEMS} more")
    # JSON is read line by line here; the caller names the line
    return shown("; ".join(problems).replace(" at line 1 column ", " at column "))


_REMEDIES = {
    errno.ENOENT: "Check the path.",
    errno.ENOTDIR: "Check the path.",
    errno.EISDIR: "Name a file.",
    errno.EACCES: "Check its permissions.",
    errno.EPERM: "Check its permissions.",
    errno.EROFS: "Name a folder on a disk that can be written.",
    errno.ENOSPC: "Free some space on its disk.",
    errno.EDQUOT: "Free some space on its disk.",
    errno.ENAMETOOLONG: "Use a shorter name.",
    errno.EMFILE: "Allow more open files (ulimit -n), or use fewer workers.",
    errno.EINVAL: "Name a regular file.",
    errno.EFBIG: "Name a smaller file.",
    errno.ELOOP: "Remove the circle of links.",
}


def file_error(error: OSError | UnicodeError, name: str = "") -> UserError:
    """Return what to tell a user about a file that cannot be read or written.

    Args:
        error: what the system or a codec raised.
        name: what to call the file; by default the path that the error holds.
    """
    if isinstance(error, UnicodeError):
        return UserError(name or "a text", f"not UTF-8 ({shown(str(error))})", "Save it as UTF-8.")
    paths = [shown(str(path)) for path in (error.filename, error.filename2) if path is not None]
    thing = name or " → ".join(paths) or "a file"
    reason = "there is no such file" if error.errno == errno.ENOENT else error.strerror
    remedy = _REMEDIES.get(error.errno or 0, "Check the path, its permissions and its disk.")
    return UserError(thing, shown(str(reason or error)), remedy)


def output_error(path: Path, error: OSError) -> UserError:
    """Return what to tell a user whose output cannot be written."""
    return UserError(
        f"output folder {path}",
        f"cannot be written ({error.strerror or error})",
        "Free some space or name another folder with --out.",
    )

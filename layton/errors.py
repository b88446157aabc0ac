"""One class per kind of error.

LaytonError                a problem that the caller can fix (also a ValueError)
├── ConfigError            a configuration that contradicts itself, or an unknown model name
├── CheckpointError        a file that cannot be read, or whose keys or shapes do not fit the model
├── MissingPartError       no file has a part that the model needs (U-Net, VAE, codebook …)
├── ImageError             images of the wrong shape, size, dtype or range
├── CodesError             codes out of range, of the wrong count or of the wrong dtype
└── PromptError            an empty or over-long prompt, or a class that does not exist
"""

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = [
    "CheckpointError",
    "CodesError",
    "ConfigError",
    "ImageError",
    "LaytonError",
    "MissingPartError",
    "PromptError",
    "raising",
]


class LaytonError(ValueError):
    """A problem that the caller can fix.

    Attributes:
        thing: a file, an argument, a model name …
        reason: why it cannot be used.
        remedy: what to do now.
    """

    def __init__(self, thing: str, reason: str, remedy: str = "") -> None:
        super().__init__(thing, reason, remedy)
        self.thing = thing
        self.reason = reason
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.thing}: {self.reason}" + (f"\n{self.remedy}" if self.remedy else "")


class ConfigError(LaytonError):
    """A configuration contradicts itself, or no model has that name."""


class CheckpointError(LaytonError):
    """A file cannot be read, or its keys or shapes do not fit the model."""


class MissingPartError(LaytonError):
    """The model needs a part that no given file supplied."""


class ImageError(LaytonError):
    """Images have the wrong shape, size, dtype or range."""


class CodesError(LaytonError):
    """Codes are out of range, of the wrong count or of the wrong dtype."""


class PromptError(LaytonError):
    """A prompt is empty or too long, or a class does not exist."""


@contextmanager
def raising(kind: type[LaytonError], thing: str, reason: str, remedy: str) -> Iterator[None]:
    """Turn any exception of a library into an error of that kind.

    Libraries raise exceptions of every type for damaged files: TypeError, KeyError, their own.
    Our own errors pass unchanged, and so does a lack of memory.

    Args:
        kind: class of the error.
        thing: the file or folder that is read.
        reason: what failed; the exception is appended.
        remedy: what the user can do.
    """
    try:
        yield
    except (LaytonError, MemoryError):
        raise
    except Exception as error:
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise kind(thing, f"{reason} ({text})", remedy) from error

"""Errors of training, in addition to those of `layton.errors`."""

from layton.errors import LaytonError

__all__ = ["DataError", "NonFiniteLossError"]


class DataError(LaytonError):
    """Training data is missing, empty, or does not hold what the phase needs."""


class NonFiniteLossError(LaytonError):
    """A loss is NaN or infinite; its batch has been saved."""

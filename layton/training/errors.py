"""What can go wrong in training beside the errors of `layton.errors`."""

from layton.errors import LaytonError

__all__ = ["DataError", "NonFiniteLossError"]


class DataError(LaytonError):
    """Training data is missing, empty, or does not hold what the phase needs."""


class NonFiniteLossError(LaytonError):
    """A loss became NaN or infinite; the batch that did it has been saved."""

"""The keys and shapes of a file against those of a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layton.errors import CheckpointError
from layton.weights.fingerprints import recognise

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from torch import Tensor

__all__ = ["KeyReport", "compare", "require_fit"]

_SHOWN = 8  # differing keys named in a message


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyReport:
    """How the keys of a file and of a model differ, each list sorted.

    Attributes:
        num_matching: keys with the same name and shape.
        missing: keys the model has and the file lacks.
        unexpected: keys the file has and the model lacks.
        mismatched: (key, shape in the file, shape in the model).
    """

    num_matching: int
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]

    @property
    def fits(self) -> bool:
        """Whether no key is missing, left over or of another shape."""
        return not (self.missing or self.unexpected or self.mismatched)

    def __str__(self) -> str:
        shapes = [f"{key}: file {had}, model {wanted}" for key, had, wanted in self.mismatched]
        parts = [
            f"{self.num_matching} keys match",
            _named("missing from the file", self.missing),
            _named("not in the model", self.unexpected),
            _named("of another shape", shapes),
        ]
        return "\n".join(part for part in parts if part)


def _named(title: str, keys: Collection[str]) -> str:
    if not keys:
        return ""
    shown = [f"    {key}" for key, _ in zip(keys, range(_SHOWN), strict=False)]
    more = [f"    … and {len(keys) - _SHOWN} more"] if len(keys) > _SHOWN else []
    return "\n".join([f"{len(keys)} {title}:", *shown, *more])


def compare(
    state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], *, optional: Collection[str] = ()
) -> KeyReport:
    """Compare names and shapes of a file's state with those a model wants.

    Args:
        state: what the file has.
        wanted: what the model has (meta tensors will do).
        optional: keys (by their last part) that either side may lack: running statistics.
    """

    def skip(key: str) -> bool:
        return key.rpartition(".")[2] in optional

    common = sorted(state.keys() & wanted.keys())
    mismatched = tuple(
        (key, tuple(state[key].shape), tuple(wanted[key].shape))
        for key in common
        if state[key].shape != wanted[key].shape
    )
    return KeyReport(
        num_matching=len(common) - len(mismatched),
        missing=tuple(sorted(k for k in wanted.keys() - state.keys() if not skip(k))),
        unexpected=tuple(sorted(k for k in state.keys() - wanted.keys() if not skip(k))),
        mismatched=mismatched,
    )


def require_fit(
    state: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    *,
    source: str,
    optional: Collection[str] = ("codebook_used",),
) -> KeyReport:
    """Compare names and shapes of a file with those of a model; see `compare`.

    Raises:
        CheckpointError: a key is missing, unknown or of another shape.
    """
    report = compare(state, wanted, optional=optional)
    if not report.fits:
        raise _misfit(source, report, recognise(state))
    return report


def _misfit(source: str, report: KeyReport, owners: Collection[str]) -> CheckpointError:
    reason = f"does not fit the model\n{report}"
    if not owners:
        return CheckpointError(source, reason, "Choose the model this file was made for.")
    names = " or ".join(owners)
    return CheckpointError(source, reason, f"These are the keys and shapes of {names}.")

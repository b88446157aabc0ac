"""Generators made of functions that draw texts or classes; for plugins around libraries."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from layton_bench.errors import UserError, as_user_error
from layton_bench.machine import StageClock
from layton_bench.models.base import CallCost
from layton_bench.types import Prompt

if TYPE_CHECKING:
    from torch import Tensor

V = TypeVar("V")
V_contra = TypeVar("V_contra", contravariant=True)


class Draw(Protocol[V_contra]):
    """Draws one image per value. An image depends on its value and seed only."""

    def __call__(self, values: Sequence[V_contra], /, *, seeds: Sequence[int]) -> Tensor:
        """Draw float32 images in [-1, 1], (B, 3, H, W)."""


class _Prompted(ABC, Generic[V]):
    """What texts and classes have in common.

    Args:
        draw: draws images from values and seeds.
        name: name of the model, for messages.
        errors: error that the library raises for a bad input; it becomes a UserError.
        stages: clock that ``draw`` uses for its stages; None if it has none.
        nfe: forward passes of the denoiser for one image, with the current options.
        check: raises one of ``errors`` for values that cannot be drawn. It draws nothing.
        notes: returns what a reader of the results must know after the drawing.
    """

    def __init__(
        self,
        draw: Draw[V],
        *,
        name: str,
        errors: type[Exception],
        stages: StageClock | None = None,
        nfe: int | None = None,
        check: Callable[[Sequence[V]], None] = lambda _: None,
        notes: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._draw = draw
        self._name = name
        self._errors = errors
        self._stages = stages
        self._nfe = nfe
        self._check = check
        self._notes = notes

    def check_prompts(self, prompts: Sequence[Prompt]) -> None:
        """Raise UserError for a prompt that cannot be drawn."""
        values = [self._value(prompt) for prompt in prompts]
        with as_user_error(self._errors):
            self._check(values)

    def generate(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> Tensor:
        """Draw float32 images in [-1, 1], (B, 3, H, W); raises UserError for a bad prompt."""
        values = [self._value(prompt) for prompt in prompts]
        if self._stages is not None:
            self._stages.restart()
        with as_user_error(self._errors):
            return self._draw(values, seeds=seeds)

    def latest_cost(self) -> CallCost:
        """Return the stages of the latest ``generate``, and the denoiser's passes."""
        return CallCost(seconds=self._stages.seconds if self._stages else {}, nfe=self._nfe)

    def notes(self) -> Sequence[str]:
        """Return notes for the record, such as the number of prompts that were cut."""
        return self._notes()

    @abstractmethod
    def _value(self, prompt: Prompt) -> V:
        """Return the value to draw; raises UserError if the prompt has none."""


class TextGenerator(_Prompted[str]):
    """Draws texts."""

    def _value(self, prompt: Prompt) -> str:
        if prompt.text is None:
            raise UserError(
                f"prompt '{prompt.key}'", f"{self._name} draws texts", "Give it a text."
            )
        return prompt.text


class ClassGenerator(_Prompted[int]):
    """Draws classes of the training set."""

    def _value(self, prompt: Prompt) -> int:
        if prompt.class_id is None:
            reason = f"{self._name} draws classes of its training set"
            raise UserError(f"prompt '{prompt.key}'", reason, "Give it class indices.")
        return prompt.class_id

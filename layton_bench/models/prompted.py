"""Library functions that draw texts or classes, as Generators; for plugins around them."""

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
    """Draws one image a value; each depends on its value and seed alone."""

    def __call__(self, values: Sequence[V_contra], /, *, seeds: Sequence[int]) -> Tensor:
        """Draw float32 images in [-1, 1], (B, 3, H, W)."""


class _Prompted(ABC, Generic[V]):
    """What texts and classes have in common.

    Args:
        draw: values and seeds → images.
        name: of the model, for messages.
        errors: what the library raises for an input it cannot take; it becomes a UserError.
        stages: the clock under which ``draw`` runs its stages; None tells no stages.
        nfe: forward passes of the denoiser for one image, under the options in force.
        check: raises one of ``errors`` for values that cannot be drawn, without drawing any.
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
    ) -> None:
        self._draw = draw
        self._name = name
        self._errors = errors
        self._stages = stages
        self._nfe = nfe
        self._check = check

    def check_prompts(self, prompts: Sequence[Prompt]) -> None:
        """Raise UserError for a prompt that cannot be drawn."""
        values = [self._value(prompt) for prompt in prompts]
        with as_user_error(self._errors):
            self._check(values)

    def generate(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> Tensor:
        """Draw float32 images in [-1, 1], (B, 3, H, W); raises UserError for a prompt it can't."""
        values = [self._value(prompt) for prompt in prompts]
        if self._stages is not None:
            self._stages.restart()
        with as_user_error(self._errors):
            return self._draw(values, seeds=seeds)

    def latest_cost(self) -> CallCost:
        """Stages of the latest ``generate``, and the denoiser's passes."""
        return CallCost(seconds=self._stages.seconds if self._stages else {}, nfe=self._nfe)

    @abstractmethod
    def _value(self, prompt: Prompt) -> V:
        """What the library draws; raises UserError for a prompt that it cannot."""


class TextGenerator(_Prompted[str]):
    """Draws texts."""

    def _value(self, prompt: Prompt) -> str:
        if prompt.text is None:
            raise UserError(f"prompt '{prompt.key}'", f"{self._name} draws texts", "Give it words.")
        return prompt.text


class ClassGenerator(_Prompted[int]):
    """Draws classes of the training set."""

    def _value(self, prompt: Prompt) -> int:
        if prompt.class_id is None:
            reason = f"{self._name} draws classes of its training set"
            raise UserError(f"prompt '{prompt.key}'", reason, "Give it class indices.")
        return prompt.class_id

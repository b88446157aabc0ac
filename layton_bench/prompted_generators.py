"""Library functions that draw texts or classes, as Generators; for plugins around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from layton_bench.errors import UserError, as_user_error
from layton_bench.types import Prompt

if TYPE_CHECKING:
    from torch import Tensor

V_contra = TypeVar("V_contra", contravariant=True)


class Draw(Protocol[V_contra]):
    """Draws one image a value; each depends on its value and seed alone."""

    def __call__(self, values: Sequence[V_contra], /, *, seeds: Sequence[int]) -> Tensor:
        """Draw float32 images in [-1, 1], (B, 3, H, W)."""


class TextGenerator:
    """Draws texts.

    Args:
        draw: texts and seeds → images.
        name: of the model, for messages.
        errors: what the library raises for an input it cannot take; it becomes a UserError.
    """

    def __init__(self, draw: Draw[str], *, name: str, errors: type[Exception]) -> None:
        self._draw = draw
        self._name = name
        self._errors = errors

    def generate(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> Tensor:
        """Draw float32 images in [-1, 1], (B, 3, H, W); raises UserError for a prompt it can't."""
        texts = [self._text(prompt) for prompt in prompts]
        with as_user_error(self._errors):
            return self._draw(texts, seeds=seeds)

    def _text(self, prompt: Prompt) -> str:
        if prompt.text is None:
            raise UserError(f"prompt '{prompt.key}'", f"{self._name} draws texts", "Give it words.")
        return prompt.text


class ClassGenerator:
    """Draws classes of the training set; arguments as for `TextGenerator`."""

    def __init__(self, draw: Draw[int], *, name: str, errors: type[Exception]) -> None:
        self._draw = draw
        self._name = name
        self._errors = errors

    def generate(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> Tensor:
        """Draw float32 images in [-1, 1], (B, 3, H, W); raises UserError for a prompt it can't."""
        classes = [self._class(prompt) for prompt in prompts]
        with as_user_error(self._errors):
            return self._draw(classes, seeds=seeds)

    def _class(self, prompt: Prompt) -> int:
        if prompt.class_id is None:
            reason = f"{self._name} draws classes of its training set"
            raise UserError(f"prompt '{prompt.key}'", reason, "Give it class indices.")
        return prompt.class_id

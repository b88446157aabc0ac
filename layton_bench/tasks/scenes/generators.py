"""The upper and lower bound of all generators: the renderer, and one that ignores prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from layton_bench.errors import UserError
from layton_bench.models import LoadContext, ModelCard, ModelSpec
from layton_bench.tasks.scenes.draw import render
from layton_bench.tasks.scenes.grammar import parse, sample_caption
from layton_bench.tasks.scenes.layout import VARIED, SceneStyle, compose

if TYPE_CHECKING:
    from torch import Tensor

    from layton_bench.tasks.geneval import ScenePrompt
    from layton_bench.types import Prompt

SIZE_PX: Final = 256
Choice = Callable[["Prompt", np.random.Generator], "ScenePrompt"]


@dataclass(frozen=True, slots=True)
class SceneGenerator:
    """Draws a scene for each prompt.

    Attributes:
        choose: prompt and generator → what to draw.
        size_px: side of the images.
        style: look of the scenes.
    """

    choose: Choice
    size_px: int
    style: SceneStyle = VARIED

    def generate(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> Tensor:
        """Draw float32 images in [-1, 1], (B, 3, H, W)."""
        import torch

        from layton_bench.images import to_signed

        drawn = [self._draw(prompt, seed) for prompt, seed in zip(prompts, seeds, strict=True)]
        return to_signed(torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2))

    def _draw(self, prompt: Prompt, seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        rng = np.random.default_rng(seed)
        scene = compose(self.choose(prompt, rng), rng, style=self.style)
        return render(scene, size_px=self.size_px)


def as_asked(prompt: Prompt, _: np.random.Generator) -> ScenePrompt:
    """Return what the prompt demands. Raise UserError if it does not follow the grammar."""
    if prompt.text is None:
        raise UserError("the scenes' renderer", "it cannot draw classes", "Give it a text prompt.")
    return parse(prompt.text)


def whatever(_: Prompt, rng: np.random.Generator) -> ScenePrompt:
    """Return a random caption of the grammar."""
    return sample_caption(rng)


def _spec(name: str, summary: str, choose: Choice, notes: str) -> ModelSpec:
    def load(context: LoadContext) -> SceneGenerator:
        return SceneGenerator(choose, int(context.options["size_px"]))

    card = ModelCard(
        name=name, kind="generator", family="scenes", summary=summary, sizes_px=(SIZE_PX,),
        licence="MIT", is_stochastic=True, notes=notes,
    )  # fmt: skip
    return ModelSpec(card=card, load=load, options={"size_px": SIZE_PX})


MODELS: Final = (
    _spec(
        "scenes-oracle", "The scenes' renderer, which draws what the prompt demands", as_asked,
        "no model: the upper bound, and the check of the judge",
    ),
    _spec(
        "scenes-random", "The scenes' renderer, which draws a random scene and ignores the prompt",
        whatever, "no model: the level of chance",
    ),
)  # fmt: skip

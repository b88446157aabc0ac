"""A pipeline as the harness calls it: one seeded generator a prompt, passes counted.

Axes: B batch, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from layton_bench import CallCost, StageClock, TextGenerator, UserError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["PipelineGenerator"]


class PipelineGenerator(TextGenerator):
    """Draws texts through a pipeline of diffusers.

    A picture's noise, that of every step included, comes from its own generator on the CPU, so
    that it depends on its seed alone, on any device. What is left of its batch mates is rounding.

    Args:
        pipeline: placed and quiet.
        name: of the model, for messages.
        denoiser: name of the component that is run at every step.
        device: where it runs, as torch writes it.
        settings: what the pipeline is called with, beside prompts and generators.
    """

    def __init__(
        self,
        pipeline: Any,
        *,
        name: str,
        denoiser: str,
        device: str,
        settings: Mapping[str, object],
    ) -> None:
        self._clock = StageClock(device)
        super().__init__(self._run, name=name, errors=UserError, stages=self._clock)
        self._pipeline = pipeline
        self._settings = settings
        self._rows = 0
        self._nfe: int | None = None
        self._between = ExitStack()
        getattr(pipeline, denoiser).register_forward_pre_hook(self._count, with_kwargs=True)
        pipeline.encode_prompt = self._reading(pipeline.encode_prompt)
        pipeline.vae.decode = self._decoding(pipeline.vae.decode)

    def _run(self, texts: Sequence[str], *, seeds: Sequence[int]) -> Tensor:
        """Draw float32 images in [-1, 1], (B, 3, H, W)."""
        import torch

        self._rows = 0
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        per_prompt = {
            name: [value] * len(texts) if name == "negative_prompt" else value
            for name, value in self._settings.items()
        }
        with self._between:
            images_01: Tensor = self._pipeline(
                prompt=list(texts), generator=generators, output_type="pt", **per_prompt
            ).images
        self._nfe = self._rows // len(texts)
        return images_01.float() * 2 - 1

    def latest_cost(self) -> CallCost:
        """Stages of the latest call; NFE as counted: a guided step counts two."""
        return CallCost(seconds=self._clock.seconds, nfe=self._nfe)

    def _count(self, _: object, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Add the rows of a pass; guidance doubles them."""
        latents = args[0] if args else kwargs["hidden_states"]
        self._rows += len(latents)

    def _reading(self, encode_prompt: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self._clock("text"):
                encoded = encode_prompt(*args, **kwargs)
            self._between.enter_context(self._clock("denoise"))
            return encoded

        return timed

    def _decoding(self, decode: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            self._between.close()
            with self._clock("decode"):
                return decode(*args, **kwargs)

        return timed

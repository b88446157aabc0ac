"""A plugin for tests: generators whose every picture is known beforehand."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import torch
from fakes import card

from layton_bench import LoadContext, ModelSpec, Prompt, hookimpl
from layton_bench.datasets.protocols import canonical
from layton_bench.images import decode_rgb, to_signed, to_tensor


class Copyist:
    """Draws the COCO image that its prompt names: ``picture 17``; any other prompt is a fault."""

    def __init__(self, context: LoadContext, *, size_px: int) -> None:
        self._root = Path(str(context.options["root"]))
        self._size_px = size_px

    def generate(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> torch.Tensor:
        return torch.stack([self._copy(prompt.text or "") for prompt in prompts])

    def _copy(self, text: str) -> torch.Tensor:
        match = re.fullmatch(r"picture (\d+)", text)
        if match is None:
            raise ValueError(f"not the caption that was to be drawn: {text}")
        image = decode_rgb((self._root / f"{int(match[1]):012d}.jpg").read_bytes())
        return to_signed(to_tensor(canonical(image, self._size_px)))


class Flat:
    """One grey level a picture, from its seed, and a note of every prompt and seed."""

    seen: ClassVar[list[tuple[str | None, int]]] = []

    def __init__(self, *, size_px: int) -> None:
        self._size_px = size_px

    def generate(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> torch.Tensor:
        self.seen += [(prompt.text, seed) for prompt, seed in zip(prompts, seeds, strict=True)]
        levels = torch.tensor([seed % 1000 / 500 - 1 for seed in seeds])
        return levels[:, None, None, None].expand(-1, 3, self._size_px, self._size_px).clone()


@hookimpl
def layton_bench_register_models(register: Callable[[ModelSpec], None]) -> None:
    def register_one(name: str, load: Callable[[LoadContext], object], size_px: int) -> None:
        register(
            ModelSpec(
                card=card(name, kind="generator", sizes_px=(size_px,)),
                load=load,  # type: ignore[arg-type]
                options={"root": ""} if "copyist" in name else {},
            )
        )

    register_one("copyist", lambda context: Copyist(context, size_px=256), 256)
    register_one("copyist-512", lambda context: Copyist(context, size_px=512), 512)
    register_one("flat-64", lambda context: Flat(size_px=64), 64)
    register_one("flat-1024", lambda context: Flat(size_px=1024), 1024)

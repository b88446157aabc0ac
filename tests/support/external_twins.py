"""A plugin for tests: what external_children compute, in this process; prompts and their suite."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from fakes import card

from layton_bench import Codes, DatasetSpec, Item, ModelSpec, Prompt, hookimpl
from layton_bench.datasets.prompts import PromptDataset

SIDE = 8
TEXTS = ("a", "two words", "fails", "a longer prompt", "memory", "the last")


class Corners:
    def encode(self, images: torch.Tensor) -> Codes:
        height, width = images.shape[-2:]
        codes = ((images[:, 0, ::SIDE, ::SIDE].double() + 1) * 127.5).round().long().flatten(1)
        return Codes(size_px=(height, width), codes=codes, codebook_size=256)

    def decode(self, codes: Codes, seeds: Sequence[int]) -> torch.Tensor:
        assert codes.codes is not None
        height, width = codes.size_px
        grid = codes.codes.reshape(-1, 1, height // SIDE, width // SIDE).double() / 127.5 - 1
        blocks = grid.repeat_interleave(SIDE, 2).repeat_interleave(SIDE, 3)
        return blocks.expand(-1, 3, -1, -1).float()


class Packed:
    def encode(self, images: torch.Tensor) -> Codes:
        height, width = images.shape[-2:]
        levels = ((images.double() + 1) * 127.5).round().byte()
        payloads = tuple(zlib.compress(image.numpy().tobytes()) for image in levels)
        return Codes(size_px=(height, width), payloads=payloads)

    def decode(self, codes: Codes, seeds: Sequence[int]) -> torch.Tensor:
        pixels = b"".join(zlib.decompress(payload) for payload in codes.payloads or ())
        levels = torch.tensor(list(pixels), dtype=torch.float64).reshape(-1, 3, *codes.size_px)
        return (levels / 127.5 - 1).float()


class Painter:
    def generate(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> torch.Tensor:
        drawn = []
        for prompt, seed in zip(prompts, seeds, strict=True):
            assert prompt.text not in ("fails", "memory")
            rng = random.Random(seed)
            pixels = [rng.random() * 2 - 1 for _ in range(3 * SIDE * SIDE)]
            pixels[0] = len(prompt.text or "") / 1000
            drawn.append(torch.tensor(pixels).reshape(3, SIDE, SIDE))
        return torch.stack(drawn)


@hookimpl
def layton_bench_register_models(register: Callable[[ModelSpec], None]) -> None:
    register(ModelSpec(card=card("twin-corners"), load=lambda context: Corners()))
    register(ModelSpec(card=card("twin-packed"), load=lambda context: Packed()))
    generator = card("twin-painter", kind="generator", sizes_px=(SIDE,))
    register(ModelSpec(card=generator, load=lambda context: Painter()))


@hookimpl
def layton_bench_register_datasets(register: Callable[[DatasetSpec], None]) -> None:
    def open_texts(root: Path | None) -> PromptDataset:
        entries = tuple(Item(key=f"{i}", captions=(text,)) for i, text in enumerate(TEXTS))
        return PromptDataset(name="external-texts", entries=entries)

    register(
        DatasetSpec(
            name="external-texts", summary="prompts", num_items=len(TEXTS), open=open_texts,
            has_images=False,
        )
    )  # fmt: skip


@hookimpl
def layton_bench_register_suites(register: Callable[[Path], None]) -> None:
    register(Path(__file__).with_name("external-gen.toml"))

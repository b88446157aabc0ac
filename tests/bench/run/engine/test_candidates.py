"""What the metrics see, and what a model must not return."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from fakes import Noisy, Scaled, image_batch
from passes import LEVELS, WITH_BAD, Faulty, cut, put, score, throw

from layton_bench.machine.clock import Clock
from layton_bench.metrics.base import PerSampleMetric
from layton_bench.run.engine.candidates import Draw
from layton_bench.seeds import sample_seed
from layton_bench.types import Codes, ImageBatch, Item, Prompt, ScoredBatch


def test_a_picture_depends_on_its_key_and_seed_alone() -> None:
    _, values = score(Noisy(), cut(LEVELS, 2))
    _, again = score(Noisy(), cut({"e": 0, "x": 3, "a": 5}, 3))
    assert values["a"] == again["a"]
    assert values["e"] == again["e"]
    assert len(set(values.values())) == len(values)
    _, other = score(Noisy(), cut(LEVELS, 2), user_seed=1)
    assert all(values[key] != other[key] for key in values)


def codebook(codes: torch.Tensor, size: int = 8) -> Callable[[Codes], Codes]:
    return lambda given: Codes(
        size_px=given.size_px, codes=codes.expand(len(given), -1), codebook_size=size
    )


WRONG = {
    "NaN": (Faulty(decode=put(float("nan"))), "decode", "returned NaN or infinite values"),
    "infinite": (Faulty(decode=put(float("-inf"))), "decode", "returned NaN or infinite values"),
    "out of range": (Faulty(decode=put(255.0)), "decode", "returned values up to 255, expected"),
    "shape": (
        Faulty(decode=lambda images: images[..., 1:]),
        "decode",
        "returned shape (1, 3, 16, 15), expected (1, 3, 16, 16)",
    ),
    "dtype": (
        Faulty(decode=lambda images: (images * 127).to(torch.uint8)),
        "decode",
        "returned torch.uint8, expected floating images in [-1, 1]",
    ),
    "no tensor": (
        Faulty(decode=lambda images: images.numpy()),
        "decode",
        "returned ndarray, expected a torch tensor",
    ),
    "raising decoder": (Faulty(decode=throw(KeyError("z"))), "decode", "KeyError: 'z'"),
    "raising encoder": (Faulty(encode=throw(ValueError("odd"))), "encode", "ValueError: odd"),
    "no codes": (Faulty(encode=lambda codes: None), "encode", "encode returned NoneType"),
    "too few codes": (
        Faulty(encode=lambda codes: Codes(size_px=(16, 16), payloads=())),
        "encode",
        "returned codes of 0 images for 1",
    ),
    "negative code": (Faulty(encode=codebook(torch.tensor([[3, -1]]))), "encode", "[0, 8)"),
    "code too large": (Faulty(encode=codebook(torch.tensor([[8, 3]]))), "encode", "[0, 8)"),
    "floating codes": (
        Faulty(encode=codebook(torch.tensor([[1.0]]))),
        "encode",
        "returned codes torch.float32 (1, 1), expected int64 (B, N)",
    ),
    "boolean codes": (Faulty(encode=codebook(torch.tensor([[True]]))), "encode", "torch.bool"),
    "out of memory": (
        Faulty(decode=throw(torch.OutOfMemoryError("full"))),
        "decode",
        "OutOfMemoryError: full",
    ),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("size", [1, 5])
def test_the_sample_at_fault_is_named_and_its_batch_mates_survive(case: str, size: int) -> None:
    model, stage, reason = WRONG[case]
    done, values = score(model, cut(WITH_BAD, size))
    assert [(f.key, f.stage) for f in done.failures] == [("bad", stage)]
    assert reason in done.failures[0].reason
    assert done.keys == list("abcd")
    assert values == {"a": 64.0, "b": 114.0, "c": 191.0, "d": 79.0}


def test_a_little_overshoot_is_clamped() -> None:
    class Bright(Scaled):
        factor = 3.0

    _, values = score(Bright(), cut({"a": 255, "b": 0}, 2))
    assert values == {"a": 255.0, "b": 0.0}


class Painter:
    """Paints the grey level that a prompt names, or its class id."""

    def __init__(self) -> None:
        self.prompts: list[Prompt] = []

    def generate(self, prompts: Any, seeds: Any) -> torch.Tensor:
        self.prompts += prompts
        levels = [int(p.text) if p.text else p.class_id for p in prompts]
        return torch.stack([torch.full((3, 16, 16), v / 127.5 - 1) for v in levels])


def prompted(*items: Item) -> ImageBatch:
    images = torch.empty(len(items), 3, 0, 0, dtype=torch.uint8)
    return ImageBatch(items=items, images=images)


def drawing(generator: Any, clock: Clock, *, size_px: int = 16) -> Draw:
    return Draw(
        generator, size_px=size_px, seed_of=partial(sample_seed, "s"), rounding="round", clock=clock
    )


def test_a_generator_draws_captions_and_classes() -> None:
    painter, clock = Painter(), Clock()
    batch = prompted(Item(key="a", captions=("100", "200")), Item(key="b", label=7))
    done, values = score(None, [batch], candidates=drawing(painter, clock), clock=clock)
    assert values == {"a": 100.0, "b": 7.0}
    assert painter.prompts == [
        Prompt(key="a", text="100"), Prompt(key="b", text=None, class_id=7),
    ]  # fmt: skip
    assert (done.bits, done.num_tokens) == ({}, None)
    assert clock.seconds["generate"] > 0
    assert clock.seconds["decode"] == 0


def test_a_generators_fault_is_named_with_its_prompt() -> None:
    clock = Clock()
    batch = prompted(Item(key="a", captions=("100",)), Item(key="b", captions=("many",)))
    done, values = score(None, [batch], candidates=drawing(Painter(), clock), clock=clock)
    assert values == {"a": 100.0}
    assert [(f.key, f.stage) for f in done.failures] == [("b", "generate")]
    assert "invalid literal" in done.failures[0].reason


def test_a_drawn_picture_of_another_size_is_refused() -> None:
    clock = Clock()
    batch = prompted(Item(key="a", captions=("100",)))
    done, _ = score(None, [batch], candidates=drawing(Painter(), clock, size_px=32), clock=clock)
    assert done.failures[0].reason == "returned shape (1, 3, 16, 16), expected (1, 3, 32, 32)"


def test_real_images_stand_beside_what_is_drawn_for_them() -> None:
    class Pairs(PerSampleMetric):
        def __init__(self) -> None:
            super().__init__("pairs", self.differences)

        def differences(self, batch: ScoredBatch) -> list[float]:
            both = batch.candidates.double(), batch.paired_references().double()
            return (both[0] - both[1]).mean(dim=(1, 2, 3)).tolist()

    clock, pairs = Clock(), Pairs()
    batch = image_batch({"a": 30})
    batch = ImageBatch(items=(Item(key="a", captions=("100",)),), images=batch.images)
    score(None, [batch], {"pairs": pairs}, candidates=drawing(Painter(), clock), clock=clock)
    assert pairs.per_sample()["pairs"] == {"a": 70.0}

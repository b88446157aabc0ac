import numpy as np
import pytest
import torch
from fakes import Grey, Scaled, card, spec, suite
from lab import picture
from PIL import Image

from layton_bench.errors import UserError
from layton_bench.images import to_signed, to_tensor
from layton_bench.models.base import CallCost, LoadContext
from layton_bench.models.resized import ResizeAdapter, ResizedGenerator, adapt, resize
from layton_bench.types import Codes


def signed(size: tuple[int, int], seed: int = 0) -> torch.Tensor:
    return to_signed(to_tensor(picture(seed, size))[None])


@pytest.mark.parametrize("size", [(64, 48), (320, 288), (97, 131)])
def test_the_filter_is_pillows_bicubic(size: tuple[int, int]) -> None:
    image = picture(1, (192, 160))
    ours = resize(to_signed(to_tensor(image)[None]), (size[1], size[0]))[0]
    # on floats, since on bytes Pillow clamps and rounds between the two axes; torch computes its
    # weights in float32, which leaves up to two thousandths of a grey level
    channels = [
        Image.fromarray(np.asarray(band, dtype=np.float32)).resize(size, Image.Resampling.BICUBIC)
        for band in image.split()
    ]
    pillows = np.stack([np.asarray(channel) for channel in channels]) / 127.5 - 1
    np.testing.assert_allclose(ours, pillows.clip(-1, 1), atol=2e-5)


def test_one_size_is_left_exactly_alone() -> None:
    images = signed((32, 32)) * 1.7
    assert resize(images, (32, 32)) is images


def test_overshoot_is_clamped() -> None:
    step = torch.full((1, 3, 8, 8), -1.0)
    step[..., 4:] = 1.0
    resized = resize(step, (32, 32))
    assert (resized.min().item(), resized.max().item()) == (-1.0, 1.0)


class Spy(Scaled):
    """Notes the sizes it is run at."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, ...]] = []

    def encode(self, images: torch.Tensor) -> Codes:
        self.seen.append(tuple(images.shape))
        return super().encode(images)

    def decode(self, codes: Codes, seeds: object) -> torch.Tensor:
        self.seen.append(codes.size_px)
        return super().decode(codes, seeds)  # type: ignore[arg-type]


def test_the_model_runs_at_its_own_size_and_the_suite_sees_its_own() -> None:
    spy, images = Spy(), signed((96, 96))
    adapter = ResizeAdapter(spy, 32)
    codes = adapter.encode(images)
    decoded = adapter.decode(codes, [0])
    assert spy.seen == [(1, 3, 32, 32), (32, 32)]
    assert codes.size_px == (96, 96)
    expected = resize(resize(images, (32, 32)) * 0.5, (96, 96))
    assert torch.equal(decoded, expected)
    assert codes.bits() == (32 * 32 * 3 * 32.0,)


def test_the_adapted_card_says_so() -> None:
    inner = spec(
        "grey-8", Grey(), sizes_px=(64,), num_tokens=64, codebook_size=256, bits_per_image=512.0,
        title="Grey*", aliases=("g",), notes="a note",
    )  # fmt: skip
    adapted = adapt(inner, 64).card
    assert (adapted.name, adapted.title, adapted.aliases) == ("grey-8@64", "Grey*@64", ())
    assert (adapted.sizes_px, adapted.num_tokens, adapted.bits_per_image) == ((), 64, 512.0)
    assert adapted.notes.startswith("a note; behind a resize adapter: runs at 64 px")


def test_bits_on_the_card_hold_at_its_first_size_alone() -> None:
    inner = spec("grey-8", Grey(), sizes_px=(64, 128), num_tokens=64, bits_per_image=512.0)
    adapted = adapt(inner, 128).card
    assert (adapted.num_tokens, adapted.bits_per_image) == (None, None)


def test_the_adapted_model_loads_behind_the_adapter() -> None:
    tokenizer = Grey()
    context = LoadContext(device="cpu", dtype="float32", weights=lambda name: None)  # type: ignore[arg-type, return-value]
    loaded = adapt(spec("grey-8", tokenizer), 48).load(context)
    assert isinstance(loaded, ResizeAdapter)
    assert (loaded.tokenizer, loaded.native_px) == (tokenizer, 48)


def test_a_size_the_model_was_not_made_for_is_refused() -> None:
    with pytest.raises(UserError, match=r"not made for 100 px\. Use one of m@64, m@128\."):
        adapt(spec("m", sizes_px=(64, 128)), 100)


class Stripes:
    """Draws stripes of 8 px, and tells what they cost."""

    def generate(self, prompts: object, seeds: list[int]) -> torch.Tensor:
        stripes = torch.arange(64).div(8, rounding_mode="floor") % 2 * 2.0 - 1
        return stripes.expand(len(seeds), 3, 64, 64).clone()

    def latest_cost(self) -> CallCost:
        return CallCost(nfe=7)


def test_a_generator_draws_at_its_own_size_and_is_resized_to_the_suites() -> None:
    inner = spec("g", Stripes(), kind="generator", sizes_px=(64,), notes="a note", title="G")
    context = LoadContext(device="cpu", dtype="float32", weights=lambda name: None)  # type: ignore[arg-type, return-value]
    adapted = adapt(inner, 64, 32)
    assert (adapted.card.name, adapted.card.title, adapted.card.sizes_px) == ("g@64", "G@64", (32,))
    assert adapted.card.notes.startswith("a note; draws at 64 px, resized")
    generator = adapted.load(context)
    assert isinstance(generator, ResizedGenerator)
    drawn = generator.generate([], [0, 1])
    assert torch.equal(drawn, resize(Stripes().generate([], [0, 1]), (32, 32)))
    assert generator.latest_cost().nfe == 7
    # where the suite leaves the size open, the pictures stay as they are
    as_drawn = adapt(inner, 64)
    assert as_drawn.card.sizes_px == (64,)
    assert as_drawn.load(context).generate([], [0]).shape == (1, 3, 64, 64)


def test_a_generator_is_refused_at_another_size() -> None:
    with pytest.raises(UserError, match=r"not made for 32 px\. Use one of g@64\."):
        adapt(spec("g", kind="generator", sizes_px=(64,)), 32, 64)


def test_sizes_of_the_fakes_are_those_of_the_suite() -> None:
    assert suite().size_px == 16
    assert card().sizes_px == ()

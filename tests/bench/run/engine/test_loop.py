"""The loop, with models whose every value is known; see fakes.py."""

import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import pytest
import torch
from fakes import BAD_LEVEL as BAD, Grey, Noisy, Scaled, image_batch, level
from hypothesis import given, settings, strategies as st

from layton_bench.errors import UserError
from layton_bench.machine.clock import Clock
from layton_bench.metrics.base import PerSampleMetric
from layton_bench.run.engine.candidates import Draw, Reconstruct
from layton_bench.run.engine.gallery import Gallery
from layton_bench.run.engine.loop import Evaluation, evaluate
from layton_bench.seeds import sample_seed
from layton_bench.types import Codes, Failure, ImageBatch, Item, Prompt, ScoredBatch

LEVELS = {"a": 0, "b": 100, "c": 255, "d": 31, "e": 202}
WITH_BAD = {"a": 0, "b": 100, "bad": BAD, "c": 255, "d": 31}


def cut(levels: Mapping[str, int], size: int) -> list[ImageBatch]:
    keys = list(levels)
    starts = range(0, len(keys), size)
    return [image_batch({k: levels[k] for k in keys[s : s + size]}) for s in starts]


def score(
    model: Any,
    batches: list[ImageBatch],
    metrics: Mapping[str, Any] | None = None,
    *,
    user_seed: int = 0,
    **settings: Any,
) -> tuple[Evaluation, dict[str, float]]:
    """The evaluation and the mean grey level of each reconstruction."""
    metric, clock = PerSampleMetric("level", level), settings.pop("clock", Clock())
    candidates = settings.pop("candidates", None) or Reconstruct(
        model,
        seed_of=partial(sample_seed, "tiny-16", user_seed=user_seed),
        rounding="round",
        clock=clock,
        device="cpu",
    )
    done = evaluate(
        batches, candidates, {**(metrics or {}), "level": metric},
        clock=clock, gallery=Gallery(None), **settings,
    )  # fmt: skip
    return done, dict(metric.per_sample()["level"])


def test_a_reconstruction_is_rounded_once_and_scored() -> None:
    done, values = score(Scaled(), cut(LEVELS, 2))
    # 127.5 · (0.5 · (x / 127.5 − 1) + 1) = 0.5 x + 63.75, rounded: 113.75 becomes 114
    assert values == {"a": 64.0, "b": 114.0, "c": 191.0, "d": 79.0, "e": 165.0}
    assert done.keys == list("abcde")
    assert (done.failures, done.upscaled, done.interrupted, done.broken) == ([], 0, False, {})
    assert done.batch_size == 2


def test_bits_and_tokens_are_those_of_the_codes() -> None:
    done, _ = score(Grey(), cut(LEVELS, 2))
    assert done.bits == dict.fromkeys("abcde", 4 * 8.0)
    assert done.num_tokens == 4
    done, _ = score(Scaled(), cut(LEVELS, 2))
    assert done.bits == dict.fromkeys("abcde", 3 * 16 * 16 * 32.0)
    assert done.num_tokens is None


@settings(max_examples=25, deadline=None)
@given(
    levels=st.lists(st.integers(0, 255), min_size=1, max_size=12),
    size=st.integers(1, 12),
    seed=st.integers(0, 99),
)
def test_no_order_or_batch_size_changes_a_value(levels: list[int], size: int, seed: int) -> None:
    named = {f"k{i}": value for i, value in enumerate(levels)}
    keys = list(named)
    random.Random(seed).shuffle(keys)
    for model in (Scaled(), Grey(), Noisy()):
        whole = PerSampleMetric("whole", level, seed=3)
        parts = PerSampleMetric("whole", level, seed=3)
        done, values = score(model, cut(named, len(named)), {"whole": whole})
        again, others = score(model, cut({k: named[k] for k in keys}, size), {"whole": parts})
        assert values == others
        assert done.bits == again.bits
        assert whole.compute() == parts.compute()


def test_a_picture_depends_on_its_key_and_seed_alone() -> None:
    _, values = score(Noisy(), cut(LEVELS, 2))
    _, again = score(Noisy(), cut({"e": 0, "x": 3, "a": 5}, 3))
    assert values["a"] == again["a"]
    assert values["e"] == again["e"]
    assert len(set(values.values())) == len(values)
    _, other = score(Noisy(), cut(LEVELS, 2), user_seed=1)
    assert all(values[key] != other[key] for key in values)


def test_two_passes_are_equal_bit_for_bit() -> None:
    assert score(Noisy(), cut(LEVELS, 2)) == score(Noisy(), cut(LEVELS, 2))


class Faulty(Scaled):
    """Does something wrong wherever a picture of the bad level is in the batch."""

    def __init__(self, *, encode: Callable[..., Any] | None = None, decode: Any = None) -> None:
        self._encode, self._decode = encode, decode

    def encode(self, images: torch.Tensor) -> Codes:
        codes = super().encode(images)
        return self._encode(codes) if self._encode and has_bad(images) else codes

    def decode(self, codes: Codes, seeds: Any) -> torch.Tensor:
        images = super().decode(codes, seeds)
        assert codes.latents is not None
        return self._decode(images) if self._decode and has_bad(codes.latents) else images


def has_bad(images: torch.Tensor) -> bool:
    return bool(at_bad(images).any())


def at_bad(images: torch.Tensor) -> torch.Tensor:
    return (images[:, 0, 0, 0] - (BAD / 127.5 - 1)).abs() < 1e-6


def put(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """Sets one pixel of the bad sample alone."""

    def change(images: torch.Tensor) -> torch.Tensor:
        changed = images.clone()
        changed[(images[:, 0, 0, 0] * 2 - (BAD / 127.5 - 1)).abs() < 1e-6, 1, 3, 3] = value
        return changed

    return change


def throw(error: BaseException) -> Callable[[Any], Any]:
    def change(_: Any) -> Any:
        raise error

    return change


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


def test_several_at_fault_are_each_named_in_order() -> None:
    levels = {"a": BAD, "b": 1, "c": BAD, "d": BAD, "e": 2}
    done, values = score(Faulty(decode=put(float("nan"))), cut(levels, 5))
    assert [f.key for f in done.failures] == ["a", "c", "d"]
    assert values.keys() == {"b", "e"}


def test_a_little_overshoot_is_clamped() -> None:
    class Bright(Scaled):
        factor = 3.0

    _, values = score(Bright(), cut({"a": 255, "b": 0}, 2))
    assert values == {"a": 255.0, "b": 0.0}


def test_samples_that_could_not_be_read_ride_along() -> None:
    lost = Failure(key="cut.png", stage="read", reason="truncated")
    batch = image_batch({"a": 100})
    batch = ImageBatch(items=batch.items, images=batch.images, failures=(lost,), upscaled=("a",))
    told: list[int] = []
    done, values = score(Scaled(), [batch], on_progress=told.append)
    assert (done.failures, done.keys, done.upscaled) == ([lost], ["a"], 1)
    assert values == {"a": 114.0}
    assert told == [2]


def test_a_batch_of_failures_alone_asks_nothing_of_the_model() -> None:
    lost = Failure(key="cut.png", stage="read", reason="truncated")
    empty = ImageBatch(items=(), images=torch.empty(0, 3, 0, 0), failures=(lost,))
    done, _ = score(None, [empty])
    assert (done.failures, done.keys) == ([lost], [])


def test_strict_stops_at_a_sample_that_could_not_be_read() -> None:
    lost = Failure(key="cut.png", stage="read", reason="truncated")
    empty = ImageBatch(items=(), images=torch.empty(0, 3, 0, 0), failures=(lost,))
    with pytest.raises(UserError, match=r"sample 'cut\.png': truncated \(stage: read\)"):
        score(None, [empty], strict=True)


def test_strict_stops_at_a_sample_the_model_fails_on() -> None:
    with pytest.raises(UserError, match=r"sample 'bad': KeyError: 'z' \(stage: decode\)"):
        score(Faulty(decode=throw(KeyError("z"))), cut(WITH_BAD, 5), strict=True)


def test_a_users_error_from_a_model_ends_the_run() -> None:
    with pytest.raises(UserError, match=r"budget: too small\. Give more\."):
        score(Faulty(decode=throw(UserError("budget", "too small", "Give more."))),
              cut(WITH_BAD, 5))  # fmt: skip


def test_a_model_that_fails_on_everything_is_stopped() -> None:
    levels = dict.fromkeys("abcdefghij", BAD)
    with pytest.raises(UserError) as caught:
        score(Faulty(decode=throw(KeyError("z"))), cut(levels, 4))
    assert caught.value.reason == ("it failed on each of the first 8 samples ('a': KeyError: 'z')")


def test_a_model_that_works_at_last_goes_on() -> None:
    levels = dict.fromkeys("abcdefg", BAD) | {"ok": 100}
    done, values = score(Faulty(decode=throw(KeyError("z"))), cut(levels, 3))
    assert (len(done.failures), values) == (7, {"ok": 114.0})


class Greedy(Scaled):
    """Runs out of memory above two images; notes what it is asked for."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.asked: list[int] = []

    def decode(self, codes: Codes, seeds: Any) -> torch.Tensor:
        self.asked.append(len(codes))
        if len(codes) > 2:
            raise self.error
        return super().decode(codes, seeds)


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory"),
    MemoryError(),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda e: type(e).__name__)
def test_memory_that_runs_out_halves_the_batch_for_good(error: Exception) -> None:
    levels = {f"k{i:02d}": 5 * i for i in range(20)}
    model = Greedy(error)
    done, values = score(model, cut(levels, 8))
    assert (done.keys, values) == (list(levels), score(Scaled(), cut(levels, 8))[1])
    assert done.failures == []
    assert (done.largest_fitting, done.batch_size) == (2, 2)
    assert model.asked == [8, 4, 2, 2, 4, 2, 2] + [2] * 6


def test_another_failure_does_not_shrink_later_batches() -> None:
    model = Greedy(RuntimeError("shapes do not match"))
    done, values = score(model, cut({f"k{i}": i for i in range(8)}, 4))
    assert (len(values), done.largest_fitting) == (8, None)
    assert model.asked == [4, 2, 2, 4, 2, 2]


def broken(batch: ScoredBatch) -> list[float]:
    if "c" in batch.keys:
        raise ZeroDivisionError("no area")
    return [1.0] * len(batch)


def test_a_metric_that_raises_falls_out_and_the_rest_go_on(caplog) -> None:
    metric = PerSampleMetric("broken", broken)
    done, values = score(Scaled(), cut(LEVELS, 2), {"broken": metric})
    assert done.broken == {"broken": "failed at 'c': ZeroDivisionError: no area"}
    assert done.keys == list(values) == list("abcde")


def test_strict_stops_at_a_metric_that_raises() -> None:
    metric = PerSampleMetric("broken", broken)
    with pytest.raises(UserError, match="metric 'broken': it failed on the batch from 'c'"):
        score(Scaled(), cut(LEVELS, 2), {"broken": metric}, strict=True)


def pressing(batches: list[ImageBatch], at: dict[int, int]) -> Iterator[ImageBatch]:
    """Presses Ctrl-C so many times while batch i is being read."""
    for index, batch in enumerate(batches):
        for _ in range(at.get(index, 0)):
            signal.raise_signal(signal.SIGINT)
        yield batch


def test_ctrl_c_lets_the_batch_in_hand_finish() -> None:
    seen = PerSampleMetric("seen", lambda batch: [1.0] * len(batch))
    done, values = score(Scaled(), pressing(cut(LEVELS, 2), {1: 1}), {"seen": seen})
    assert done.interrupted
    assert done.keys == list(values) == list(seen.per_sample()["seen"]) == list("abcd")


def test_a_second_ctrl_c_stops_at_once() -> None:
    with pytest.raises(KeyboardInterrupt):
        score(Scaled(), pressing(cut(LEVELS, 2), {1: 2}))


def test_the_clock_tells_the_phases_apart() -> None:
    class Slow(Scaled):
        def encode(self, images: torch.Tensor) -> Codes:
            time.sleep(0.02)
            return super().encode(images)

        def decode(self, codes: Codes, seeds: Any) -> torch.Tensor:
            time.sleep(0.04)
            return super().decode(codes, seeds)

    def slowly() -> Iterator[ImageBatch]:
        for batch in cut(LEVELS, 2):
            time.sleep(0.06)
            yield batch

    metric = PerSampleMetric("slow", lambda batch: [time.sleep(0.08) or 1.0] * len(batch))
    clock = Clock()
    score(Slow(), slowly(), {"slow": metric}, clock=clock)
    # three batches; a busy machine only adds
    floors = {"encode": 0.06, "decode": 0.12, "load": 0.18, "metrics": 0.24, "generate": 0.0}
    assert all(clock.seconds[phase] >= floor for phase, floor in floors.items())
    assert clock.seconds["generate"] == 0.0


@pytest.mark.parametrize(
    ("device", "drained"), [("cpu", []), ("cuda:1", ["cuda:1"]), ("mps", ["mps"])]
)
def test_the_clock_waits_for_the_device(
    monkeypatch: pytest.MonkeyPatch, device: str, drained: list[str]
) -> None:
    waits: list[str] = []
    monkeypatch.setattr(torch.cuda, "synchronize", waits.append)
    monkeypatch.setattr(torch.mps, "synchronize", lambda: waits.append("mps"))
    with Clock(device=device).phase("encode"):
        assert waits == []
    assert waits == drained


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

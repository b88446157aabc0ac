"""A batch that fails is halved, in the same way everywhere."""

import weakref
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes import BAD_LEVEL as BAD, Scaled
from passes import WITH_BAD, Faulty, cut, put, score, throw

from layton_bench.datasets import prompt_batches
from layton_bench.errors import UserError
from layton_bench.machine.clock import Clock
from layton_bench.run.engine.candidates import Draw
from layton_bench.run.engine.halving import Halving
from layton_bench.run.generate import Artist, draw, plan_pictures
from layton_bench.seeds import sample_seed
from layton_bench.types import Codes, Failure, Item, Prompt


def test_several_at_fault_are_each_named_in_order() -> None:
    levels = {"a": BAD, "b": 1, "c": BAD, "d": BAD, "e": 2}
    done, values = score(Faulty(decode=put(float("nan"))), cut(levels, 5))
    assert [f.key for f in done.failures] == ["a", "c", "d"]
    assert values.keys() == {"b", "e"}


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
    assert done.batch_size == 2
    assert model.asked == [8, 4, 2, 2, 4, 2, 2] + [2] * 6


def test_another_failure_does_not_shrink_later_batches() -> None:
    model = Greedy(RuntimeError("shapes do not match"))
    done, values = score(model, cut({f"k{i}": i for i in range(8)}, 4))
    assert (len(values), done.failures) == (8, [])
    assert model.asked == [4, 2, 2, 4, 2, 2]


class Hoarder:
    """A generator whose memory holds four pictures; a failed call's frame keeps what it made.

    Some pictures are always at fault. Counts what it holds by weak references, so only a caller
    that lets go of the frames of a failed call finds room again.
    """

    def __init__(self, at_fault: set[str]) -> None:
        self.held: weakref.WeakSet[Block] = weakref.WeakSet()
        self.at_fault = at_fault

    def generate(self, prompts: Any, seeds: Any) -> torch.Tensor:
        blocks = []
        for prompt in prompts:
            blocks.append(Block())
            self.held.add(blocks[-1])
            if len(self.held) > 4:
                raise MemoryError
            if prompt.text in self.at_fault:
                raise ArithmeticError("lost")
        return torch.zeros(len(blocks), 3, 16, 16)


class Block:
    """Something that a picture needs."""


@pytest.mark.parametrize("at_fault", [set(), {"p03"}, {"p00", "p11", "p23"}], ids=len)
@pytest.mark.parametrize("batch_size", [24, 8, 5])
def test_a_run_and_generate_lose_the_same_pictures(
    at_fault: set[str], batch_size: int, tmp_path: Path
) -> None:
    names = [f"p{number:02d}" for number in range(24)]
    prompts = [Prompt(key=name, text=name) for name in names]
    pictures = plan_pictures(prompts, lambda number, prompt, index: tmp_path / f"{prompt.key}.png")
    generator = Hoarder(at_fault)
    artist = Artist(load=lambda: generator, size_px=16, settings={"model": "m"})
    drawn = draw(artist, pictures, tmp_path, batch_size=batch_size)
    lost = {Path(failure.key).stem: failure.reason for failure in drawn.failures}

    items = [Item(key=name, captions=(name,)) for name in names]
    clock = Clock()
    candidates = Draw(
        Hoarder(at_fault), size_px=16, seed_of=partial(sample_seed, "s"), rounding="round",
        clock=clock,
    )  # fmt: skip
    batches = list(prompt_batches(items, batch_size=batch_size))
    done, values = score(None, batches, candidates=candidates, clock=clock)
    assert lost == {failure.key: failure.reason for failure in done.failures}
    assert lost == dict.fromkeys(sorted(at_fault), "ArithmeticError: lost")
    assert values.keys() == set(names) - at_fault


def test_generate_stops_a_model_that_fails_on_everything_too(tmp_path: Path) -> None:
    prompts = [Prompt(key=f"{n}", text=f"p{n}") for n in range(12)]
    pictures = plan_pictures(prompts, lambda number, prompt, index: tmp_path / f"{number}.png")
    generator = Hoarder({f"p{n}" for n in range(12)})
    artist = Artist(load=lambda: generator, size_px=16, settings={"model": "m"})
    with pytest.raises(UserError, match="failed on each of the first 8 samples"):
        draw(artist, pictures, tmp_path, batch_size=4)


def test_sys_exit_of_a_model_costs_its_sample_alone() -> None:
    halving = Halving(lambda: "decode")

    def call(part: slice) -> list[int]:
        if 2 in range(5)[part]:
            raise SystemExit(0)
        return list(range(5)[part])

    made = list(halving(list("abcde"), call))
    assert [m for m in made if isinstance(m, Failure)] == [
        Failure(key="c", stage="decode", reason="SystemExit: 0")
    ]
    assert [i for m in made if not isinstance(m, Failure) for i in m] == [0, 1, 3, 4]

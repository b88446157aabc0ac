"""A generator's speed: percentiles, stages and batches of generators whose times are known."""

import time
from collections.abc import Sequence

import pytest
import torch
from fakes import record
from lab import Lab

from layton_bench.machine.clock import StageClock
from layton_bench.models.base import CallCost
from layton_bench.records.description import describe
from layton_bench.records.record import RunRecord, Throughput
from layton_bench.report.boards import seconds_per_image
from layton_bench.report.origins import view_origin
from layton_bench.run.speed.throughput import measure_throughput
from layton_bench.types import Prompt

PROMPTS = [Prompt(key=str(i), text=f"prompt {i}") for i in range(4)]


class Hands:
    """A clock that only the generators below move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    made = Hands()
    monkeypatch.setattr(time, "perf_counter", made)
    return made


class Silent:
    """0.1 s for the texts, 1 + B/4 s for tokens, a tenth more a number of prompt, B/20 s to decode.

    The first picture of each prompt takes 60 s more.
    """

    def __init__(self, hands: Hands, *, refused: Sequence[str] = (), largest: int = 1000) -> None:
        self.hands = hands
        self.stages = StageClock("cpu")
        self.calls: list[tuple[tuple[str, int], ...]] = []
        self._refused = refused
        self._largest = largest
        self._seen: set[str] = set()

    def generate(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> torch.Tensor:
        keys = [prompt.key for prompt in prompts]
        if set(keys) & set(self._refused) or len(prompts) > self._largest:
            raise ArithmeticError("no idea")
        self.calls.append(tuple(zip(keys, seeds, strict=True)))
        count = len(prompts)
        self.stages.restart()
        with self.stages("text"):
            self.hands.now += 0.1
        with self.stages("tokens"):
            self.hands.now += 1 + count / 4 + 0.1 * max(map(int, keys))
            self.hands.now += 60 * len(set(keys) - self._seen)
        with self.stages("decode"):
            self.hands.now += count / 20
        self._seen |= set(keys)
        return torch.zeros(count, 3, 8, 8)


class Telling(Silent):
    def latest_cost(self) -> CallCost:
        return CallCost(seconds=self.stages.seconds, nfe=3, peak_device_mib=7.0)


def seed_of(key: str, *, repeat: int = 0) -> int:
    return 100 * int(key) + repeat


def measured(generator: Silent, *, num_images: int = 1000, **more: int) -> Throughput:
    return measure_throughput(
        generator, PROMPTS, seed_of, device="cpu", num_images=num_images, **more
    )


def test_percentiles_and_stages_of_pictures_drawn_alone(hands: Hands) -> None:
    speed = measured(Telling(hands))
    # prompts in turn take 1.4, 1.5, 1.6 and 1.7 s, five times each; warm-up is not among them
    assert speed.num_calls == 20
    assert speed.seconds_p50 == pytest.approx(1.55)
    assert speed.seconds_p90 == pytest.approx(1.7)
    assert speed.seconds_p99 == pytest.approx(1.7)
    assert list(speed.stage_seconds) == ["text", "tokens", "decode"]
    assert speed.stage_seconds == pytest.approx({"text": 0.1, "tokens": 1.4, "decode": 0.05})
    assert (speed.nfe, speed.peak_device_mib) == (3, 7.0)
    assert speed.peak_host_mib is not None
    assert speed.peak_host_mib > 10
    assert speed.unavailable is None


def test_batches_grow_while_they_pay(hands: Hands) -> None:
    speed = measured(Telling(hands), num_images=10_000)
    wanted = {1: 1 / 1.55} | {n: n / (1.4 + 0.3 * n) for n in (4, 8, 16, 32, 64)}
    assert {n: speed.images_per_second[n] for n in wanted} == pytest.approx(wanted)
    assert list(speed.images_per_second) == [1, 2, 4, 8, 16, 32, 64]
    assert speed.best_batch_size == 64
    assert speed.best_images_per_second == pytest.approx(64 / 20.6)


def test_a_long_run_is_given_more_time_than_a_short_one(hands: Hands) -> None:
    # 0.1 · 1000 · 1.4 s, half of it for batches: five calls of 2, 4 and 8 take 41.5 s, and 16
    # is expected to take as long again
    assert list(measured(Telling(hands)).images_per_second) == [1, 2, 4, 8]
    short = measured(Telling(hands), num_images=10)
    assert short.num_calls == 10  # the first number of calls that takes 15 s
    assert list(short.images_per_second) == [1, 2]


def test_a_slow_generator_is_called_three_times_and_in_no_batch(hands: Hands) -> None:
    class Slow(Silent):
        def generate(self, prompts, seeds):
            self.hands.now += 40
            return super().generate(prompts, seeds)

    speed = measured(Slow(hands), num_images=10)
    assert (speed.num_calls, speed.best_batch_size) == (3, 1)
    assert list(speed.images_per_second) == [1]


def test_every_picture_has_a_seed_of_its_own(hands: Hands) -> None:
    generator = Silent(hands)
    measured(generator)
    after_trial = [drawn for call in generator.calls[4:] for drawn in call]
    assert len(set(after_trial)) == len(after_trial)
    assert all(seed // 100 == int(key) for key, seed in after_trial)


def test_what_a_generator_does_not_tell_is_the_cards_or_none(hands: Hands) -> None:
    speed = measured(Silent(hands), nfe=2)
    assert (speed.stage_seconds, speed.nfe, speed.peak_device_mib) == ({}, 2, None)


def test_a_prompt_that_cannot_be_drawn_is_left_out(hands: Hands) -> None:
    generator = Telling(hands, refused=["3"])
    speed = measured(generator)
    assert speed.seconds_p99 == pytest.approx(1.6)
    assert "3" not in {key for call in generator.calls for key, _ in call}


def test_a_generator_that_draws_nothing_has_the_reason(hands: Hands) -> None:
    speed = measured(Telling(hands, refused=["0", "1", "2", "3"]))
    assert speed == Throughput(unavailable="ArithmeticError: no idea")


def test_a_batch_that_fails_ends_the_search_and_keeps_the_rest(hands: Hands) -> None:
    speed = measured(Telling(hands, largest=4), num_images=10_000)
    assert list(speed.images_per_second) == [1, 2, 4]
    assert speed.best_batch_size == 4


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (ArithmeticError("tired"), "ArithmeticError: tired"),
        (SystemExit(0), "SystemExit: 0"),
        (GeneratorExit(), "GeneratorExit"),
    ],
)
def test_a_generator_that_breaks_later_has_the_reason(
    hands: Hands, fault: BaseException, reason: str
) -> None:
    class Breaking(Silent):
        def generate(self, prompts, seeds):
            if len(self.calls) == 9:
                raise fault
            return super().generate(prompts, seeds)

    assert measured(Breaking(hands)).unavailable == reason


def test_ctrl_c_is_not_swallowed(hands: Hands) -> None:
    class Interrupted(Silent):
        def generate(self, prompts, seeds):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measured(Interrupted(hands))


def test_a_tokenizers_run_has_none(lab: Lab) -> None:
    (made,) = lab.run("lab-half").records
    assert made.throughput is None


SPEED = Throughput(
    seconds_p50=1.5, seconds_p90=1.75, seconds_p99=2.0, num_calls=20,
    stage_seconds={"text": 0.25, "tokens": 1.0, "decode": 0.25},
    images_per_second={1: 0.667, 2: 1.0, 4: 1.25}, best_batch_size=4, best_images_per_second=1.25,
    peak_host_mib=1234.4, peak_device_mib=567.6, nfe=3,
)  # fmt: skip


def test_it_reads_back_from_a_record_and_in_words() -> None:
    made = record(throughput=SPEED)
    assert RunRecord.model_validate_json(made.model_dump_json()).throughput == SPEED
    lines = describe(made).splitlines()
    start = lines.index("Batch 1: 1.5 s per image (p90 1.75, p99 2, 20 calls)")
    assert lines[start + 1 : start + 5] == [
        "  including text 0.25 s, tokens 1 s, decode 0.25 s",
        "Fastest: 1.25 images/s at batch 4 (tried 1, 2, 4)",
        "Peak memory: 1,234 MiB host, 568 MiB device",
        "NFE: 3",
    ]
    failed = record(throughput=Throughput(unavailable="no idea"))
    assert "Speed: not measured: no idea" in describe(failed).splitlines()
    assert "Batch 1" not in describe(record())


def test_pages_show_the_median_alone_and_the_rest() -> None:
    made = record(throughput=SPEED)
    assert seconds_per_image(made) == 1.5
    facts = dict(view_origin(1, "a", made).facts)
    assert facts["speed"].startswith(
        "Batch 1: 1.5 s per image (p90 1.75, p99 2, 20 calls); including"
    )
    assert "speed" not in dict(view_origin(1, "a", record()).facts)

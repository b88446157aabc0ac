"""What is asked of a model before it draws."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from layton_bench.errors import UserError
from layton_bench.models import check_prompts
from layton_bench.types import Prompt

PROMPTS = [Prompt(key="0", text="a cup")]


class Picky:
    """A generator that checks its prompts, and does then what it is told."""

    def __init__(self, fault: BaseException | None) -> None:
        self.fault = fault
        self.asked: list[str] = []

    def generate(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> None:
        raise AssertionError("nothing is drawn")

    def check_prompts(self, prompts: Sequence[Prompt]) -> None:
        self.asked += [prompt.key for prompt in prompts]
        if self.fault is not None:
            raise self.fault


def test_a_generator_is_asked_about_its_prompts() -> None:
    picky = Picky(None)
    check_prompts(picky, PROMPTS)  # type: ignore[arg-type]
    assert picky.asked == ["0"]


def test_its_own_refusal_passes_unchanged() -> None:
    refusal = UserError("prompt '0'", "it is too long", "Use a shorter one.")
    with pytest.raises(UserError) as found:
        check_prompts(Picky(refusal), PROMPTS)  # type: ignore[arg-type]
    assert found.value is refusal


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (ValueError("odd"), "it failed to check its prompts (ValueError: odd)"),
        (SystemExit(0), "it failed to check its prompts (SystemExit: 0)"),
    ],
)
def test_a_check_that_fails_is_the_plugins(fault: BaseException, reason: str) -> None:
    with pytest.raises(UserError) as found:
        check_prompts(Picky(fault), PROMPTS)  # type: ignore[arg-type]
    assert found.value.reason == reason


def test_a_generator_without_a_check_is_not_asked() -> None:
    check_prompts(object(), PROMPTS)  # type: ignore[arg-type]

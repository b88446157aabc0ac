"""Functions that draw texts or classes, as generators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from layton_bench.errors import UserError
from layton_bench.machine import StageClock
from layton_bench.models import ClassGenerator, TextGenerator
from layton_bench.types import Prompt


class TooLongError(ValueError):
    thing, reason, remedy = "text", "it is too long", "Use a shorter one."


def check(values: Sequence[Any]) -> None:
    if any(len(str(value)) > 10 for value in values):
        raise TooLongError


def draw(values: Sequence[Any], /, *, seeds: Sequence[int]) -> torch.Tensor:
    check(values)
    levels = [len(str(value)) / 100 + seed for value, seed in zip(values, seeds, strict=True)]
    return torch.tensor(levels).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)


def texts(**changes: Any) -> TextGenerator:
    return TextGenerator(draw, name="writer", errors=TooLongError, check=check, **changes)


def test_texts_are_drawn_in_order_with_their_seeds() -> None:
    prompts = [Prompt(key="0", text="cup"), Prompt(key="1", text="teapot")]
    images = texts().generate(prompts, [0, 1])
    assert images[:, 0, 0, 0].tolist() == pytest.approx([0.03, 1.06])


def test_classes_are_drawn_by_number() -> None:
    generator = ClassGenerator(draw, name="sorter", errors=TooLongError)
    images = generator.generate([Prompt(key="0", class_id=207)], [0])
    assert images[0, 0, 0, 0].item() == pytest.approx(0.03)
    with pytest.raises(UserError, match="prompt '1': sorter draws classes"):
        generator.generate([Prompt(key="1", text="a cup")], [0])


def test_a_class_is_no_text() -> None:
    with pytest.raises(UserError, match=r"prompt '0': writer draws texts\. Give it a text"):
        texts().check_prompts([Prompt(key="0", class_id=1)])


@pytest.mark.parametrize("method", ["check_prompts", "generate"])
def test_the_librarys_refusal_is_the_users_to_fix(method: str) -> None:
    prompts = [Prompt(key="0", text="far too long a text")]
    arguments = (prompts,) if method == "check_prompts" else (prompts, [0])
    with pytest.raises(UserError, match=r"text: it is too long\. Use a shorter one"):
        getattr(texts(), method)(*arguments)


def test_the_cost_is_of_the_latest_call() -> None:
    stages = StageClock("cpu")

    def staged(values: Sequence[Any], /, *, seeds: Sequence[int]) -> torch.Tensor:
        with stages("decode"):
            return draw(values, seeds=seeds)

    generator = TextGenerator(staged, name="w", errors=TooLongError, stages=stages, nfe=4)
    stages.seconds = {"text": 99.0}  # of a call before
    generator.generate([Prompt(key="0", text="cup")], [0])
    cost = generator.latest_cost()
    assert set(cost.seconds) == {"decode"} and cost.nfe == 4
    assert texts().latest_cost().seconds == {}

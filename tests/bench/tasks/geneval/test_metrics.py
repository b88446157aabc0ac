"""GenEval's metrics: what each picture must show, and one pass of the colours for a batch."""

import json

import numpy as np
import pytest
import torch

from layton_bench.errors import UserError
from layton_bench.tasks.geneval.judging import Instance
from layton_bench.tasks.geneval.metrics import GenevalJudge, demands_of
from layton_bench.tasks.geneval.prompts import (
    COLORS,
    TASKS,
    Clause,
    ScenePrompt,
    official_prompts,
)
from layton_bench.types import Prompt, ScoredBatch


def batch_of(keys, prompts=None, demands=()):
    images = torch.zeros(len(keys), 3, 8, 8, dtype=torch.uint8)
    drawn = tuple(Prompt(key=k, text=t) for k, t in zip(keys, prompts or [], strict=False))
    return ScoredBatch(keys=tuple(keys), candidates=images, prompts=drawn, demands=demands)


def test_demands_come_by_number_in_the_words_drawn():
    official = official_prompts()[90]
    first, second = demands_of(
        batch_of(["00090#0", "00090#3"], [official.prompt, "in other words"])
    )
    assert first == official
    assert second.include == official.include
    assert second.prompt == "in other words"


def test_the_judge_asks_colors_once_for_all_pictures():
    red = Clause(class_name="cup", count=1, color="red")
    prompts = [
        ScenePrompt(tag="colors", include=(red,), prompt="a red cup"),
        ScenePrompt(tag="counting", include=(Clause(class_name="cup", count=1),), prompt="a cup"),
        ScenePrompt(tag="colors", include=(red,), prompt="a red cup"),
    ]  # fmt: skip
    cup = [0, 0, 6, 6]
    found = [{"cup": [Instance(np.array(cup, np.float32), np.float32(0.95))]} for _ in prompts]
    asked = []

    def colors(crops):
        asked.append(len(crops))
        return ["red", "blue"]

    judged = GenevalJudge(lambda images, *, min_score: found, colors)(
        batch_of(
            ["0#0", "1#0", "2#0"], demands=[json.dumps(prompt.metadata()) for prompt in prompts]
        )
    )
    assert asked == [2]
    assert [verdict.correct for verdict in judged] == [True, True, False]
    assert judged[2].reason == "expected red cup>=1, found 0 red; and 1 blue"
    assert {verdict.task for verdict in judged} <= set(TASKS)
    assert "blue" in COLORS


@pytest.mark.parametrize("key", ["00553#0", "cup#0", "-1#0", "#0"])
def test_samples_of_other_prompts_are_refused(key):
    with pytest.raises(UserError, match="not one of GenEval's"):
        demands_of(batch_of([key], ["a cup"]))

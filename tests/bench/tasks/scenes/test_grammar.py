"""The prompt grammar: its tasks, its words, and pairs held out."""

import re
from collections import Counter

import numpy as np
import pytest

from layton_bench.tasks.geneval import COLORS, TASKS
from layton_bench.tasks.scenes.grammar import (
    COLOR_TASKS,
    HELD_OUT_PAIRS,
    SCENE_TASKS,
    TRAIN_PAIRS,
    sample_caption,
    sample_prompts,
)
from layton_bench.tasks.scenes.shapes import SHAPES


def pairs_named(prompt):
    return {(c.class_name, c.color) for c in prompt.include if c.color is not None}


def test_tasks_are_genevals_and_two_more():
    assert SCENE_TASKS[:6] == TASKS
    assert len(SCENE_TASKS) == 8


def test_pairs_are_split_evenly():
    assert len(TRAIN_PAIRS) == 90
    assert len(HELD_OUT_PAIRS) == 10
    assert not TRAIN_PAIRS & HELD_OUT_PAIRS
    assert set(Counter(shape for shape, _ in HELD_OUT_PAIRS).values()) == {1}
    assert set(Counter(color for _, color in HELD_OUT_PAIRS).values()) == {1}
    # so every shape and every colour is seen in training, in nine pairs each
    assert {shape for shape, _ in TRAIN_PAIRS} == set(SHAPES)
    assert {color for _, color in TRAIN_PAIRS} == set(COLORS)


@pytest.mark.parametrize("task", SCENE_TASKS)
@pytest.mark.parametrize("pairs", [TRAIN_PAIRS, HELD_OUT_PAIRS])
def test_prompts_name_only_the_pairs_given(task, pairs):
    prompts = sample_prompts(task, 60, seed=1, pairs=pairs)
    named = set().union(*(pairs_named(prompt) for prompt in prompts))
    assert named <= pairs
    assert bool(named) is (task in COLOR_TASKS)


@pytest.mark.parametrize("task", SCENE_TASKS)
def test_prompts_repeat_with_the_seed_and_not_among_themselves(task):
    prompts = sample_prompts(task, 50, seed=3)
    assert prompts == sample_prompts(task, 50, seed=3)
    assert prompts != sample_prompts(task, 50, seed=4)
    assert len({prompt.prompt for prompt in prompts}) == 50


def test_a_small_task_repeats_only_when_it_has_no_more():
    # ten shapes, five openings
    counts = Counter(prompt.prompt for prompt in sample_prompts("single_object", 100, seed=0))
    assert len(counts) >= 49
    assert max(counts.values()) <= 3


def test_words():
    texts = [p.prompt for task in SCENE_TASKS for p in sample_prompts(task, 100, seed=5)]
    assert any(text.endswith("an arrow") for text in texts)
    assert not any(" a arrow" in f" {text}" or "a orange" in text for text in texts)
    assert any(text.endswith("crosses") for text in texts)
    assert not any("crosss" in text for text in texts)


RELATION_WORDS = {
    "left of": " (to the )?left of ",
    "right of": " (to the )?right of ",
    "above": " above ",
    "below": " (below|under) ",
}


def test_demands_are_those_of_the_words():
    relations = set()
    for prompt in sample_prompts("color_position", 40, seed=5):
        target, subject = prompt.include
        relation, index = subject.position
        assert index == 0
        before, *_, after = re.split(RELATION_WORDS[relation], prompt.prompt)
        assert before.endswith(f"{subject.color} {subject.class_name}")
        assert after.endswith(f"{target.color} {target.class_name}")
        relations.add(relation)
    assert relations == set(RELATION_WORDS)


@pytest.mark.parametrize("task", ["counting", "color_counting"])
def test_counting_excludes_one_more(task):
    words = {2: "two", 3: "three", 4: "four"}
    for prompt in sample_prompts(task, 40, seed=0):
        (clause,), (excluded,) = prompt.include, prompt.exclude
        assert words[clause.count] in prompt.prompt
        assert excluded.count == clause.count + 1
        assert excluded.class_name == clause.class_name
        assert excluded.color is None


@pytest.mark.parametrize("task", ["two_object", "color_attr", "position", "color_position"])
def test_two_things_differ(task):
    for prompt in sample_prompts(task, 60, seed=0):
        first, second = prompt.include
        assert first.class_name != second.class_name
        assert first.color is None or first.color != second.color


def test_captions_are_of_all_tasks():
    rng = np.random.default_rng(0)
    tags = Counter(sample_caption(rng).tag for _ in range(400))
    assert set(tags) == set(SCENE_TASKS)
    assert min(tags.values()) > 25


def test_pairs_that_allow_no_two_things():
    with pytest.raises(ValueError, match="two things"):
        sample_prompts("color_attr", 1, seed=0, pairs=[("circle", "red"), ("circle", "blue")])

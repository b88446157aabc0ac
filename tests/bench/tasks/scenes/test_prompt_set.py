"""The suite scenes-gen: its prompts, its oracle and its level of chance, on the command line."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from layton_bench.errors import UserError
from layton_bench.models.base import LoadContext
from layton_bench.tasks.geneval import TASKS
from layton_bench.tasks.scenes.generators import MODELS
from layton_bench.tasks.scenes.grammar import (
    HELD_OUT_PAIRS,
    SCENE_TASKS,
    TRAIN_PAIRS,
    parse,
    sample_prompts,
)
from layton_bench.tasks.scenes.judge import judge_image
from layton_bench.tasks.scenes.metrics import judge_batch
from layton_bench.tasks.scenes.prompt_set import (
    HELD_OUT_TASKS,
    open_prompts,
    open_shuffled,
    suite_prompts,
)
from layton_bench.types import Prompt, ScoredBatch

ORACLE, RANDOM = (
    spec.load(LoadContext(device="cpu", dtype="float32", weights=Path, options={"size_px": 96}))
    for spec in MODELS
)


def test_the_prompts():
    prompts = suite_prompts()
    assert len(prompts) == len(open_prompts().items()) == 600
    assert Counter(task for task, _ in prompts.values()) == dict.fromkeys(
        (*SCENE_TASKS, *HELD_OUT_TASKS), 50
    )
    assert prompts["colors-000"][1].tag == prompts["held_out_colors-000"][1].tag == "colors"


def test_the_prompts_keep_to_their_pairs():
    for task, prompt in suite_prompts().values():
        named = {(c.class_name, c.color) for c in prompt.include if c.color}
        assert named <= (HELD_OUT_PAIRS if task in HELD_OUT_TASKS else TRAIN_PAIRS)


def test_the_prompts_do_not_drift():
    """A changed prompt is another suite: raise its version."""
    texts = [prompt.prompt for _, prompt in suite_prompts().values()]
    assert texts[0] == "a circle"
    assert texts[299] == "an image of a red triangle and a brown diamond"
    assert texts[-1] == "an image of three yellow diamonds"


def test_shuffled_prompts_ask_for_something_else():
    prompts = suite_prompts()
    shuffled = {item.key: item.captions[0] for item in open_shuffled().items()}
    assert list(shuffled) == list(prompts)
    for task in (*SCENE_TASKS, *HELD_OUT_TASKS):
        own = {key: prompt.prompt for key, (of, prompt) in prompts.items() if of == task}
        # the same texts, each given to another
        assert Counter(shuffled[key] for key in own) == Counter(own.values())
    for key, (_, prompt) in prompts.items():
        asked, given = (
            Counter(clause.model_dump_json() for clause in each.include)
            for each in (prompt, parse(shuffled[key]))
        )
        assert asked != given, key
    assert shuffled["single_object-000"] == "a photo of a ring"


@pytest.mark.parametrize("task", SCENE_TASKS)
def test_parsing_undoes_the_grammar(task):
    for prompt in sample_prompts(task, 60, seed=9):
        assert parse(prompt.prompt) == prompt


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("A red circle  left of a blue square.", "color_position"),
        ("an image of four crosses", "counting"),
        ("a star under an arrow", "position"),
        ("two hearts and a ring", "two_object"),
    ],
)
def test_parsing_what_people_type(text, tag):
    assert parse(text).tag == tag


@pytest.mark.parametrize("text", ["", "a cat", "five stars", "a red circle left of", "circle"])
def test_what_is_not_of_the_grammar(text):
    with pytest.raises(UserError, match="grammar"):
        parse(text)


def images_of(generator, texts, seeds):
    prompts = [Prompt(key=str(i), text=text) for i, text in enumerate(texts)]
    drawn = generator.generate(prompts, seeds)
    assert drawn.shape == (len(texts), 3, 96, 96)
    assert drawn.abs().max() <= 1
    return ((drawn + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


def test_the_oracle_draws_what_is_asked():
    texts = ["a red circle left of a blue square", "three green stars", "a heart"]
    for text, image in zip(texts, images_of(ORACLE, texts, [1, 2, 3]), strict=True):
        assert judge_image(image, parse(text)).correct


def test_a_picture_depends_on_prompt_and_seed_alone():
    both = images_of(ORACLE, ["a heart", "a star"], [5, 6])
    (alone,) = images_of(ORACLE, ["a star"], [6])
    assert np.array_equal(both[1], alone)
    assert not np.array_equal(alone, images_of(ORACLE, ["a star"], [7])[0])


def test_the_control_ignores_its_prompt():
    first, second = images_of(RANDOM, ["a heart", "a star"], [5, 5])
    assert np.array_equal(first, second)


def test_the_oracle_refuses_a_class():
    with pytest.raises(UserError, match="cannot draw classes"):
        ORACLE.generate([Prompt(key="0", class_id=3)], [0])


def test_a_run_of_the_oracle_and_of_chance(bench):
    done = bench("run", "--suite", "scenes-gen", "--model", "scenes-oracle",
                 "--model", "scenes-random", "--limit", "60")  # fmt: skip
    assert done.code == 0, done.err
    records = {record.model.name: record for record in done.records}
    oracle, chance = records["scenes-oracle"].metrics, records["scenes-random"].metrics
    assert list(oracle) == [
        "scenes", *(f"scenes-{task.replace('_', '-')}" for task in SCENE_TASKS), "scenes-held-out",
    ]  # fmt: skip
    assert {result.value for result in oracle.values()} == {1.0}
    assert oracle["scenes"].n == 5 * len(TASKS)
    assert oracle["scenes-held-out"].n == 20
    # all right is not certainty: five prompts a task
    assert oracle["scenes"].low < 0.9
    assert chance["scenes"].value < 0.4
    assert "judge:scenes@1" in oracle["scenes"].signature
    for record in records.values():
        speed = record.throughput
        assert speed.num_calls == 20
        assert 0 < speed.seconds_p50 <= speed.seconds_p90 <= speed.seconds_p99
        assert speed.images_per_second[1] == pytest.approx(1 / speed.seconds_p50)
        assert speed.best_images_per_second == max(speed.images_per_second.values())
        assert (speed.stage_seconds, speed.nfe, speed.unavailable) == ({}, None, None)


def test_who_is_given_another_prompt_is_judged_by_its_own(bench):
    done = bench("run", "--suite", "scenes-gen-shuffled", "--model", "scenes-oracle",
                 "--limit", "24")  # fmt: skip
    assert done.code == 0, done.err
    (record,) = done.records
    assert {result.value for result in record.metrics.values()} == {0.0}
    assert record.metrics["scenes"].n == 12
    # not comparable with the suite's own
    assert "ref:scenes-prompts-shuffled" in record.metrics["scenes"].signature


def test_reasons_are_in_the_table(bench):
    bench("run", "--suite", "scenes-gen", "--model", "scenes-random", "--limit", "12")
    samples = pd.read_parquet(next(bench.results.rglob("samples.parquet")))
    six = samples[samples["scenes"].notna()]
    assert len(six) == 6
    assert ((six["scenes-reason"] == "") == (six["scenes"] == 1)).all()
    assert (six["scenes-reason"] != "").any()


def test_other_samples_are_refused():
    batch = ScoredBatch(keys=("00000#0",), candidates=torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(UserError, match="not one of the scenes'"):
        judge_batch(batch)

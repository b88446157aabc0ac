"""The judge against pictures whose truth is known: drawn as asked, spoilt, or not drawn by us.

A deterministic sample; benchmarks/scenes_validation.py runs 500 prompts a task.
"""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from layton_bench.tasks.geneval import Clause, ScenePrompt
from layton_bench.tasks.scenes.draw import render
from layton_bench.tasks.scenes.faults import FAULTS
from layton_bench.tasks.scenes.grammar import SCENE_TASKS, sample_prompts
from layton_bench.tasks.scenes.judge import detect, judge_image
from layton_bench.tasks.scenes.layout import compose

NUM_PROMPTS = 12


def drawn(task, size_px, count=NUM_PROMPTS):
    """Prompt, scene, image and a generator for what is done to them."""
    for index, prompt in enumerate(sample_prompts(task, count, seed=0)):
        rng = np.random.default_rng([0, index])
        scene = compose(prompt, rng)
        yield prompt, scene, render(scene, size_px=size_px), rng


def prompt_of(*clauses, tag="x"):
    return ScenePrompt(tag=tag, include=clauses, prompt="x")


@pytest.mark.parametrize("size_px", [64, 128, 256])
@pytest.mark.parametrize("task", SCENE_TASKS)
def test_the_oracle_is_always_right(task, size_px):
    for prompt, _, image, _ in drawn(task, size_px):
        judgement = judge_image(image, prompt)
        assert judgement.correct, (prompt.prompt, judgement.reason)


def test_the_oracle_is_right_at_1024():
    for task in SCENE_TASKS:
        for prompt, _, image, _ in drawn(task, 1024, count=1):
            assert judge_image(image, prompt).correct


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_caught(name):
    fault, tasks = FAULTS[name]
    for task in tasks:
        for prompt, scene, _, rng in drawn(task, 128, count=6):
            spoilt = render(fault(prompt, scene, rng), size_px=128)
            judgement = judge_image(spoilt, prompt)
            assert not judgement.correct, (task, prompt.prompt)
            assert judgement.reason


@pytest.mark.parametrize("task", SCENE_TASKS)
def test_jpeg_and_noise_change_nothing(task):
    for prompt, _, image, rng in drawn(task, 256, count=6):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=75)
        assert judge_image(np.asarray(Image.open(buffer)), prompt).correct
        noise = rng.uniform(-12.75, 12.75, image.shape)
        noisy = np.clip(np.round(image + noise), 0, 255).astype(np.uint8)
        assert judge_image(noisy, prompt).correct


def test_boxes_and_colors_are_those_of_the_things():
    for _, scene, image, _ in drawn("color_attr", 512, count=6):
        found = {region.shape: region for region in detect(image)}
        assert set(found) == {thing.shape for thing in scene.things}
        for thing in scene.things:
            assert found[thing.shape].color == thing.color
            # three pixels of the 256 on which it looks: it blunts tips
            np.testing.assert_allclose(found[thing.shape].box, thing.box() * 512, atol=6)


@pytest.fixture
def by_hand():
    """A picture drawn with Pillow alone: a red disc left of a blue square, on grey."""
    image = Image.new("RGB", (320, 240), (150, 150, 150))
    draw = ImageDraw.Draw(image)
    draw.ellipse((30, 80, 110, 160), fill=(200, 30, 30))
    draw.rectangle((200, 90, 270, 160), fill=(40, 70, 200))
    return np.asarray(image)


def test_a_picture_of_other_make(by_hand):
    regions = {region.shape: region for region in detect(by_hand)}
    assert {shape: region.color for shape, region in regions.items()} == {
        "circle": "red",
        "square": "blue",
    }
    np.testing.assert_allclose(regions["circle"].box, [30, 80, 111, 161], atol=2.5)
    square = Clause(class_name="square", count=1, color="blue")
    circle = Clause(class_name="circle", count=1, color="red", position=("left of", 0))
    assert judge_image(by_hand, prompt_of(square, circle)).correct


@pytest.mark.parametrize(
    ("clause", "reason"),
    [
        (Clause(class_name="star", count=1), "expected star>=1, found 0"),
        (Clause(class_name="circle", count=2), "expected circle>=2, found 1"),
        (
            Clause(class_name="circle", count=1, color="green"),
            "expected green circle>=1, found 0 green; and 1 red",
        ),
    ],
)
def test_reasons(by_hand, clause, reason):
    judgement = judge_image(by_hand, prompt_of(clause))
    assert not judgement.correct
    assert judgement.reason == reason


def test_relation_reason(by_hand):
    target = Clause(class_name="circle", count=1)
    subject = Clause(class_name="square", count=1, position=("above", 0))
    judgement = judge_image(by_hand, prompt_of(target, subject))
    assert judgement.reason == "expected square above target, found right of target"


def test_a_shape_it_does_not_know_counts_for_nothing_but_is_told():
    image = Image.new("RGB", (256, 256), (150, 150, 150))
    ImageDraw.Draw(image).ellipse((20, 100, 230, 150), fill=(200, 30, 30))
    judgement = judge_image(np.asarray(image), prompt_of(Clause(class_name="circle", count=1)))
    assert not judgement.correct
    assert "unknown shapes: red" in judgement.reason


def test_two_things_of_one_color_that_touch_are_one_region():
    image = Image.new("RGB", (256, 256), (150, 150, 150))
    draw = ImageDraw.Draw(image)
    draw.ellipse((20, 80, 120, 180), fill=(200, 30, 30))
    draw.ellipse((110, 80, 210, 180), fill=(200, 30, 30))
    assert len(detect(np.asarray(image))) == 1


def test_two_things_of_two_colors_that_touch_are_two():
    image = Image.new("RGB", (256, 256), (150, 150, 150))
    draw = ImageDraw.Draw(image)
    draw.ellipse((20, 80, 120, 180), fill=(200, 30, 30))
    draw.ellipse((121, 80, 221, 180), fill=(40, 70, 200))
    assert {(r.shape, r.color) for r in detect(np.asarray(image))} == {
        ("circle", "red"),
        ("circle", "blue"),
    }


def test_a_plain_picture_shows_nothing():
    assert detect(np.full((64, 64, 3), 150, np.uint8)) == ()


def test_a_picture_of_one_color_is_one_square_region():
    (region,) = detect(np.full((64, 64, 3), 255, np.uint8))
    assert (region.shape, region.color) == ("square", "white")


def test_pure_noise_shows_no_scene():
    image = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    for task in SCENE_TASKS[1:]:
        for prompt in sample_prompts(task, 5, seed=0):
            assert not judge_image(image, prompt).correct

"""Scenes: composed as asked, rendered the same at every size, by the seed alone."""

import numpy as np
import pytest
from PIL import Image

from layton_bench.tasks.geneval import Clause, ScenePrompt, relations
from layton_bench.tasks.scenes.background import (
    KINDS,
    SWATCHES,
    Background,
    paint,
    sample_background,
)
from layton_bench.tasks.scenes.clutter import draw_clutter
from layton_bench.tasks.scenes.draw import coverage, render
from layton_bench.tasks.scenes.grammar import (
    HELD_OUT_PAIRS,
    SCENE_TASKS,
    TRAIN_PAIRS,
    parse,
    sample_prompts,
)
from layton_bench.tasks.scenes.judge import judge_image
from layton_bench.tasks.scenes.layout import QUARTERED, REGULAR, VARIED, Scene, Thing, compose
from layton_bench.tasks.scenes.palette import ANCHORS, color_map, oklab, srgb
from layton_bench.tasks.scenes.shapes import SHAPES, outline

GREY = Background(kind="plain", colors=((0.7, 0.0, 0.0), (0.7, 0.0, 0.0)))


def scenes(task, count=12, *, pairs=TRAIN_PAIRS, style=VARIED):
    for index, prompt in enumerate(sample_prompts(task, count, seed=1, pairs=pairs)):
        rng = np.random.default_rng([1, index])
        yield prompt, compose(prompt, rng, pairs=pairs, style=style)


@pytest.mark.parametrize("task", SCENE_TASKS)
def test_a_scene_holds_what_its_prompt_asks_and_nothing_else(task):
    for prompt, scene in scenes(task):
        asked = [c for c in prompt.include for _ in range(c.count)]
        assert [t.shape for t in scene.things] == [c.class_name for c in asked]
        for clause, thing in zip(asked, scene.things, strict=True):
            assert clause.color in (None, thing.color)


@pytest.mark.parametrize("pairs", [TRAIN_PAIRS, HELD_OUT_PAIRS])
def test_open_colors_come_from_the_pairs_given(pairs):
    for task in ("single_object", "counting", "two_object", "position"):
        for _, scene in scenes(task, 25, pairs=pairs):
            assert {(t.shape, t.color) for t in scene.things} <= pairs


def test_things_are_inside_and_apart():
    for task in ("counting", "color_counting", "two_object"):
        for _, scene in scenes(task, 25):
            boxes = [thing.box() for thing in scene.things]
            assert all(box.min() > 0 and box.max() < 1 for box in boxes)
            for i, a in enumerate(scene.things):
                for b in scene.things[:i]:
                    distance = np.hypot(a.x - b.x, a.y - b.y)
                    assert distance > a.radius + b.radius + 0.039


@pytest.mark.parametrize("task", ["position", "color_position"])
def test_relations_hold_and_only_they(task):
    for prompt, scene in scenes(task, 25):
        target, subject = (thing.box() for thing in scene.things)
        assert relations(subject, target) == (prompt.include[1].position[0],)


def test_many_things_still_find_a_place():
    prompt = ScenePrompt(tag="x", include=(Clause(class_name="circle", count=9),), prompt="x")
    assert len(compose(prompt, np.random.default_rng(0)).things) == 9


def test_an_unknown_shape_is_refused():
    prompt = ScenePrompt(tag="x", include=(Clause(class_name="dog", count=1),), prompt="x")
    with pytest.raises(ValueError, match="no such shapes: dog"):
        compose(prompt, np.random.default_rng(0))


def test_the_same_seed_gives_the_same_bytes():
    (prompt,) = sample_prompts("color_attr", 1, seed=0)
    first, second = (
        render(compose(prompt, np.random.default_rng(seed)), size_px=64) for seed in (7, 7)
    )
    other = render(compose(prompt, np.random.default_rng(8)), size_px=64)
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)
    assert first.dtype == np.uint8
    assert first.shape == (64, 64, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_size_does_not_change_the_picture(kind):
    colors = ((0.62, 0.03, 0.0), (0.8, 0.0, -0.03))
    background = Background(kind=kind, colors=colors, repeats=5, angle=0.4, seed=3)
    thing = Thing(shape="star", color="red", x=0.4, y=0.6, radius=0.3, angle=0.2)
    scene = Scene(things=(thing,), background=background)
    large = Image.fromarray(render(scene, size_px=1024)).reduce(4)
    difference = np.asarray(large, np.float64) - render(scene, size_px=256)
    # a quarter of a pixel's worth of edge: 1.5 grey levels root mean square
    assert np.sqrt((difference**2).mean()) < 1.5


@pytest.mark.parametrize("kind", KINDS)
def test_backgrounds_show_no_color_of_things(kind):
    rng = np.random.default_rng(0)
    for seed in range(8):
        colors = ((0.58, 0.055, 0.0), (0.82, *rng.uniform(-0.038, 0.038, 2)))
        image = paint(Background(kind=kind, colors=colors, seed=seed), 64)
        assert image.dtype == np.float32
        assert not color_map(np.round(image * 255).astype(np.uint8)).any()


@pytest.mark.parametrize("shape", SHAPES)
def test_outlines_reach_the_unit_circle(shape):
    outer = outline(shape)[0]
    assert np.linalg.norm(outer, axis=1).max() == pytest.approx(1)


@pytest.mark.parametrize(
    ("shape", "area"),
    [
        ("circle", np.pi),
        ("square", 2.0),
        ("diamond", 1.2),
        ("ring", np.pi * (1 - 0.5**2)),
        # a cross of half-width 0.34 and half-length 1 reaches √(1 + 0.34²)
        ("cross", (4 * 0.68 - 0.68**2) / (1 + 0.34**2)),
    ],
)
@pytest.mark.parametrize("size_px", [128, 1024])
def test_coverage_sums_to_the_area(shape, area, size_px):
    rings = tuple(ring * 0.37 + 0.5 for ring in outline(shape))
    _, _, cover = coverage(rings, size_px)
    assert cover.sum() / (0.37 * size_px) ** 2 == pytest.approx(area, rel=0.01)
    assert ((cover > 0) & (cover < 1)).any()


def test_coverage_outside_the_picture_is_empty():
    rings = (outline("circle")[0] * 0.1 + 2.0,)
    assert coverage(rings, 64)[2].size == 0


def test_a_thing_has_its_color_and_place():
    thing = Thing(shape="square", color="green", x=0.25, y=0.75, radius=0.2)
    image = render(Scene(things=(thing,), background=GREY), size_px=100)
    assert tuple(image[75, 25]) == ANCHORS["green"]
    grey = image[10, 90]
    assert grey[0] == grey[1] == grey[2]
    # half a side is 0.2 / √2 = 0.141
    assert tuple(image[75, 25 + 13]) == ANCHORS["green"]
    assert tuple(image[75, 25 + 15]) == tuple(grey)


def test_a_ring_has_a_hole():
    thing = Thing(shape="ring", color="blue", x=0.5, y=0.5, radius=0.4)
    image = render(Scene(things=(thing,), background=GREY), size_px=100)
    assert not color_map(image)[50, 50]
    assert color_map(image)[50, 80]


def test_oklab_of_known_colors():
    # white, and sRGB red as the space's author gives it
    assert oklab([1.0, 1.0, 1.0]) == pytest.approx([1, 0, 0], abs=1e-3)
    assert oklab([1.0, 0.0, 0.0]) == pytest.approx([0.62796, 0.22486, 0.12585], abs=1e-4)


def test_srgb_undoes_oklab():
    colors = np.random.default_rng(0).random((50, 3))
    np.testing.assert_allclose(srgb(oklab(colors)), colors, atol=1e-6)


def test_clutter():
    images = [draw_clutter(np.random.default_rng(seed), size_px=96) for seed in (0, 0, 1)]
    assert images[0].shape == (96, 96, 3)
    assert np.array_equal(images[0], images[1])
    assert not np.array_equal(images[0], images[2])
    assert images[0].std() > 10


def test_a_background_named_thrice_is_drawn_thrice_as_often():
    kinds = ("plain", "plain", "plain", "stripes")
    rng = np.random.default_rng(0)
    drawn = [sample_background(rng, kinds=kinds).kind for _ in range(400)]
    assert set(drawn) == set(kinds)
    assert 260 < drawn.count("plain") < 340


@pytest.mark.parametrize("task", SCENE_TASKS)
@pytest.mark.parametrize(
    ("style", "kinds"), [(REGULAR, {"plain"}), (QUARTERED, {"plain", "stripes", "checks"})]
)
def test_scenes_on_a_grid_stand_on_it_and_show_what_is_asked(task, style, kinds):
    for prompt, scene in scenes(task, style=style):
        assert scene.background.kind in kinds
        assert set(scene.background.colors) <= set(SWATCHES)
        for thing in scene.things:
            assert thing.x * style.grid % 1 == thing.y * style.grid % 1 == 0
            assert thing.angle == 0
            assert thing.tint == (0, 0, 0)
            assert thing.shade == (0, 0)
        assert judge_image(render(scene, size_px=256), prompt).correct


def test_two_swatches_are_halves_or_quarters_of_one_colour_each():
    rng = np.random.default_rng(0)
    layouts = set()
    for _ in range(60):
        background = sample_background(rng, kinds=("swatches",))
        one, other = background.colors
        assert one != other
        quarters = paint(background, 64).reshape(2, 32, 2, 32, 3)
        corners = quarters[:, :1, :, :1]
        np.testing.assert_allclose(quarters, np.broadcast_to(corners, quarters.shape), atol=1e-3)
        is_first = np.abs(corners - corners[0, 0, 0, 0]).max(axis=-1) < 1e-3
        layouts.add(tuple(is_first.ravel().tolist()))
    assert layouts == {
        (True, True, False, False),
        (True, False, True, False),
        (True, False, False, True),
    }


def test_patches_of_a_regular_thing_are_the_same_wherever_it_stands():
    patches = set()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        scene = compose(parse("a red heart"), rng, style=REGULAR)
        image = render(scene, size_px=256)
        x, y = (round(16 * centre) for centre in (scene.things[0].x, scene.things[0].y))
        middle = image[16 * y - 16 : 16 * y + 16, 16 * x - 16 : 16 * x + 16]
        patches.add((scene.background.colors[0], scene.things[0].radius, middle.tobytes()))
    styles = {(color, radius) for color, radius, _ in patches}
    assert len(patches) == len(styles) > 6

"""Scenes that nearly show their prompt: negative controls for the judge.

A fault takes a prompt, a scene that shows it, and a generator. It returns a scene that does not
show the prompt. ``FAULTS`` names the tasks that each fault applies to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from layton_bench.tasks.geneval import COLORS
from layton_bench.tasks.scenes.chance import pick
from layton_bench.tasks.scenes.grammar import COLOR_TASKS, SCENE_TASKS, SceneTask
from layton_bench.tasks.scenes.layout import Scene, compose
from layton_bench.tasks.scenes.shapes import SHAPES

if TYPE_CHECKING:
    from numpy.random import Generator

    from layton_bench.tasks.geneval import ScenePrompt

Fault = Callable[["ScenePrompt", Scene, "Generator"], Scene]


def missing(_prompt: ScenePrompt, scene: Scene, rng: Generator) -> Scene:
    """Remove one thing."""
    gone = rng.integers(len(scene.things))
    return replace(scene, things=tuple(t for i, t in enumerate(scene.things) if i != gone))


def wrong_count(prompt: ScenePrompt, scene: Scene, rng: Generator) -> Scene:
    """Return a new scene with one thing more or less than the prompt demands."""
    clause = prompt.include[0]
    other = clause.count + (1 if rng.random() < 0.5 else -1)
    miscounted = clause.model_copy(update={"count": other})
    colors = {thing.color for thing in scene.things}
    return compose(
        prompt.model_copy(update={"include": (miscounted,)}),
        rng,
        pairs=[(shape, color) for shape in SHAPES for color in colors],
    )


def wrong_color(_prompt: ScenePrompt, scene: Scene, rng: Generator) -> Scene:
    """Give one thing another colour."""
    index = int(rng.integers(len(scene.things)))
    others = [color for color in COLORS if color != scene.things[index].color]
    return _with_thing(scene, index, color=pick(others, rng))


def wrong_shape(_prompt: ScenePrompt, scene: Scene, rng: Generator) -> Scene:
    """Give one thing a shape that the prompt does not name."""
    index = int(rng.integers(len(scene.things)))
    named = {thing.shape for thing in scene.things}
    others = [shape for shape in SHAPES if shape not in named]
    return _with_thing(scene, index, shape=pick(others, rng))


def swapped_places(_prompt: ScenePrompt, scene: Scene, _rng: Generator) -> Scene:
    """Exchange the places of both things."""
    first, second = scene.things
    moved = (
        replace(first, x=second.x, y=second.y, radius=second.radius),
        replace(second, x=first.x, y=first.y, radius=first.radius),
    )
    return replace(scene, things=moved)


def swapped_colors(_prompt: ScenePrompt, scene: Scene, _rng: Generator) -> Scene:
    """Exchange the colours of both things."""
    first, second = scene.things
    things = (replace(first, color=second.color), replace(second, color=first.color))
    return replace(scene, things=things)


def _with_thing(scene: Scene, index: int, **changes: str) -> Scene:
    changed = replace(scene.things[index], **changes)  # type: ignore[arg-type]
    return replace(scene, things=(*scene.things[:index], changed, *scene.things[index + 1 :]))


_COUNTS: Final[tuple[SceneTask, ...]] = ("counting", "color_counting")
_PLACES: Final[tuple[SceneTask, ...]] = ("position", "color_position")
_ATTRIBUTES: Final[tuple[SceneTask, ...]] = ("color_attr", "color_position")
FAULTS: Final[dict[str, tuple[Fault, tuple[SceneTask, ...]]]] = {
    "missing": (missing, SCENE_TASKS),
    "wrong_count": (wrong_count, _COUNTS),
    "wrong_color": (wrong_color, COLOR_TASKS),
    "wrong_shape": (wrong_shape, SCENE_TASKS),
    "swapped_places": (swapped_places, _PLACES),
    "swapped_colors": (swapped_colors, _ATTRIBUTES),
}

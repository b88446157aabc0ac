"""From a prompt to a scene: which things are where, in coordinates of the unit square.

A scene contains everything that is drawn. Rendered at 64 or at 1024 px, it is the same picture.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from layton_bench.tasks.geneval import Clause, Color, ScenePrompt, relations
from layton_bench.tasks.scenes.background import KINDS, Background, Ground, sample_background
from layton_bench.tasks.scenes.chance import pick
from layton_bench.tasks.scenes.grammar import TRAIN_PAIRS, Pair
from layton_bench.tasks.scenes.shapes import SHAPES, Shape, outline

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

# Largest and smallest radius of the circle around a thing, by the number of things.
_MAX_RADIUS: Final = {1: 0.36, 2: 0.24, 3: 0.19}
_MAX_RADIUS_OF_MANY: Final = 0.17
_MIN_RADIUS: Final = 0.11
_MARGIN: Final = 0.02
_GAP: Final = 0.04
# Things are placed so that exactly the demanded relations hold, at 0.1 and at this threshold.
_SAFE_THRESHOLD: Final = 0.14
_MAX_TILT: Final = np.radians(30)
# Radii on the grid, by the largest radius for a number of things; then for many or crowded things.
_GRID_RADII: Final = {
    _MAX_RADIUS[1]: (0.25, 0.3125),
    _MAX_RADIUS[2]: (0.1875,),
    _MAX_RADIUS[3]: (0.15625,),
}
_GRID_RADIUS_OF_MANY: Final = 0.140625
# Layouts tried at one size. After that, sizes shrink by 5 %.
_TRIES: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """A coloured shape.

    Attributes:
        shape, color: its names in prompts.
        x, y: centre of the circle around it, in shares of the image's side, y downwards.
        radius: radius of that circle.
        angle: clockwise rotation in radians.
        tint: offset in Oklab from the colour's anchor.
        shade: change of lightness from one side to the other, and its direction in radians.
    """

    shape: Shape
    color: Color
    x: float
    y: float
    radius: float
    angle: float = 0.0
    tint: tuple[float, float, float] = (0.0, 0.0, 0.0)
    shade: tuple[float, float] = (0.0, 0.0)

    def rings(self) -> tuple[NDArray[np.float64], ...]:
        """Return its outline in the unit square: outer ring (P, 2), and the hole of a ring."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        turn = self.radius * np.array([[cos, sin], [-sin, cos]])
        return tuple(ring @ turn + [self.x, self.y] for ring in outline(self.shape))

    def box(self) -> NDArray[np.float32]:
        """Return x1, y1, x2, y2 of its outline, in shares of the side, float32 (4,)."""
        outer = self.rings()[0]
        return np.concatenate([outer.min(axis=0), outer.max(axis=0)]).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneStyle:
    """The look of scenes, apart from the demands of their prompts.

    Attributes:
        grid: number of parts into which a grid divides the side. Things are upright, in one or two
            sizes, centred on grid lines, in pure colours. So an image contains little that its
            prompt does not say. With patches of 1/16 of the side, a thing of one shape and size
            consists of the same patches at every place. None: sizes, places, angles, tints and
            shades are drawn freely.
        backgrounds: kinds to draw from; see `sample_background`.
    """

    grid: Literal[4, 8] | None = None
    backgrounds: Sequence[Ground] = KINDS


VARIED: Final = SceneStyle()
REGULAR: Final = SceneStyle(grid=8, backgrounds=("swatch",))
# fewer places (one for one thing, nine for several), more backgrounds
QUARTERED: Final = SceneStyle(grid=4, backgrounds=("swatch", "swatch", "swatches"))
STYLES: Final = {"varied": VARIED, "regular": REGULAR, "quartered": QUARTERED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Things that do not overlap, and a background."""

    things: tuple[Thing, ...]
    background: Background


def compose(
    prompt: ScenePrompt,
    rng: Generator,
    *,
    pairs: Collection[Pair] = TRAIN_PAIRS,
    style: SceneStyle = VARIED,
) -> Scene:
    """Return a scene that shows what a prompt demands, and nothing else.

    Args:
        prompt: names shapes of the grammar.
        rng: draws sizes, places, angles, backgrounds, and colours that the prompt does not name.
        pairs: pairs of shape and colour from which these colours are drawn.
        style: look of the scene.
    """
    shapes = [clause.class_name for clause in prompt.include for _ in range(clause.count)]
    unknown = sorted(set(shapes) - set(SHAPES))
    if unknown:
        raise ValueError(f"no such shapes: {', '.join(unknown)}")
    places = _place(prompt.include, rng, grid=style.grid)
    allowed = sorted(pairs)
    colors = [color for clause in prompt.include for color in _colors(clause, rng, allowed)]
    return Scene(
        things=tuple(
            _pure(shape, color, place) if style.grid else _shaded(shape, color, place, rng)  # type: ignore[arg-type]
            for shape, color, place in zip(shapes, colors, places, strict=True)
        ),
        background=sample_background(rng, kinds=style.backgrounds),
    )


def _colors(clause: Clause, rng: Generator, pairs: Sequence[Pair]) -> list[Color]:
    """Return the clause's colour, or drawn colours: one for all its things, or one for each."""
    if clause.color is not None:
        return [clause.color] * clause.count
    choices = [color for shape, color in pairs if shape == clause.class_name]
    drawn = [pick(choices, rng) for _ in range(clause.count)]
    return drawn if rng.random() < 0.5 else drawn[:1] * clause.count


@dataclass(frozen=True, slots=True)
class _Place:
    x: float
    y: float
    radius: float
    angle: float


def _place(clauses: Sequence[Clause], rng: Generator, *, grid: int | None) -> list[_Place]:
    """Draw places for all things until nothing overlaps and the relations hold."""
    shapes: list[Shape] = [c.class_name for c in clauses for _ in range(c.count)]  # type: ignore[misc]
    largest = _MAX_RADIUS.get(len(shapes), _MAX_RADIUS_OF_MANY)
    draw = partial(_draw_on_grid, grid) if grid else _draw_place
    while True:
        for _ in range(_TRIES):
            places = [draw(shape, largest, rng) for shape in shapes]
            if _are_apart(places) and _are_related(clauses, shapes, places):
                return places
        largest *= 0.95


def _draw_place(shape: Shape, largest: float, rng: Generator) -> _Place:
    radius = rng.uniform(min(_MIN_RADIUS, 0.8 * largest), largest)
    x, y = rng.uniform(radius + _MARGIN, 1 - radius - _MARGIN, size=2)
    # an arrow may point anywhere; others are nearly upright
    angle = rng.uniform(-np.pi, np.pi) if shape == "arrow" else rng.uniform(-_MAX_TILT, _MAX_TILT)
    return _Place(float(x), float(y), float(radius), float(angle))


def _draw_on_grid(grid: int, _shape: Shape, largest: float, rng: Generator) -> _Place:
    radius = pick(_GRID_RADII.get(largest, (min(_GRID_RADIUS_OF_MANY, largest),)), rng)
    first = int(np.ceil((radius + _MARGIN) * grid))
    x, y = rng.integers(first, grid - first + 1, size=2) / grid
    return _Place(float(x), float(y), radius, 0.0)


def _are_apart(places: Sequence[_Place]) -> bool:
    return all(
        np.hypot(a.x - b.x, a.y - b.y) > a.radius + b.radius + _GAP
        for i, a in enumerate(places)
        for b in places[:i]
    )


def _are_related(
    clauses: Sequence[Clause], shapes: Sequence[Shape], places: Sequence[_Place]
) -> bool:
    """Return whether each thing has the demanded relation to its target's things, and no other."""
    if all(clause.position is None for clause in clauses):
        return True
    boxes = [_pure(shape, "red", place).box() for shape, place in zip(shapes, places, strict=True)]
    starts = np.cumsum([0, *(clause.count for clause in clauses)])
    groups = [boxes[a:b] for a, b in pairwise(starts)]
    return all(
        relations(box, other, threshold=threshold) == (clause.position[0],)
        for clause, group in zip(clauses, groups, strict=True)
        if clause.position is not None
        for box in group
        for other in groups[clause.position[1]]
        for threshold in (0.0, _SAFE_THRESHOLD)
    )


def _pure(shape: Shape, color: Color, place: _Place) -> Thing:
    return Thing(
        shape=shape, color=color, x=place.x, y=place.y, radius=place.radius, angle=place.angle
    )


def _shaded(shape: Shape, color: Color, place: _Place, rng: Generator) -> Thing:
    tint = rng.uniform([-0.03, -0.012, -0.012], [0.03, 0.012, 0.012])
    return replace(
        _pure(shape, color, place),
        tint=(float(tint[0]), float(tint[1]), float(tint[2])),
        shade=(float(rng.uniform(0, 0.06)), float(rng.uniform(-np.pi, np.pi))),
    )

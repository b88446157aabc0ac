"""Prompts about coloured shapes: GenEval's six tasks, and two richer ones for training.

A prompt has its demands in GenEval's form, so GenEval's logic can judge it. Some pairs of shape and
colour are held out from training. A model that draws such a pair combines two things that it never
saw together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Final, Literal, get_args

import numpy as np

from layton_bench.errors import UserError
from layton_bench.tasks.geneval import COLORS, Clause, Color, Relation, ScenePrompt
from layton_bench.tasks.scenes.chance import pick
from layton_bench.tasks.scenes.shapes import SHAPES, Shape

if TYPE_CHECKING:
    from numpy.random import Generator

# GenEval's six, then coloured positions ("a red circle left of a blue square") and coloured counts
# ("three red circles").
SceneTask = Literal[
    "single_object", "two_object", "counting", "colors", "position", "color_attr",
    "color_position", "color_counting",
]  # fmt: skip
SCENE_TASKS: tuple[SceneTask, ...] = get_args(SceneTask)
# Tasks whose prompts name colours. Only they can demand a held-out pair.
COLOR_TASKS: Final[tuple[SceneTask, ...]] = (
    "colors", "color_attr", "color_position", "color_counting",
)  # fmt: skip

Pair = tuple[Shape, Color]
# One colour of each shape and one shape of each colour are held out: 10 of 100 pairs.
HELD_OUT_PAIRS: Final[frozenset[Pair]] = frozenset(
    (shape, color)
    for i, shape in enumerate(SHAPES)
    for j, color in enumerate(COLORS)
    if (j - 3 * i) % 10 == 5
)
TRAIN_PAIRS: Final[frozenset[Pair]] = frozenset(
    (shape, color) for shape in SHAPES for color in COLORS if (shape, color) not in HELD_OUT_PAIRS
)

COUNT_WORDS: Final = {2: "two", 3: "three", 4: "four"}
_PLURALS: Final[dict[Shape, str]] = {"cross": "crosses"}
_OPENINGS: Final = ("", "a picture of ", "a photo of ", "a drawing of ", "an image of ")
_RELATION_WORDS: Final[dict[Relation, tuple[str, ...]]] = {
    "left of": ("left of", "to the left of"),
    "right of": ("right of", "to the right of"),
    "above": ("above",),
    "below": ("below", "under"),
}
# After this many draws without a new prompt, a task has no further prompts.
_MAX_DRAWS: Final = 400


def sample_prompts(
    task: SceneTask, count: int, *, seed: int, pairs: Collection[Pair] = TRAIN_PAIRS
) -> tuple[ScenePrompt, ...]:
    """Return prompts of one task, the same for the same seed.

    No prompt is repeated as long as the task has others.

    Args:
        task: one of ``SCENE_TASKS``.
        count: number of prompts.
        seed: seed of the draws.
        pairs: pairs of shape and colour that prompts may name.
    """
    rng = np.random.default_rng([seed, SCENE_TASKS.index(task)])
    allowed = sorted(pairs)
    prompts: list[ScenePrompt] = []
    seen: set[str] = set()
    while len(prompts) < count:
        prompt = sample_prompt(task, rng, pairs=allowed)
        for _ in range(_MAX_DRAWS):
            if prompt.prompt not in seen:
                break
            prompt = sample_prompt(task, rng, pairs=allowed)
        else:
            seen.clear()
        seen.add(prompt.prompt)
        prompts.append(prompt)
    return tuple(prompts)


def sample_caption(
    rng: Generator,
    *,
    pairs: Collection[Pair] = TRAIN_PAIRS,
    tasks: Sequence[SceneTask] = SCENE_TASKS,
) -> ScenePrompt:
    """Return a prompt of a random task. A task that is given twice is twice as likely."""
    return sample_prompt(pick(tasks, rng), rng, pairs=sorted(pairs))


def sample_prompt(task: SceneTask, rng: Generator, *, pairs: Sequence[Pair]) -> ScenePrompt:
    """Return one prompt of a task in random words. It names only ``pairs``."""
    include, text = _TASKS[task](rng, pairs)
    exclude = tuple(
        Clause(class_name=clause.class_name, count=clause.count + 1)
        for clause in include
        if task in ("counting", "color_counting")
    )
    text = pick(_OPENINGS, rng) + text
    return ScenePrompt(tag=task, include=include, exclude=exclude, prompt=text)


Drawn = tuple[tuple[Clause, ...], str]


def _single_object(rng: Generator, pairs: Sequence[Pair]) -> Drawn:
    return _one(_clause(rng, pairs))


def _colors(rng: Generator, pairs: Sequence[Pair]) -> Drawn:
    return _one(_clause(rng, pairs, is_colored=True))


def _one(clause: Clause) -> Drawn:
    return (clause,), noun(clause)


def _counting(rng: Generator, pairs: Sequence[Pair]) -> Drawn:
    return _one(_clause(rng, pairs, count=_count(rng)))


def _color_counting(rng: Generator, pairs: Sequence[Pair]) -> Drawn:
    return _one(_clause(rng, pairs, count=_count(rng), is_colored=True))


def _two_object(rng: Generator, pairs: Sequence[Pair]) -> Drawn:
    first, second = _two(rng, pairs)
    return (first, second), f"{noun(first)} and {noun(second)}"


def _color_attr(rng: Generator, pairs: Sequence[Pair]) -> Drawn:
    first, second = _two(rng, pairs, are_colored=True)
    return (first, second), f"{noun(first)} and {noun(second)}"


def _position(rng: Generator, pairs: Sequence[Pair]) -> Drawn:
    return _placed(rng, *_two(rng, pairs))


def _color_position(rng: Generator, pairs: Sequence[Pair]) -> Drawn:
    return _placed(rng, *_two(rng, pairs, are_colored=True))


_TASKS: Final[dict[SceneTask, Callable[[Generator, Sequence[Pair]], Drawn]]] = {
    "single_object": _single_object,
    "two_object": _two_object,
    "counting": _counting,
    "colors": _colors,
    "position": _position,
    "color_attr": _color_attr,
    "color_position": _color_position,
    "color_counting": _color_counting,
}


def _count(rng: Generator) -> int:
    return int(rng.integers(min(COUNT_WORDS), max(COUNT_WORDS) + 1))


def _clause(
    rng: Generator, pairs: Sequence[Pair], *, count: int = 1, is_colored: bool = False
) -> Clause:
    shape, color = pick(pairs, rng)
    return Clause(class_name=shape, count=count, color=color if is_colored else None)


def _two(
    rng: Generator, pairs: Sequence[Pair], *, are_colored: bool = False
) -> tuple[Clause, Clause]:
    """Two clauses of different shapes and, where they name them, different colours."""
    first, first_color = pick(pairs, rng)
    others = [(s, c) for s, c in pairs if s != first and c != first_color]
    if not others:
        raise ValueError("these pairs do not allow two things of different shape and colour")
    second, second_color = pick(others, rng)
    return (
        Clause(class_name=first, count=1, color=first_color if are_colored else None),
        Clause(class_name=second, count=1, color=second_color if are_colored else None),
    )


def _placed(rng: Generator, target: Clause, subject: Clause) -> Drawn:
    """Return the target, and the subject in a relation to it, in GenEval's order."""
    relation = pick(tuple(_RELATION_WORDS), rng)
    subject = subject.model_copy(update={"position": (relation, 0)})
    text = f"{noun(subject)} {pick(_RELATION_WORDS[relation], rng)} {noun(target)}"
    return (target, subject), text


_COUNTS: Final = {"a": 1, "an": 1, **{word: count for count, word in COUNT_WORDS.items()}}
_SHAPES: Final = {form: s for s in SHAPES for form in (s, _PLURALS.get(s, s + "s"))}
_NOUN: Final = (
    f"({'|'.join(_COUNTS)}) (?:({'|'.join(COLORS)}) )?({'|'.join(sorted(_SHAPES, reverse=True))})"
)
_RELATIONS: Final = {words: r for r, forms in _RELATION_WORDS.items() for words in forms}
_PROMPT: Final = re.compile(
    f"(?:{'|'.join(filter(None, _OPENINGS))})?{_NOUN}"
    f"(?: (and|{'|'.join(sorted(_RELATIONS, reverse=True))}) {_NOUN})?"
)


def parse(text: str) -> ScenePrompt:
    """Return the demands of a text of the grammar: the inverse of ``sample_prompt``.

    Raises:
        UserError: the text does not belong to the grammar.
    """
    match = _PROMPT.fullmatch(" ".join(text.lower().split()).rstrip("."))
    if match is None:
        remedy = "Say it like 'a red circle left of a blue square', 'three stars', 'a green arrow'."
        raise UserError(f"prompt '{text}'", "it does not follow the scenes' grammar", remedy)
    first, link, second = _read(match.groups()[:3]), match[4], match.groups()[4:]
    if link is None:
        return _single(first, text)
    other = _read(second)
    if link == "and":
        tag = "color_attr" if first.color and other.color else "two_object"
        return ScenePrompt(tag=tag, include=(first, other), prompt=text)
    placed = first.model_copy(update={"position": (_RELATIONS[link], 0)})
    tag = "color_position" if first.color and other.color else "position"
    return ScenePrompt(tag=tag, include=(other, placed), prompt=text)


def _read(groups: Sequence[str | None]) -> Clause:
    count, color, shape = groups
    return Clause.model_validate(
        {"class": _SHAPES[shape or ""], "count": _COUNTS[count or ""], "color": color}
    )


def _single(clause: Clause, text: str) -> ScenePrompt:
    if clause.count == 1:
        tag = "colors" if clause.color else "single_object"
        return ScenePrompt(tag=tag, include=(clause,), prompt=text)
    tag = "color_counting" if clause.color else "counting"
    more = Clause(class_name=clause.class_name, count=clause.count + 1)
    return ScenePrompt(tag=tag, include=(clause,), exclude=(more,), prompt=text)


def noun(clause: Clause) -> str:
    """Return a text like ``a red circle``, ``an arrow`` or ``three crosses``."""
    named = f"{clause.color} {clause.class_name}" if clause.color else clause.class_name
    if clause.count == 1:
        return f"{'an' if named[0] in 'aeiou' else 'a'} {named}"
    plural = _PLURALS.get(clause.class_name, clause.class_name + "s")  # type: ignore[call-overload]
    return " ".join(filter(None, (COUNT_WORDS[clause.count], clause.color, plural)))

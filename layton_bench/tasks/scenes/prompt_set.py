"""The prompts of the suites scenes-gen and scenes-gen-shuffled, and their data sets."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from layton_bench.datasets import DatasetSpec, PromptDataset
from layton_bench.tasks.scenes.grammar import (
    COLOR_TASKS,
    HELD_OUT_PAIRS,
    SCENE_TASKS,
    TRAIN_PAIRS,
    Pair,
    SceneTask,
    sample_prompts,
)
from layton_bench.types import Item

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from layton_bench.tasks.geneval import ScenePrompt

NAME: Final = "scenes-prompts"
SHUFFLED: Final = "scenes-prompts-shuffled"
HELD_OUT: Final = "held_out_"
"""Prefix of the tasks whose prompts name held-out pairs."""

HELD_OUT_TASKS: Final = tuple(HELD_OUT + task for task in COLOR_TASKS)

_PER_TASK: Final = 50
# far from the seeds of training data in recipes
_SEED: Final = 20_250_311


@cache
def suite_prompts() -> dict[str, tuple[str, ScenePrompt]]:
    """Return key → (task, prompt), 50 for each of 8 tasks and of 4 tasks with held-out pairs.

    Keys look like ``colors-007`` and ``held_out_colors-007``.
    """
    groups: list[tuple[str, SceneTask, frozenset[Pair]]] = [
        *((task, task, TRAIN_PAIRS) for task in SCENE_TASKS),
        *((HELD_OUT + task, task, HELD_OUT_PAIRS) for task in COLOR_TASKS),
    ]
    return {
        f"{name}-{number:03d}": (name, prompt)
        for name, task, pairs in groups
        for number, prompt in enumerate(sample_prompts(task, _PER_TASK, seed=_SEED, pairs=pairs))
    }


def shuffled_texts() -> dict[str, str]:
    """Return key → the text of another prompt of its task, with other demands.

    Each text goes to exactly one other key: in the order of demands, the one half a task away. A
    model that ignores its prompts has the same score with these.
    """
    prompts = suite_prompts()
    by_task: dict[str, list[str]] = {}
    for key, (task, _) in prompts.items():
        by_task.setdefault(task, []).append(key)
    return {
        key: prompts[other][1].prompt
        for keys in by_task.values()
        for key, other in _half_a_task_away(keys, prompts)
    }


def _half_a_task_away(
    keys: Sequence[str], prompts: Mapping[str, tuple[str, ScenePrompt]]
) -> Iterable[tuple[str, str]]:
    # prompts with the same demands in other words are neighbours in this order
    ordered = sorted(keys, key=lambda key: (sorted(map(repr, prompts[key][1].include)), key))
    half = len(ordered) // 2
    return zip(ordered, ordered[half:] + ordered[:half], strict=True)


def open_prompts(_root: Path | None = None) -> PromptDataset:
    """Return the prompts as a data set. They come from the grammar, not from a file."""
    return _dataset(NAME, {key: prompt.prompt for key, (_, prompt) in suite_prompts().items()})


def open_shuffled(_root: Path | None = None) -> PromptDataset:
    """Return the same keys, with prompts exchanged within each task."""
    shuffled = shuffled_texts()
    return _dataset(SHUFFLED, {key: shuffled[key] for key in suite_prompts()})


def _dataset(name: str, texts: Mapping[str, str]) -> PromptDataset:
    entries = tuple(Item(key=key, captions=(text,)) for key, text in texts.items())
    return PromptDataset(name=name, entries=entries)


DATASETS: Final = tuple(
    DatasetSpec(name=name, summary=summary, num_items=600, open=opened, has_images=False)
    for name, summary, opened in (
        (
            NAME,
            "600 prompts about coloured shapes, from the scenes' grammar; no download",
            open_prompts,
        ),
        (
            SHUFFLED,
            "control: scenes-prompts shuffled within each task",
            open_shuffled,
        ),
    )
)

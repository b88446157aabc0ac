"""The prompts of the suite scenes-gen, and its data set."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from layton_bench.datasets.base import DatasetSpec
from layton_bench.datasets.prompts import PromptDataset
from layton_bench.scenes.grammar import (
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
    from pathlib import Path

    from layton_bench.metrics.geneval import ScenePrompt

NAME: Final = "scenes-prompts"
HELD_OUT: Final = "held_out_"
"""Before the tasks whose prompts name held-out pairs."""

HELD_OUT_TASKS: Final = tuple(HELD_OUT + task for task in COLOR_TASKS)

_PER_TASK: Final = 50
# far from the seeds that recipes give their training data
_SEED: Final = 20_250_311


@cache
def suite_prompts() -> dict[str, tuple[str, ScenePrompt]]:
    """Key → (task, prompt): 50 of each of the eight tasks, and 50 of held-out pairs of four.

    Keys are ``colors-007``; of held-out pairs ``held_out_colors-007``.
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


def open_prompts(_root: Path | None = None) -> PromptDataset:
    """The prompts as a data set; they are drawn from the grammar, nothing is read."""
    return PromptDataset(
        name=NAME,
        entries=tuple(
            Item(key=key, captions=(prompt.prompt,)) for key, (_, prompt) in suite_prompts().items()
        ),
    )


SPEC: Final = DatasetSpec(
    name=NAME,
    summary="600 prompts about coloured shapes, from the scenes' grammar; no download",
    num_items=600,
    open=open_prompts,
    has_images=False,
)

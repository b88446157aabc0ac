"""Procedural scenes: a prompt grammar, a renderer, and a judge that needs no weights.

    sample_prompts ──► compose ──► render ──► image ──► judge_image ──► correct, reason

The grammar has GenEval's six tasks over ten shapes and ten colours, with pairs of shape and colour
held out from training; ``write_folder`` and ``write_shards`` render captioned training data to
disk. docs/scenes.md shows pictures and how the judge was validated. The judge is imported from its
own module, since it takes scipy along.
"""

from layton_bench.tasks.scenes.clutter import draw_clutter
from layton_bench.tasks.scenes.draw import render
from layton_bench.tasks.scenes.folders import draw_sample, write_folder, write_shards
from layton_bench.tasks.scenes.grammar import (
    HELD_OUT_PAIRS,
    SCENE_TASKS,
    TRAIN_PAIRS,
    sample_caption,
    sample_prompts,
)
from layton_bench.tasks.scenes.layout import (
    QUARTERED,
    REGULAR,
    VARIED,
    Scene,
    SceneStyle,
    Thing,
    compose,
)

__all__ = [
    "HELD_OUT_PAIRS",
    "QUARTERED",
    "REGULAR",
    "SCENE_TASKS",
    "TRAIN_PAIRS",
    "VARIED",
    "Scene",
    "SceneStyle",
    "Thing",
    "compose",
    "draw_clutter",
    "draw_sample",
    "render",
    "sample_caption",
    "sample_prompts",
    "write_folder",
    "write_shards",
]

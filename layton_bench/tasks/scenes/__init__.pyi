from .clutter import draw_clutter as draw_clutter
from .draw import render as render
from .folders import (
    draw_sample as draw_sample,
    write_folder as write_folder,
    write_shards as write_shards,
)
from .generators import MODELS as MODELS
from .grammar import (
    HELD_OUT_PAIRS as HELD_OUT_PAIRS,
    SCENE_TASKS as SCENE_TASKS,
    TRAIN_PAIRS as TRAIN_PAIRS,
    sample_caption as sample_caption,
    sample_prompts as sample_prompts,
)
from .layout import (
    QUARTERED as QUARTERED,
    REGULAR as REGULAR,
    VARIED as VARIED,
    Scene as Scene,
    SceneStyle as SceneStyle,
    Thing as Thing,
    compose as compose,
)
from .metrics import METRICS as METRICS
from .prompt_set import DATASETS as DATASETS

"""The picture of docs/scenes.md: one scene a task, and clutter.

python benchmarks/scenes_pictures.py docs/images/scenes.jpg
"""

from __future__ import annotations

import sys

import numpy as np
from PIL import Image

from layton_bench.run.picture_files import grid
from layton_bench.tasks.scenes import (
    SCENE_TASKS,
    compose,
    draw_clutter,
    render,
    sample_prompts,
)

SIZE_PX = 160


def main() -> None:
    pictures = []
    for number, task in enumerate(SCENE_TASKS):
        (prompt,) = sample_prompts(task, 1, seed=4)
        scene = compose(prompt, np.random.default_rng(number))
        pictures.append(render(scene, size_px=SIZE_PX))
        print(f"{number + 1}. {prompt.prompt}")
    pictures += [draw_clutter(np.random.default_rng(seed), size_px=SIZE_PX) for seed in range(4)]
    sheet = grid([Image.fromarray(picture) for picture in pictures], columns=4)
    sheet.save(sys.argv[1], quality=88, subsampling=0, optimize=True)


if __name__ == "__main__":
    main()

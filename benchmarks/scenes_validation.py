"""Validation of the scenes' judge: what it says of pictures whose truth is known.

    python benchmarks/scenes_validation.py [--prompts 500] [--size 256] [--workers 2]

For every task, over so many prompts: the oracle (the renderer drawing what the prompt asks) must
be judged right, faults must be caught, and harmless changes of the picture must change nothing.
The tables of docs/scenes.md are this script's output.
"""

from __future__ import annotations

import argparse
import io
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
from PIL import Image, ImageFilter

from layton_bench.tasks.scenes.draw import render
from layton_bench.tasks.scenes.faults import FAULTS
from layton_bench.tasks.scenes.grammar import (
    COLOR_TASKS,
    HELD_OUT_PAIRS,
    SCENE_TASKS,
    TRAIN_PAIRS,
    sample_prompts,
)
from layton_bench.tasks.scenes.judge import judge_image
from layton_bench.tasks.scenes.layout import compose


def jpeg(image, _rng, quality=75):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def uniform_noise(image, rng):
    """±5 % of the range."""
    noise = rng.uniform(-12.75, 12.75, image.shape)
    return np.clip(np.round(image + noise), 0, 255).astype(np.uint8)


def gaussian_noise(image, rng):
    """Standard deviation of 5 % of the range."""
    noise = rng.normal(0, 12.75, image.shape)
    return np.clip(np.round(image + noise), 0, 255).astype(np.uint8)


def blur(image, _rng):
    """Gaussian of 1/128 of the side: 2 px at 256."""
    radius = image.shape[0] / 128
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


CHANGES = {
    "JPEG q75": jpeg,
    "JPEG q30": partial(jpeg, quality=30),
    "noise ±5%": uniform_noise,
    "noise σ=5%": gaussian_noise,
    "blur": blur,
}


def judge_one(job):
    """Column → 1 where the judge says right, for one prompt and all it is drawn as."""
    task, index, prompt, pairs, size_px = job
    rng = np.random.default_rng([5, SCENE_TASKS.index(task), index])
    scene = compose(prompt, rng, pairs=pairs)
    image = render(scene, size_px=size_px)
    found = {"oracle": judge_image(image, prompt).correct}
    for name, change in CHANGES.items():
        found[name] = judge_image(change(image, rng), prompt).correct
    for name, (fault, tasks) in FAULTS.items():
        if task in tasks:
            spoilt = render(fault(prompt, scene, rng), size_px=size_px)
            found[name] = not judge_image(spoilt, prompt).correct
    return task, found


def table(jobs, workers):
    """Task → column → share."""
    right, total = Counter(), Counter()
    with ProcessPoolExecutor(workers) as pool:
        for task, found in pool.map(judge_one, jobs, chunksize=16):
            for column, value in found.items():
                right[task, column] += value
                total[task, column] += 1
    return {key: right[key] / total[key] for key in total}


def show(title, shares, columns):
    tasks = [task for task in SCENE_TASKS if (task, columns[0]) in shares]
    print(f"\n{title}\n\n| task | {' | '.join(columns)} |\n|---|{'--:|' * len(columns)}")
    for task in tasks:
        cells = [f"{shares[task, c]:.3f}" if (task, c) in shares else "" for c in columns]
        print(f"| {task} | {' | '.join(cells)} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=500)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    splits = (("pairs of training", TRAIN_PAIRS, SCENE_TASKS),
              ("held-out pairs", HELD_OUT_PAIRS, COLOR_TASKS))  # fmt: skip
    for split, pairs, tasks in splits:
        jobs = [
            (task, index, prompt, pairs, options.size)
            for task in tasks
            for index, prompt in enumerate(
                sample_prompts(task, options.prompts, seed=2, pairs=pairs)
            )
        ]
        shares = table(jobs, options.workers)
        what = f"{options.prompts} prompts a task, {options.size} px, {split}"
        show(f"Judged right ({what})", shares, ["oracle", *CHANGES])
        show(f"Faults caught ({what})", shares, list(FAULTS))


if __name__ == "__main__":
    main()

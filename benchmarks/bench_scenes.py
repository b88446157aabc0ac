"""Images a second of the scenes' renderer, its PNG files and its judge, on one core.

``python benchmarks/bench_scenes.py [--images 200] [--rounds 3]``; the best round counts.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from layton_bench.tasks.scenes import draw_sample
from layton_bench.tasks.scenes.folders import encode
from layton_bench.tasks.scenes.judge import judge_image


def best(work, things, rounds):
    """Things a second in the best of several rounds."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        for thing in things:
            work(thing)
        seconds.append(time.perf_counter() - start)
    return len(things) / min(seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print("| side | captioned | clutter | as PNG | judged |\n|--:|--:|--:|--:|--:|")
    for size_px in (64, 256, 1024):
        count = max(10, options.images * 256 // max(256, size_px))
        seeds = range(count)

        def draw(seed, content="captioned", size_px=size_px):
            return draw_sample(np.random.default_rng(seed), size_px=size_px, content=content)

        drawn = [draw(seed) for seed in seeds]
        cells = [
            best(draw, seeds, options.rounds),
            best(lambda seed: draw(seed, "clutter"), seeds, options.rounds),
            best(lambda pair: encode(pair[0]), drawn, options.rounds),
            best(lambda pair: judge_image(*pair), drawn, options.rounds),
        ]
        print(f"| {size_px} | {' | '.join(f'{cell:,.0f}' for cell in cells)} |")


if __name__ == "__main__":
    main()

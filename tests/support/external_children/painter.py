"""A generator of noise by the standard library alone, for tests."""

import random
import sys
from array import array

from layton_bench_child import Array, serve

SIDE = 8


class Painter:
    """Each pixel from the prompt's seed; the first is the length of the prompt."""

    def __init__(self, steps):
        self.steps = steps
        self.count = 0

    def generate(self, prompts, seeds):
        values = array("f")
        for prompt, seed in zip(prompts, seeds):  # noqa: B905 as in Python 3.7
            if prompt["text"] == "fails":
                raise ArithmeticError("no\x1b[31m idea")
            if prompt["text"] == "memory":
                raise MemoryError("CUDA out of memory")
            rng = random.Random(seed)
            pixels = [rng.random() * 2 - 1 for _ in range(3 * SIDE * SIDE)]
            pixels[0] = len(prompt["text"]) / 1000
            values.extend(pixels)
        self.count = len(prompts)
        return Array((len(prompts), 3, SIDE, SIDE), values)

    def latest_cost(self):
        seconds = {"text": 0.5 * self.count, "tokens": 2.0, "decode": 0.25}
        return {"seconds": seconds, "nfe": self.steps, "peak_device_mib": 12.5}


serve(
    lambda start: Painter(start.options["steps"]),
    card={"name": sys.argv[1], "kind": "generator", "sizes_px": [SIDE]},
    environment={"python": "3.8.0", "a library": "1.0"},
)

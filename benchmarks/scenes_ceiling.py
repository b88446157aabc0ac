"""What a tokenizer leaves of the scenes: the oracle's pictures through it, judged.

    python benchmarks/scenes_ceiling.py [MODEL …] [--per-task 50] [--style varied]

A generator over a tokenizer's codes cannot be expected to score higher than the oracle's pictures
do after that tokenizer. Without a model named: `layton-tiny`. laytongen-tiny learned last to draw
scenes of the style "quartered".
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import numpy as np

from layton_bench.images import to_uint8
from layton_bench.registry.plugins import Plugins
from layton_bench.registry.resolve import find_model, load_model, parse_options
from layton_bench.tasks.geneval import TASKS
from layton_bench.tasks.scenes.generators import SIZE_PX, SceneGenerator, as_asked
from layton_bench.tasks.scenes.judge import judge_image
from layton_bench.tasks.scenes.layout import STYLES
from layton_bench.tasks.scenes.prompt_set import suite_prompts
from layton_bench.types import Prompt


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", default=["layton-tiny"])
    parser.add_argument("--per-task", type=int, default=50)
    parser.add_argument("--style", choices=STYLES, default="varied")
    args = parser.parse_args()
    oracle = SceneGenerator(as_asked, SIZE_PX, STYLES[args.style])
    chosen = defaultdict(list)
    for task, prompt in suite_prompts().values():
        if task in TASKS and len(chosen[task]) < args.per_task:
            chosen[task].append(prompt)
    print("| tokenizer | Scenes | " + " | ".join(t.replace("_", " ") for t in TASKS) + " |")
    print("|---|" + "---:|" * (len(TASKS) + 1))
    plugins = Plugins()
    for name in args.models:
        spec = find_model(plugins, name)
        tokenizer = load_model(plugins, spec, "cpu", "float32", parse_options(spec, []))
        shares = [
            np.mean([survives(oracle, tokenizer, p, i) for i, p in enumerate(chosen[t])])
            for t in TASKS
        ]
        cells = " | ".join(f"{share:.3f}" for share in (np.mean(shares), *shares))
        print(f"| {name} | {cells} |", flush=True)


def survives(oracle, tokenizer, prompt, number):
    """Whether the oracle's picture, after the tokenizer, is still judged right."""
    drawn = oracle.generate([Prompt(key=str(number), text=prompt.prompt)], [number])
    (decoded,) = to_uint8(tokenizer.decode(tokenizer.encode(drawn), [number]), "round")
    return judge_image(decoded.permute(1, 2, 0).contiguous().numpy(), prompt).correct


if __name__ == "__main__":
    main()

"""What captions save: bits an image with its own caption, with another's, and with a false one.

    python benchmarks/caption_bits.py [FOLDER] [--count 256] [--seed 991] [--style quartered]

Scenes are drawn and encoded by the tokenizer that the generator names. A generator that
does not heed its text needs as many bits with the captions exchanged. One that does not know which
colour is whose needs as many where the two colours of a caption are. Without a folder:
`laytongen-tiny`.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from layton import Tokenizer
from layton.generator.folder import TEXT_FOLDER, read_generator
from layton.generator.loading import load_gpt
from layton.generator.words import load_words
from layton.training.hard_negatives import HardNegativesRecipe, hard_negatives, neighbours
from layton.weights.shipped import find_folder
from layton_bench.images import to_signed
from layton_bench.tasks.geneval import COLORS
from layton_bench.tasks.scenes import draw_sample, sample_caption
from layton_bench.tasks.scenes.layout import STYLES

BATCH = 16
FALSE = {
    "two colours exchanged": {"swapped": COLORS},
    "left and right": {"replaced": {"left": "right", "right": "left"}},
    "above and below": {"replaced": {"above": "below", "below": "above", "under": "above"}},
}
CAPTIONS = 20_000  # by which a false caption's pairs of words are known to be in the grammar


def main() -> None:
    """Print the bits, what lies between with its standard error, and how false captions fare."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=find_folder("laytongen-tiny"))
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--seed", type=int, default=991)
    parser.add_argument("--style", choices=STYLES, default="quartered")
    args = parser.parse_args()
    tokenizer = Tokenizer.from_pretrained(find_folder(read_generator(args.folder).tokenizer)).eval()
    codes, captions = encoded_scenes(tokenizer, args.count, args.seed, STYLES[args.style])
    gpt, words = load_gpt(args.folder), load_words(args.folder / TEXT_FOLDER)
    own = bits(gpt, words, codes, captions)
    exchanged = bits(gpt, words, codes, captions[1:] + captions[:1])
    saved = exchanged - own
    error = saved.std() / math.sqrt(len(saved))
    print(
        f"{args.count} scenes: {own.mean():.1f} bits with their own captions, "
        f"{exchanged.mean():.1f} with others'; saved {saved.mean():.1f} ± {error:.1f}"
    )
    rng = np.random.default_rng(args.seed)
    known = neighbours(sample_caption(rng).prompt for _ in range(CAPTIONS))
    for name, words_to_change in FALSE.items():
        recipe = HardNegativesRecipe(weight=1.0, **words_to_change)
        made = [(i, f) for i, c in enumerate(captions) for f in hard_negatives(c, recipe, known)]
        rows = [i for i, _ in made]
        more = bits(gpt, words, codes[rows], [false for _, false in made]) - own[rows]
        print(
            f"{name}: {int((more > 0).sum())} of {len(rows)} likelier with their own, "
            f"by {more.mean():.1f} bits"
        )


@torch.no_grad()
def encoded_scenes(tokenizer, count, seed, style):
    """Codes (count, N) and captions of scenes of one style."""
    codes, captions = [], []
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        image, prompt = draw_sample(rng, size_px=tokenizer.config.image_px, style=style)
        picture = to_signed(torch.from_numpy(image).permute(2, 0, 1)[None])
        codes.append(tokenizer.encode(picture).flatten())
        captions.append(prompt.prompt)
    return torch.stack(codes).long(), captions


@torch.no_grad()
def bits(gpt, words, codes, captions):
    """Bits of each image under its caption, (count,)."""
    found = []
    for start in range(0, len(codes), BATCH):
        batch = codes[start : start + BATCH]
        numbers, mask = words.pad(captions[start : start + BATCH])
        logits = gpt(words(numbers, mask), batch[:, :-1], mask=mask)
        nats = F.cross_entropy(logits.flatten(0, 1), batch.flatten(), reduction="none")
        found.append(nats.view(len(batch), -1).sum(1) / math.log(2.0))
    return torch.cat(found)


if __name__ == "__main__":
    main()

"""The operators of a decode step, each way it could be done: µs, best of interleaved runs.

    python benchmarks/bench_decode_operators.py --threads 1

Sizes are those of GPT-B over 256 image tokens with guidance: 2 rows at batch 1, 32 at batch 16.
Best of rounds, since other work on the machine only ever adds time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from layton.generator.config import find_generator
from layton.generator.layers import rotary_table, rotate
from layton.generator.sampling import gumbel_noise, philox, seed_keys
from layton.weights.packed import PackedLinear

CONFIG = find_generator("llamagen-c2i-b").gpt
Ways = dict[str, Callable[[], object]]


def products(rows: int) -> Ways:
    """The first feed-forward product."""
    linear = nn.Linear(CONFIG.dim, CONFIG.hidden_dim, bias=False)
    packed, x = PackedLinear(linear), torch.randn(rows, CONFIG.dim)
    return {"linear": lambda: linear(x), "packed linear": lambda: packed(x)}


def attention(rows: int) -> Ways:
    """One layer at the middle token: slots in use, all slots, and keys repeated per head."""
    shape = (rows, CONFIG.num_heads, 376, CONFIG.head_dim)
    keys, values = torch.randn(shape), torch.randn(shape)
    q = torch.randn(rows, CONFIG.num_heads, 1, CONFIG.head_dim)
    mask = torch.ones(rows, 1, 1, 376, dtype=torch.bool)
    bias = torch.zeros(rows, 1, 1, 130)

    def by_hand() -> object:
        scores = q @ keys[:, :, :130].mT / CONFIG.head_dim**0.5 + bias
        return scores.softmax(-1) @ values[:, :, :130]

    def published() -> object:
        repeated = (t.repeat_interleave(1, dim=1) for t in (keys, values))
        return F.scaled_dot_product_attention(q, *repeated, attn_mask=mask)

    return {
        "376 slots, repeated": published,
        "376 slots": lambda: F.scaled_dot_product_attention(q, keys, values, attn_mask=mask),
        "130 slots by hand": by_hand,
        "130 slots": lambda: F.scaled_dot_product_attention(
            q, keys[:, :, :130], values[:, :, :130], attn_mask=bias
        ),
    }


def rotation(rows: int) -> Ways:
    """Queries and keys of one token."""
    x = torch.randn(rows, 2 * CONFIG.num_heads, CONFIG.head_dim)
    angles = rotary_table(CONFIG)[7:8]

    def real() -> object:
        (a, b), (cos, sin) = x.unflatten(-1, (-1, 2)).unbind(-1), angles.unbind(-1)
        return torch.stack((a * cos - b * sin, b * cos + a * sin), -1).flatten(-2)

    return {"real numbers": real, "complex numbers": lambda: rotate(x, angles)}


def noise(rows: int) -> Ways:
    """Gumbel noise for every code of half as many images as rows."""
    batch, size = rows // 2, CONFIG.codebook_size
    keys, buffer = seed_keys(range(batch)), torch.empty(batch, size)
    generators = [torch.Generator().manual_seed(i) for i in range(batch)]
    blocks, zero = torch.arange(size // 4), torch.zeros(1, dtype=torch.int64)

    def drawn() -> object:
        for row, generator in zip(buffer, generators, strict=True):
            row.exponential_(generator=generator)
        return buffer.log()

    def with_log1p() -> object:
        words = philox((blocks, zero, zero, zero), keys.T[:, :, None].unbind(0))
        bits = torch.stack(words, -1).flatten(1).float()
        return (-torch.log1p(-(bits + 0.5) * 2.0**-32)).log()

    return {
        "a generator an image": drawn,
        "philox, log1p": with_log1p,
        "philox": lambda: gumbel_noise(keys, 0, size),
    }


def best(ways: Ways, rounds: int) -> dict[str, float]:
    """Microseconds of each way, the ways taking turns."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return {name: 1e6 * min(taken) for name, taken in times.items()}


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--threads", type=int, default=0, help="0: torch's choice")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; µs")
    for operator in (products, attention, rotation, noise):
        print(operator.__name__)
        few, many = (best(operator(rows), args.rounds) for rows in (2, 32))
        for name in few:
            print(f"    {name:22} {few[name]:9.0f} {many[name]:9.0f}")


if __name__ == "__main__":
    main()

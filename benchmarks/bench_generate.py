"""Drawing image codes by layton against a loop of the published style, same weights, greedy.

    python benchmarks/bench_generate.py                     # four cases at reduced depth
    python benchmarks/bench_generate.py --layers 0          # GPT-B whole
    python benchmarks/bench_generate.py --size xl --layers 0 --batches 1 --rounds 1
    python benchmarks/bench_generate.py --layers 0 --device cuda --dtype bfloat16 --compile

The reference is written here from what the published loop does (LlamaGen, LaCTok): conditional and
unconditional rows as one batch from the prefill on, text padded to 120 positions, a cache and a
boolean mask of full length indexed at every step, keys and values repeated per step for shared
heads, softmax and top-1 over all codes. In float32 both draw the same tokens, which is asserted; in
bfloat16 the share that agrees is printed. Weights are random; they time as trained ones do. One
warm-up each, then the two run in turn, A B A B; a ratio is that of medians.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from layton import GENERATORS, GPT, CodeGenerator, GPTConfig, Guidance, Sampling, pack_linears
from layton.generator.layers import rotary_table
from layton.generator.text import left_pad

SCALE = 2.0
GREEDY = Sampling(temperature=0.0)


class PublishedStyle:
    """The decode loop as published, over the weights of a GPT.

    Args:
        model: not packed.
    """

    def __init__(self, model: GPT) -> None:
        self.config = model.config
        self.weights = model.state_dict()
        self.embedder = copy.deepcopy(model.cls_embedding)  # the model will be packed
        prefix = self.config.num_prefix_tokens
        table = rotary_table(self.config)
        like = model.output.weight
        self.device, self.dtype = like.device, like.dtype
        self.angles = torch.cat((torch.zeros(prefix, *table.shape[1:]), table)).to(like.device)

    @torch.no_grad()
    def generate(self, conditions: Tensor | Sequence[Tensor]) -> Tensor:
        """Greedy codes under guidance SCALE, (B, N)."""
        x, mask = self._prefix(conditions)
        self._allocate(len(x), mask)
        prefix = x.shape[1]
        logits = self._run(x, torch.arange(prefix, device=self.device))
        token = self._pick(logits)
        codes = [token]
        position = torch.tensor([prefix], device=self.device)
        for _ in range(self.config.num_tokens - 1):
            x = self.weights["tok_embeddings.weight"][torch.cat((token, token))]
            token = self._pick(self._run(x, position))
            codes.append(token.clone())
            position += 1
        return torch.cat(codes, 1)

    def _prefix(self, conditions: Tensor | Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
        if isinstance(conditions, Tensor):
            null = torch.full_like(conditions, self.config.num_classes)
            return self.embedder(torch.cat((conditions, null))), None
        longest = conditions[0].new_empty(self.config.num_prefix_tokens, self.config.text_dim)
        features, mask = (t[:-1] for t in left_pad([*conditions, longest]))
        null = torch.zeros_like(features) + self.embedder.uncond_embedding
        return self.embedder(torch.cat((features, null))), torch.cat((mask, mask))

    def _allocate(self, rows: int, mask: Tensor | None) -> None:
        config = self.config
        slots = -(-(config.num_prefix_tokens + config.num_tokens) // 8) * 8
        shape = (rows, config.kv_heads, slots, config.head_dim)
        options = {"device": self.device, "dtype": self.dtype}
        self.caches = [
            (torch.zeros(shape, **options), torch.zeros(shape, **options))
            for _ in range(config.num_layers)
        ]
        every = torch.ones(slots, slots, dtype=torch.bool, device=self.device)
        seen = every.tril().repeat(rows, 1, 1)
        if mask is not None:
            seen[:, :, : mask.shape[1]] &= mask[:, None]
            seen |= torch.eye(slots, dtype=torch.bool, device=self.device)
        self.seen = seen

    def _run(self, x: Tensor, position: Tensor) -> Tensor:
        mask = self.seen[: len(x), None, position]
        angles = self.angles[position]
        for i in range(self.config.num_layers):
            x = x + self._attend(
                self._norm(x, f"layers.{i}.attention_norm"), i, position, angles, mask
            )
            y, at = self._norm(x, f"layers.{i}.ffn_norm"), f"layers.{i}.feed_forward"
            gate = F.silu(self._linear(y, f"{at}.w1")) * self._linear(y, f"{at}.w3")
            x = x + self._linear(gate, f"{at}.w2")
        return self._linear(self._norm(x, "norm"), "output").float()

    def _attend(self, x: Tensor, i: int, position: Tensor, angles: Tensor, mask: Tensor) -> Tensor:
        config, at = self.config, f"layers.{i}.attention"
        kv_dim = config.kv_heads * config.head_dim
        q, k, v = self._linear(x, f"{at}.wqkv").split((config.dim, kv_dim, kv_dim), -1)
        q, k, v = (t.unflatten(-1, (-1, config.head_dim)) for t in (q, k, v))
        q, k, v = (t.transpose(1, 2) for t in (self._turn(q, angles), self._turn(k, angles), v))
        keys, values = self.caches[i]
        keys[:, :, position] = k
        values[:, :, position] = v
        groups = config.num_heads // config.kv_heads
        keys, values = (t.repeat_interleave(groups, dim=1) for t in (keys, values))
        out = F.scaled_dot_product_attention(q, keys, values, attn_mask=mask)
        return self._linear(out.transpose(1, 2).flatten(2), f"{at}.wo")

    def _turn(self, x: Tensor, angles: Tensor) -> Tensor:
        a, b = x.float().unflatten(-1, (-1, 2)).unbind(-1)
        cos, sin = (t[:, None] for t in angles.unbind(-1))
        return torch.stack((a * cos - b * sin, b * cos + a * sin), -1).flatten(-2).type_as(x)

    def _norm(self, x: Tensor, name: str) -> Tensor:
        y = x.float()
        y = y * torch.rsqrt((y * y).mean(-1, keepdim=True) + self.config.norm_eps)
        return y.type_as(x) * self.weights[f"{name}.weight"]

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.weights[f"{name}.weight"])

    def _pick(self, logits: Tensor) -> Tensor:
        cond, uncond = logits[:, -1].chunk(2)
        probabilities = (uncond + (cond - uncond) * SCALE).softmax(-1)
        return probabilities.topk(1).indices


def build(name: str, args: argparse.Namespace) -> GPT:
    """A random model of that generator's sizes at the depth and width asked for."""
    torch.manual_seed(0)
    config: GPTConfig = GENERATORS[name].gpt
    size = GENERATORS[f"llamagen-c2i-{args.size}"].gpt
    layers = args.layers or size.num_layers
    config = replace(config, dim=size.dim, num_heads=size.num_heads, num_layers=layers)
    model = GPT(replace(config, num_tokens=args.side**2)).eval()
    torch.nn.init.normal_(model.output.weight, std=0.05)
    return model.to(args.device, getattr(torch, args.dtype))


def conditions_for(config: GPTConfig, batch: int) -> Tensor | list[Tensor]:
    """Classes, or texts of 10 to 40 tokens."""
    if config.condition == "class":
        return torch.arange(batch) * 61 % config.num_classes
    lengths = [10 + 13 * i % 31 for i in range(batch)]
    return [torch.randn(length, config.text_dim) for length in lengths]


def timed(run: Callable[[], Tensor], clock: Callable[[], float]) -> tuple[float, Tensor]:
    """Seconds until the result is on the host, and the result."""
    start = clock()
    result = run().cpu()
    return clock() - start, result


def compare(name: str, batch: int, args: argparse.Namespace) -> None:
    """Run both in turn and print one row."""
    model = build(name, args)
    conditions = conditions_for(model.config, batch)
    if isinstance(conditions, Tensor):
        conditions = conditions.to(args.device)
    else:
        conditions = [text.to(model.output.weight) for text in conditions]
    # packing lays the weights out anew, so that the reference must hold its own
    published = PublishedStyle(model)
    if not (args.compile or args.plain):
        pack_linears(model)
    generator = CodeGenerator(model, compiled=args.compile)
    guidance = Guidance(scale=SCALE)

    def ours() -> Tensor:
        return generator.generate(conditions, seeds=[0] * batch, guidance=guidance, sampling=GREEDY)

    clock = time.process_time if args.cpu_time else time.perf_counter
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(1 + args.rounds):
        slow, wanted = timed(lambda: published.generate(conditions), clock)
        fast, codes = timed(ours, clock)
        agreement = (codes == wanted).float().mean().item()
        assert args.dtype != "float32" or agreement == 1, "the two loops drew different tokens"
        times[0].append(slow)
        times[1].append(fast)
    slow, fast = (statistics.median(t[1:]) for t in times)
    tokens = batch * model.config.num_tokens
    kind = "class" if model.config.condition == "class" else "text"
    print(
        f"{kind:5} {batch:5} {tokens / slow:12.1f} {tokens / fast:12.1f}"
        f" {batch / slow:12.3f} {batch / fast:12.3f} {slow / fast:7.2f} {agreement:7.1%}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=["b", "l", "xl"], default="b", help="width and heads")
    parser.add_argument("--layers", type=int, default=4, help="depth; 0: that of the size")
    parser.add_argument("--side", type=int, default=16, help="side of the token grid")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=0, help="0: torch's choice")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="of the process, for a busy machine; with --threads 1",
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--plain", action="store_true", help="leave layton's weights unpacked")
    parser.add_argument("--compile", action="store_true", help="compile layton's decode step")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {vars(args)}")
    print("cond. batch  published t/s   layton t/s  pub. images/s  our images/s  ratio  agree")
    for name in ("llamagen-c2i-b", "laytongen-t-star"):
        for batch in args.batches:
            compare(name, batch, args)


if __name__ == "__main__":
    main()

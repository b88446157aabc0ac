"""Encode and decode images/s of the tokenizer plugins against the same nets in the usual way.

Both run the same random weights, interleaved A B A B in one process, and must agree: all codes
equal, images to 1e-4. "The usual way" is how the official repositories compute: NCHW memory,
swish as x·sigmoid(x), attention as two batched products around a softmax, all distances to the
codebook at once, doubling then convolving; for the transformers sequence-first
nn.MultiheadAttention over every position of every layer.

    python benchmarks/bench_tokenizers.py [--models NAME …] [--batch N] [--rounds N]
    python benchmarks/bench_tokenizers.py --steps              # what each step gains
    python benchmarks/bench_tokenizers.py --system-allocator   # memory as outside the harness
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from layton.tokenizer.config import VQ_8, VQ_16
from layton.tokenizer.folding import fold_upsampling
from layton.tokenizer.quantizer import Quantizer
from layton.tokenizer.vq import AttnBlock, ResBlock
from layton.tokenizer.vq_model import VQModel
from layton_bench.machine.memory import keep_freed_memory
from layton_bench_titok.model import TiTok
from layton_bench_titok.transformer import Block
from layton_bench_titok.variants import VARIANTS as TITOK
from layton_bench_vqgan.model import VQGAN
from layton_bench_vqgan.variants import VARIANTS as VQGANS

LLAMAGEN = {"llamagen-16": VQ_16, "llamagen-8": VQ_8}
DEFAULT = ("vqgan-f16-16384", "llamagen-16", "titok-b-64", "titok-bl-128")


def swish(x: Tensor) -> Tensor:
    """Activation of the official convolutional models."""
    return x * torch.sigmoid(x)


class UsualResBlock(nn.Module):
    """A residual block, one operation after the other."""

    def __init__(self, block: ResBlock) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) → (B, C', h, w)."""
        block = self.block
        h = block.conv1(swish(block.norm1(x)))
        h = block.conv2(block.dropout(swish(block.norm2(h))))
        return block.nin_shortcut(x) + h


class UsualAttention(nn.Module):
    """Attention with its whole matrix of weights."""

    def __init__(self, block: AttnBlock) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) → (B, C, h, w)."""
        block, (b, c, h, w) = self.block, x.shape
        y = block.norm(x)
        q, k, v = (p(y).reshape(b, c, h * w) for p in (block.q, block.k, block.v))
        weights = (torch.bmm(q.transpose(1, 2), k) * c**-0.5).softmax(2)
        out = torch.bmm(v, weights.transpose(1, 2)).reshape(b, c, h, w)
        return x + block.proj_out(out)


class UsualQuantizer(nn.Module):
    """Nearest code from the full matrix of squared distances."""

    def __init__(self, quantizer: Quantizer) -> None:
        super().__init__()
        self.inner = quantizer
        self.embedding = quantizer.embedding

    def encode(self, z: Tensor) -> Tensor:
        """(B, C, …) → codes (B, …)."""
        flat = z.movedim(1, -1)
        rows, codebook = flat.reshape(-1, z.shape[1]), self.embedding.weight
        if self.inner.l2_normalize:
            rows, codebook = normalize(rows, dim=-1), normalize(codebook, dim=-1)
        distances = (
            rows.square().sum(1, keepdim=True)
            + codebook.square().sum(1)
            - 2 * torch.einsum("bd,dn->bn", rows, codebook.T)
        )
        return distances.argmin(1).view(flat.shape[:-1])

    def lookup(self, codes: Tensor) -> Tensor:
        """Codes (B, …) → vectors (B, C, …)."""
        return self.inner.lookup(codes)


class UsualTransformerBlock(nn.Module):
    """Sequence-first MultiheadAttention over all positions, whatever is read afterwards."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        width = block.attn.out_proj.in_features
        self.ln_1, self.ln_2, self.mlp = block.ln_1, block.ln_2, block.mlp
        self.attn = nn.MultiheadAttention(width, block.attn.heads)
        self.attn.load_state_dict(block.attn.state_dict())

    def forward(self, x: Tensor, keep: slice = slice(None)) -> Tensor:
        """(B, L, D) → (B, kept, D)."""
        x = x.transpose(0, 1)
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        x = x + self.mlp(self.ln_2(x))
        return x.transpose(0, 1)[:, keep]


USUAL: dict[type[nn.Module], Callable[..., nn.Module]] = {
    ResBlock: UsualResBlock,
    AttnBlock: UsualAttention,
    Quantizer: UsualQuantizer,
    Block: UsualTransformerBlock,
}


def usual_way(model: nn.Module) -> nn.Module:
    """A copy of the model that computes as the official code does."""
    usual = copy.deepcopy(model)
    _replace(usual)
    return usual.eval()


def _replace(module: nn.Module) -> None:
    for name, child in module.named_children():
        if type(child) in USUAL:
            setattr(module, name, USUAL[type(child)](child))
        else:
            _replace(child)


def spread_codebook(model: nn.Module, images: Tensor) -> None:
    """Give the code vectors the spread of the features, as training would.

    Fresh ones are so short that the rounding of |z|² in the usual way decides which is nearest.
    """
    rows = model.quantize.embedding.weight
    drawn = torch.randn(rows.shape, generator=torch.Generator().manual_seed(2))
    rows.copy_(drawn * model.features(images).std())


def build(name: str, images: Tensor, *, steps: bool) -> dict[str, nn.Module]:
    """The same random weights the usual way and as ours; with the steps between, if asked for."""
    torch.manual_seed(0)
    if name in TITOK:
        model: nn.Module = TiTok(TITOK[name])
    else:
        model = VQModel(LLAMAGEN[name]) if name in LLAMAGEN else VQGAN(VQGANS[name])
    spread_codebook(model.eval(), images)
    models = {"usual": usual_way(model)}
    if steps:
        models["own blocks"] = copy.deepcopy(model)
    model.to(memory_format=torch.channels_last)
    if steps:
        models["+ channels_last"] = copy.deepcopy(model)
    if name in TITOK:
        model.optimize_for_inference()
    else:
        fold_upsampling(model)
    return models | {"ours": model.to(memory_format=torch.channels_last)}


def cpu_seconds(call: Callable[[Tensor], Tensor], given: Tensor) -> float:
    """CPU time of one call: what it takes on an idle machine, whatever else runs on this one."""
    start = time.process_time()
    call(given)
    return time.process_time() - start


@torch.inference_mode()
def compare(name: str, batch: int, rounds: int, *, steps: bool) -> None:
    """Print images a CPU second (best round) and the ratio to the usual way (median of pairs)."""
    images = torch.rand(batch, 3, 256, 256, generator=torch.Generator().manual_seed(1))
    images = images if name in TITOK else 2 * images - 1
    models = build(name, images, steps=steps)
    codes = models["usual"].encode(images)
    expected = models["usual"].decode(codes)
    for model in models.values():
        assert torch.equal(codes, model.encode(images)), "codes differ"
        assert (model.decode(codes) - expected).abs().max() < 1e-4, "images differ"
    for direction, given in (("encode", images), ("decode", codes)):
        calls = {label: getattr(model, direction) for label, model in models.items()}
        times: dict[str, list[float]] = {label: [] for label in calls}
        for _ in range(rounds):
            for label, call in calls.items():
                times[label].append(cpu_seconds(call, given))
        for label, taken in times.items():
            ratio = statistics.median(a / b for a, b in zip(times["usual"], taken, strict=True))
            row = f"{name:<18} {direction}  {label:<16} {batch / min(taken):7.3f}  {ratio:5.2f}x"
            print(row, flush=True)


def main() -> None:
    """Parse, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=list(DEFAULT))
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", action="store_true", help="show what each step gains")
    parser.add_argument("--system-allocator", action="store_true", help="as outside the harness")
    options = parser.parse_args()
    torch.set_num_threads(1)  # CPU time is wall time then
    if not options.system_allocator:
        keep_freed_memory()
    print("images a second of CPU time, and the ratio to the usual way")
    for name in options.models:
        compare(name, options.batch, options.rounds, steps=options.steps)


if __name__ == "__main__":
    main()

"""Decoding by layton against an official-style pipeline: same weights, same noise, same images.

    python benchmarks/bench_layton_decoder.py             # speed, step by step
    python benchmarks/bench_layton_decoder.py --memory    # peak memory of loading and decoding
    python benchmarks/bench_layton_decoder.py --precision # error of bfloat16 and float16

The reference is put together here from plain diffusers and PEFT modules in the order in which the
released code runs them: LoRA unmerged, ControlNet and U-Net called whole each step with 77 zero
text states, the condition embedded each step, re-noising after the last step too, default memory
layout. Weights are random; they time as trained ones do.

Sizes are SDXL's divided by `--divide` throughout (channels, LoRA rank, text width) at the same
depth; `--divide 1 --image-px 1024 --device cuda` is the real thing. The rows of the speed table
run in turn, A B C … A B C …, and a row's ratio is that of the medians. The real size in memory, on
a machine with 24 GB (the official way is stopped there; a file in float32 would be twice as large):

    python benchmarks/bench_layton_decoder.py --memory --divide 1 --image-px 1024 --dtype float16
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, DDIMScheduler, UNet2DConditionModel
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from layton import SamplerConfig, Tokenizer, TokenizerConfig, UNetConfig, VAEConfig, VQConfig
from layton.tokenizer.folding import fold_vae, zero_text_output
from layton.tokenizer.ladd import ConditionEmbedding
from layton.tokenizer.lora import TARGETS
from layton.tokenizer.official import official_layout


def sizes(divide: int, image_px: int) -> TokenizerConfig:
    """SDXL's sizes over `divide`; heads stay about 64 wide, so there are fewer."""
    if divide == 1:
        return TokenizerConfig(sampler=SamplerConfig(steps=3), image_px=image_px)
    widths = (320 // divide, 640 // divide, 1280 // divide)
    return TokenizerConfig(
        encoder=VQConfig(channels=32, norm_num_groups=16),
        unet=UNetConfig(
            block_out_channels=widths,
            num_attention_heads=tuple(max(1, width // 64) for width in widths),
            cross_attention_dim=2048 // divide,
            pooled_text_dim=1280 // divide,
            norm_num_groups=16,
        ),
        vae=VAEConfig(
            block_out_channels=(128 // divide, 256 // divide, 512 // divide, 512 // divide),
            norm_num_groups=16,
        ),
        sampler=SamplerConfig(steps=3),
        image_px=image_px,
    )


class Reference(nn.Module):
    """The decoding half of the released tokenizer under its names."""

    def __init__(self, config: TokenizerConfig, rank: int) -> None:
        super().__init__()
        self.config = config
        shared = config.unet.to_diffusers()
        unet = UNet2DConditionModel(**shared, up_block_types=config.unet.up_block_types)
        self.decoder = nn.Module()
        self.decoder.unet = get_peft_model(unet, LoraConfig(r=rank, target_modules=list(TARGETS)))
        self.decoder.controlnet = ControlNetModel(**shared)
        self.decoder.controlnet.controlnet_cond_embedding = ConditionEmbedding(
            config.encoder.codebook_dim,
            config.condition_channels,
            config.unet.block_out_channels[0],
        )
        self.vae = AutoencoderKL(**config.vae.to_diffusers())
        self.scheduler = DDIMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"
        )

    def predict(self, x_t: Tensor, timestep: Tensor, quantized: Tensor) -> Tensor:
        """One noise prediction, everything worked out anew."""
        unet, size, side = self.config.unet, self.config.image_px, x_t.shape[-1]
        condition = nn.functional.interpolate(quantized.float(), (side, side), mode="nearest")
        text = x_t.new_zeros(len(x_t), 77, unet.cross_attention_dim)
        added = {
            "text_embeds": x_t.new_zeros(len(x_t), unet.pooled_text_dim),
            "time_ids": x_t.new_tensor([[size, size, 0, 0, size, size]]).repeat(len(x_t), 1),
        }
        down, mid = self.decoder.controlnet(
            x_t,
            timestep,
            encoder_hidden_states=text,
            added_cond_kwargs=added,
            controlnet_cond=condition.to(x_t.dtype),
            return_dict=False,
        )
        return self.decoder.unet(
            x_t,
            timestep,
            encoder_hidden_states=text,
            added_cond_kwargs=added,
            down_block_additional_residuals=down,
            mid_block_additional_residual=mid,
            return_dict=False,
        )[0]

    @torch.no_grad()
    def decode(self, quantized: Tensor, noises: list[Tensor]) -> Tensor:
        """Three steps from the first noise, one fresh noise after each, then the VAE."""
        timesteps = torch.tensor([999, 499, 124, 0], device=quantized.device)
        x_t = noises[0]
        for step in range(3):
            t = timesteps[step]
            alpha = self.scheduler.alphas_cumprod.to(x_t.device)[t]
            eps = self.predict(x_t, t, quantized)
            x0 = (x_t - (1 - alpha).sqrt() * eps) / alpha.sqrt()
            x_t = self.scheduler.add_noise(x0, noises[step + 1], timesteps[step + 1].view(1))
            x_t = x_t.to(quantized.dtype)
        raw = (x0 / self.config.vae.scaling_factor).to(self.vae.dtype)
        return self.vae.decode(raw).sample.clip(-1, 1)


def build(config: TokenizerConfig, rank: int) -> tuple[Reference, dict[str, Tensor]]:
    """The reference with random weights in which every part matters, and its official file."""
    torch.manual_seed(0)
    reference = Reference(config, rank).requires_grad_(False).eval()
    for name, parameter in reference.named_parameters():
        if "lora_B" in name or "controlnet_down" in name or "controlnet_mid" in name:
            parameter.normal_(std=0.02)
        if "cond_embedding.conv_out" in name:
            parameter.normal_(std=0.1)
    vq = Tokenizer(config)
    del vq.decoder, vq.vae
    z_channels, dim = config.encoder.z_channels, config.encoder.codebook_dim
    unused = {
        "post_quant_conv.weight": torch.zeros(z_channels, dim, 1, 1),
        "post_quant_conv.bias": torch.zeros(z_channels),
    }
    return reference, vq.state_dict() | unused | reference.state_dict()


class Constant(nn.Module):
    """A cross-attention layer over zero text states, as the constant it is."""

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.value = zero_text_output(attention)

    def forward(self, x: Tensor, **_: Any) -> Tensor:
        """(B, N, D) → the constant at every position."""
        return self.value.to(x).expand_as(x)


def without_text(tokenizer: Tokenizer) -> Tokenizer:
    """Cross-attention replaced, nothing else."""
    for block in tokenizer.decoder.modules():
        if type(block).__name__ == "BasicTransformerBlock":
            block.attn2, block.norm2 = Constant(block.attn2), nn.Identity()
    return tokenizer


def folded(tokenizer: Tokenizer, *, vae: bool = False, channels_last: bool = False) -> Tokenizer:
    """What optimize_for_inference does, up to a point."""
    tokenizer.decoder.fold()
    if vae:
        fold_vae(tokenizer.vae)
    if channels_last:
        tokenizer.to(memory_format=torch.channels_last)
    return tokenizer


def speed(options: argparse.Namespace) -> None:
    """Print the table of steps from the official style to layton."""
    config, dtype = sizes(options.divide, options.image_px), getattr(torch, options.dtype)
    reference, official = build(config, rank=64 // options.divide)
    reference.to(options.device, dtype)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "official.pth"
        torch.save({"model": official}, file)
        del official

        def load() -> Tokenizer:
            return Tokenizer.from_pretrained(
                file, config=config, dtype=dtype, device=options.device
            ).requires_grad_(False)

        tokenizers = {
            "LoRA merged, condition once, no last noise": load(),
            "+ text states' constant": without_text(load()),
            "+ time projections, doublings, qkv": folded(load()),
            "+ VAE folded": folded(load(), vae=True),
            "+ channels_last": folded(load(), vae=True, channels_last=True),
            "+ packed linear layers (layton)": load().optimize_for_inference(),
        }
        if options.compile:
            tokenizers["layton, compiled"] = load().optimize_for_inference(compile=True)
    generator = torch.Generator().manual_seed(1)
    codes = torch.randint(0, 16384, (options.batch, config.num_tokens), generator=generator)
    shape = (options.batch, 4, config.image_px // 8, config.image_px // 8)
    noises = [torch.randn(shape, generator=generator).to(options.device, dtype) for _ in range(4)]
    codes = codes.to(options.device)
    quantized = tokenizers["+ VAE folded"].quantized(codes).to(dtype)

    def run(tokenizer: Tokenizer) -> Callable[[], Tensor]:
        def decode() -> Tensor:
            recorded = iter(noises)
            latents = tokenizer.decode_latents(codes, draw_noise=lambda: next(recorded))
            return tokenizer.latents_to_images(latents)

        return decode

    rows = {"official style": lambda: reference.decode(quantized, noises)}
    rows |= {name: run(tokenizer) for name, tokenizer in tokenizers.items()}
    clock = time.process_time if options.cpu_time else time.perf_counter
    seconds, images = interleaved(rows, options.repeats, options.device, clock)
    clocked = "CPU time" if options.cpu_time else "wall time"
    print(
        f"{options.device} {options.dtype}, {torch.get_num_threads()} threads, SDXL / "
        f"{options.divide}, {config.image_px} px, batch {options.batch}, 3 steps, {clocked}, torch "
        f"{torch.__version__}\n\n| | images/s | ratio | median s (min … max) | max abs Δ |"
        "\n|---|---|---|---|---|"
    )
    base = statistics.median(seconds["official style"])
    for name, values in seconds.items():
        median = statistics.median(values)
        delta = (images[name].float() - images["official style"].float()).abs().max().item()
        print(
            f"| {name} | {options.batch / median:.3f} | {base / median:.2f} | "
            f"{median:.3f} ({min(values):.3f} … {max(values):.3f}) | {delta:.0e} |"
        )


def interleaved(
    rows: dict[str, Callable[[], Tensor]],
    repeats: int,
    device: str,
    clock: Callable[[], float],
) -> tuple[dict[str, list[float]], dict[str, Tensor]]:
    """Seconds of every row, the rows in turn; the first round warms up and gives the images."""
    synchronize = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    images: dict[str, Tensor] = {}
    for repeat in range(repeats + 1):
        for name, decode in rows.items():
            synchronize()
            start = clock()
            result = decode()
            synchronize()
            if repeat:
                seconds[name].append(clock() - start)
            else:
                images[name] = result
    return seconds, images


def random_file(config: TokenizerConfig, rank: int, dtype: torch.dtype, file: Path) -> None:
    """Write an official file with random weights of that dtype, drawn one tensor at a time.

    Never holds more than the file: at SDXL's size a model in float32 beside it would not fit.
    """
    with torch.device("meta"):
        layout = official_layout(Tokenizer(config).state_dict(), rank=rank)
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, meta in layout.items():
        if meta.ndim < 2:
            value = torch.full(meta.shape, float("norm" in name and name.endswith("weight")))
        else:
            value = torch.randn(meta.shape, generator=generator) / meta[0].numel() ** 0.5
        state[name] = value.to(dtype)
    torch.save({"model": state}, file)


def memory(options: argparse.Namespace) -> None:
    """Print what a process holds at most while it loads the official file and decodes an image.

    Anonymous memory: pages of the mapped file, which the system takes back when it needs them, are
    not counted. Sampled from /proc every 5 ms, so on Linux only. One step, as Layton-H takes.
    """
    config = sizes(options.divide, options.image_px)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "official.pth"
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as pool:  # its memory goes with it
            dtype = getattr(torch, options.dtype)
            pool.submit(random_file, config, 64 // options.divide, dtype, file).result()
        print(f"the file, {options.dtype}: {file.stat().st_size / 2**20:.0f} MiB", flush=True)
        for name in options.rows or ("nothing", "official", "float32", "bfloat16", "float16"):
            try:
                with ProcessPoolExecutor(1, mp_context=context) as pool:
                    peak, loaded, took = pool.submit(_peak, name, str(file), options).result()
            except BrokenProcessPool:
                print(f"{name:10} stopped above {options.limit_gib:.0f} GiB", flush=True)
                continue
            print(
                f"{name:10} {peak:7.0f} MiB; {loaded:.0f} MiB until loaded; decoding {took:.1f} s",
                flush=True,
            )


def _peak(name: str, file: str, options: argparse.Namespace) -> tuple[float, float, float]:
    # → (peak, peak until the weights are in place, seconds of decoding)
    config = sizes(options.divide, options.image_px)
    side = config.image_px // 8
    peak, loaded, took, done = 0, 0, 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while peak == 0 or not done.wait(0.005):
            status = Path("/proc/self/status").read_text()
            peak = max(peak, int(status.partition("RssAnon:")[2].split()[0]))
            if peak > options.limit_gib * 2**20:
                os._exit(1)  # before the machine runs out

    watcher = threading.Thread(target=watch)
    watcher.start()
    if name == "official":
        # as released: build, read the checkpoint beside it, copy in
        reference = Reference(config, 64 // options.divide).requires_grad_(False).eval()
        state = torch.load(file, map_location="cpu", weights_only=True)["model"]
        reference.load_state_dict({k: state[k] for k in reference.state_dict()})
        del state
        loaded, start = peak, time.perf_counter()
        reference.decode(torch.randn(1, 8, 16, 16), [torch.randn(1, 4, side, side)] * 4)
        took = time.perf_counter() - start
    elif name != "nothing":
        tokenizer = Tokenizer.from_pretrained(file, config=config, dtype=getattr(torch, name))
        tokenizer.optimize_for_inference()
        loaded, start = peak, time.perf_counter()
        images = tokenizer.decode(torch.zeros(1, 256, dtype=torch.long), steps=1)
        took = time.perf_counter() - start
        if not images.isfinite().all():
            raise ValueError(f"{name}: the image is not finite")
    done.set()
    watcher.join()
    return peak / 1024, loaded / 1024, took


def precision(options: argparse.Namespace) -> None:
    """Print the error of half precision against float32, same weights and noise."""
    config = sizes(options.divide, options.image_px)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "official.pth"
        torch.save({"model": build(config, rank=64 // options.divide)[1]}, file)
        codes = torch.randint(0, 16384, (2, 256), generator=torch.Generator().manual_seed(1))
        images = {
            name: Tokenizer.from_pretrained(file, config=config, dtype=getattr(torch, name))
            .optimize_for_inference()
            .decode(codes, generator=[0, 1])
            for name in ("float32", "bfloat16", "float16")
        }
    spread = images["float32"].std().item()
    print(f"float32 images: standard deviation {spread:.3f}")
    for name in ("bfloat16", "float16"):
        error = images[name] - images["float32"]
        print(f"{name}: rms {error.square().mean().sqrt():.1e}, max {error.abs().max():.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--divide", type=int, default=4)
    parser.add_argument("--image-px", type=int, default=256)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--cpu-time", action="store_true", help="for a machine that is busy")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--rows", nargs="+", help="rows of the memory table (official, bfloat16 …)")
    parser.add_argument("--limit-gib", type=float, default=21.0, help="of memory, a process")
    parser.add_argument("--precision", action="store_true")
    options = parser.parse_args()
    task = memory if options.memory else precision if options.precision else speed
    task(options)


if __name__ == "__main__":
    main()

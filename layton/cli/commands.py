"""The commands of `layton`: parse, call the library, write files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from layton.errors import ConfigError
from layton.training import extract, train

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from layton.tokenizer import Tokenizer

__all__ = ["app"]

_MAX_SEED = (1 << 63) - 1

app = typer.Typer(
    help="Encode images to codes and decode them, with a latent consistency tokenizer.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Images = Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")]
Output = Annotated[Path, typer.Option("-o", "--output", help="File or folder for the result.")]
Model = Annotated[
    str, typer.Option(help="A shipped model, a file, a folder, or a hub id; see docs/layton.md.")
]
Name = Annotated[
    str | None,
    typer.Option(help="The published model that a file holds: layton-h, layton-t-star …"),
]
Sdxl = Annotated[
    Path | None, typer.Option(help="A diffusers SDXL folder, for parts that the file lacks.")
]
Lora = Annotated[Path | None, typer.Option(help="An acceleration LoRA to merge.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Dtype = Annotated[str, typer.Option(help="Precision of the decoder: float32, bfloat16 or float16.")]
Batch = Annotated[int, typer.Option(min=1, help="Images per batch.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Decoder steps; default: the model's own.")]
Seed = Annotated[int, typer.Option(min=0, max=_MAX_SEED, help="Image i is decoded with seed + i.")]


@app.command()
def encode(
    images: Images,
    output: Output,
    model: Model = "layton-tiny",
    name: Name = None,
    sdxl: Sdxl = None,
    device: Device = "cpu",
    batch_size: Batch = 8,
) -> None:
    """Encode images to an npz of codes."""
    from layton.files import CodesFile, find_images, unique_names, write_codes

    paths = find_images(images)
    if output.is_dir():
        raise ConfigError(str(output), "is a folder", f"Name a file, such as {output}/codes.npz.")
    _keep(paths, [output])
    output.parent.mkdir(parents=True, exist_ok=True)
    tokenizer = _load(model, name, sdxl, None, device, "float32")
    codes = _encoded(tokenizer, paths, batch_size)
    content = CodesFile(
        codes=codes,
        names=unique_names(paths),
        codebook_size=tokenizer.config.encoder.codebook_size,
    )
    write_codes(output, content)
    images_done = _count(len(paths), "image")
    typer.echo(f"Wrote the codes of {images_done} to {output} ({codes.shape[1]} per image).")


@app.command()
def decode(
    codes: Annotated[Path, typer.Argument(help="A codes file, from `layton encode`.")],
    output: Output,
    model: Model = "layton-tiny",
    name: Name = None,
    sdxl: Sdxl = None,
    lora: Lora = None,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    batch_size: Batch = 1,
    steps: Steps = None,
    seed: Seed = 0,
) -> None:
    """Decode an npz of codes to a folder of PNG files."""
    from layton.files import read_codes

    content = read_codes(codes)
    tokenizer = _load(model, name, sdxl, lora, device, dtype)
    size = tokenizer.config.encoder.codebook_size
    if content.codebook_size != size:
        raise ConfigError(
            str(codes),
            f"made with a codebook of {content.codebook_size}, the model has {size}",
            "Decode with the model that encoded.",
        )
    tokenizer.quantized(
        content.codes.to(tokenizer.device)
    )  # every code is checked before work starts
    _decode(tokenizer, content.codes, content.names, output, batch_size, steps, seed)
    typer.echo(f"Wrote {_count(len(content.names), 'image')} to {output}/.")


@app.command()
def roundtrip(
    images: Images,
    output: Output,
    model: Model = "layton-tiny",
    name: Name = None,
    sdxl: Sdxl = None,
    lora: Lora = None,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    batch_size: Batch = 1,
    steps: Steps = None,
    seed: Seed = 0,
) -> None:
    """Encode images and decode them again, to a folder of PNG files."""
    from layton.files import find_images, unique_names

    paths = find_images(images)
    names = unique_names(paths)
    _keep(paths, [output / f"{each}.png" for each in names])
    output.mkdir(parents=True, exist_ok=True)
    tokenizer = _load(model, name, sdxl, lora, device, dtype)
    tokenizer.timesteps(steps)  # raises for an impossible number, before the encoding
    codes = _encoded(tokenizer, paths, batch_size)
    _decode(tokenizer, codes, names, output, batch_size, steps, seed)
    bits = codes.shape[1] * (tokenizer.config.encoder.codebook_size - 1).bit_length()
    typer.echo(
        f"Wrote {_count(len(paths), 'reconstruction')} to {output}/ ({bits // 8} bytes per image)."
    )


app.command()(train)
app.command()(extract)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _keep(inputs: list[Path], outputs: list[Path]) -> None:
    """Refuse to overwrite an image that is read."""
    both = {path.resolve() for path in inputs} & {path.resolve() for path in outputs}
    if both:
        raise ConfigError(str(min(both)), "is an input and an output", "Choose another -o.")


def _load(
    model: str, name: str | None, sdxl: Path | None, lora: Path | None, device: str, dtype: str
) -> Tokenizer:
    from layton.tokenizer import Tokenizer

    tokenizer = Tokenizer.from_pretrained(
        model, name=name, sdxl=sdxl, lora=lora, device=_device(device), dtype=_dtype(dtype)
    )
    return tokenizer.optimize_for_inference()


def _dtype(name: str) -> torch.dtype:
    import torch

    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if name not in known:
        raise ConfigError("dtype", f"{name} is unknown", f"Known: {', '.join(known)}.")
    return known[name]


def _device(name: str) -> torch.device:
    """Return the device of that name, if torch can use it here."""
    import torch

    available = {"cpu": 1, "mps": int(torch.backends.mps.is_available())}
    available["cuda"] = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if available[kind])
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(
            f"device {name}", "there is no such device", "Use auto, cpu, cuda or mps."
        ) from None
    if device.type not in available:
        raise ConfigError(f"device {name}", "is not supported", "Use auto, cpu, cuda or mps.")
    if not available[device.type]:
        raise ConfigError(f"device {name}", "torch finds no such GPU here", "Use --device cpu.")
    if (device.index or 0) >= available[device.type]:
        found = f"torch finds {_count(available[device.type], 'device')} of this kind"
        raise ConfigError(f"device {name}", found, f"Count from {device.type}:0.")
    return device


def _encoded(tokenizer: Tokenizer, paths: list[Path], batch_size: int) -> torch.Tensor:
    import torch

    from layton.files import read_image

    def codes() -> Iterator[torch.Tensor]:
        for start in _progress("encoding", range(0, len(paths), batch_size)):
            batch = paths[start : start + batch_size]
            images = torch.stack([read_image(p, tokenizer.config.image_px) for p in batch])
            yield tokenizer.encode(images.to(tokenizer.device)).cpu()

    return torch.cat(list(codes()))


def _decode(
    tokenizer: Tokenizer,
    codes: torch.Tensor,
    names: tuple[str, ...],
    folder: Path,
    batch_size: int,
    steps: int | None,
    seed: int,
) -> None:
    from layton.files import write_image

    folder.mkdir(parents=True, exist_ok=True)
    for start in _progress("decoding", range(0, len(codes), batch_size)):
        batch = codes[start : start + batch_size].to(tokenizer.device)
        seeds = list(range(seed + start, seed + start + len(batch)))
        images = tokenizer.decode(batch, generator=seeds, steps=steps)
        for name, image in zip(names[start : start + batch_size], images, strict=True):
            write_image(image, folder / f"{name}.png")


def _progress(title: str, steps: range) -> Iterator[int]:
    from rich.console import Console
    from rich.progress import track

    # on standard error, and only for people: logs and pipes stay clean
    yield from track(steps, title, console=Console(stderr=True), disable=not sys.stderr.isatty())

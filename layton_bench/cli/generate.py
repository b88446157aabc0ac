"""`layton-bench generate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from layton_bench import datasets, machine, run as running
from layton_bench.cli.console import BarReporter, State, print_line, print_note
from layton_bench.cli.options import Device, Dtype, Settings
from layton_bench.errors import UserError
from layton_bench.tasks import geneval as task
from layton_bench.types import Prompt

DEFAULT_BATCH_SIZE = 4


def generate(
    context: typer.Context,
    model: Annotated[str, typer.Option(help="Generator. `list models` shows all models.")],
    prompts: Annotated[
        list[str] | None,
        typer.Argument(help="Prompts. With -, read them from stdin, one per line."),
    ] = None,
    prompt_file: Annotated[
        Path | None, typer.Option("--prompts", help="File of prompts: .txt, .jsonl, .csv …")
    ] = None,
    class_id: Annotated[
        list[int] | None, typer.Option("--class", help="Number of a class to draw. Repeatable.")
    ] = None,
    folder: Annotated[Path, typer.Option("--out", "-o", help="Folder for the images.")] = Path(
        "generated"
    ),
    images_per_prompt: Annotated[
        int | None,
        typer.Option(
            "-n", min=1, help="Images per prompt.", show_default="1; 4 with --layout geneval"
        ),
    ] = None,
    layout: Annotated[
        Literal["files", "geneval"],
        typer.Option(help="One folder of images, or GenEval's folders and its prompts."),
    ] = "files",
    seed: Annotated[int, typer.Option(help="Another seed gives other images.")] = 0,
    with_grid: Annotated[
        bool, typer.Option("--grid", help="Also write grid.png, which shows all images.")
    ] = False,
    device: Device = "auto",
    batch_size: Annotated[str, typer.Option(help="Images per batch: auto or N.")] = "auto",
    dtype: Dtype = "float32",
    setting: Settings = None,
) -> None:
    """Draw images from prompts. An image that exists already is not drawn again.

    Each PNG file contains its prompt, seed and settings. A folder holds images of the same
    settings: --set, --dtype and weights.
    """
    state: State = context.obj
    if layout == "geneval" and (prompts or class_id):
        remedy = "Give --prompts FILE in GenEval's format, or no prompts for the official ones."
        raise UserError("--layout geneval", "it needs prompts that say what to judge", remedy)
    artist = running.find_artist(state.plugins, model, setting or (), device=device, dtype=dtype)
    if layout == "geneval":
        pictures = running.plan_layout(
            task.read_prompts(prompt_file) if prompt_file else task.official_prompts(), folder,
            images_per_prompt=images_per_prompt or task.IMAGES_PER_PROMPT, seed=seed,
        )  # fmt: skip
    else:
        pictures = running.plan_pictures(
            collect_prompts(prompts or [], prompt_file, class_id or []),
            lambda *image: folder / running.file_name(*image, seed=seed),
            images_per_prompt=images_per_prompt or 1, seed=seed,
        )  # fmt: skip
    size = machine.parse_batch_size(batch_size) or DEFAULT_BATCH_SIZE
    done = running.draw(artist, pictures, folder, batch_size=size, reporter=BarReporter())
    for path in done.paths:
        print_line(str(path))
    if with_grid and done.paths:
        running.write_grid(done.paths, folder / "grid.png")
        print_line(str(folder / "grid.png"))
    for failure in done.failures:
        print_note(f"Not drawn: {failure.key}: {failure.reason}")
    if done.failures:
        raise typer.Exit(2)


def collect_prompts(words: list[str], file: Path | None, classes: list[int]) -> list[Prompt]:
    """Return prompts from arguments, stdin, a file and classes, in this order."""
    texts = [text for word in words for text in (_lines_of_stdin() if word == "-" else [word])]
    if any(not text.strip() for text in words if text != "-"):
        raise UserError("a prompt", "it is empty", "Say what to draw.")
    texts = [text for text in texts if text.strip()]
    if file is not None:
        texts += [item.captions[0] for item in datasets.open_prompts(file).items()]
    prompts = [Prompt(key=f"{i:05d}", text=text) for i, text in enumerate(texts)]
    prompts += [Prompt(key=f"{len(texts) + i:05d}", class_id=c) for i, c in enumerate(classes)]
    if not prompts:
        raise UserError("generate", "there is no prompt", "Name one, or use --prompts or --class.")
    return prompts


def _lines_of_stdin() -> list[str]:
    if sys.stdin is None:  # closed
        return []
    binary = getattr(sys.stdin, "buffer", None)
    return machine.lines_of(
        sys.stdin.read() if binary is None else machine.decode_text(binary.read(), name="stdin")
    )

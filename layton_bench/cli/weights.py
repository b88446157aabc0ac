"""`layton-bench weights`: list, pull, add, verify, path."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from layton_bench import weights
from layton_bench.cli.command import Command
from layton_bench.cli.console import State, err, print_line
from layton_bench.cli.options import AsJson
from layton_bench.cli.tables import print_rows
from layton_bench.errors import MissingWeightsError

_log = logging.getLogger(__name__)

app = typer.Typer(help="Install and check the weights of metrics and models.", no_args_is_help=True)

Names = Annotated[list[str], typer.Argument(help="Names from `layton-bench weights list`.")]


@app.command("list", cls=Command)
def list_weights(context: typer.Context, as_json: AsJson = False) -> None:
    """List all weights: name, size, licence, and whether they are installed."""
    rows = [
        {
            "name": status.entry.name,
            "installed": _installed(status),
            "size": _size(status.entry.size_bytes),
            "licence": status.entry.licence,
            "used by": ", ".join(status.entry.used_by),
        }
        for status in _store(context).statuses()
    ]
    print_rows(rows, as_json=as_json)


@app.command(cls=Command)
def pull(context: typer.Context, names: Names) -> None:
    """Download, verify and install weights, and all that they need.

    An interrupted download is continued.
    """
    store = _store(context)
    with _progress() as bar:
        for name in store.with_needs(names):
            _pull_one(store, name, bar)


@app.command(cls=Command)
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name from `layton-bench weights list`.")],
    file: Annotated[
        Path, typer.Argument(help="The file, or the folder if the entry has several files.")
    ],
    trust_pickle: Annotated[
        bool,
        typer.Option(
            help="Load a pickle that holds more than tensors, and keep its tensors as safetensors."
            " Such a file can run any code. Use it only for files that you trust."
        ),
    ] = False,
) -> None:
    """Install weights from a file. Results with your own weights of a model say so."""
    state: State = context.obj
    store = _store(context)
    # a metric with other weights would be another metric
    may_be_own = name not in state.plugins.weights_of_metrics()
    path = store.add(name, file, trust_pickle=trust_pickle, may_be_own=may_be_own)
    print_line(str(path))
    if store.is_own(name):
        _log.warning("%s: these are your own weights (SHA-256 %s…)", name, store.digest(name)[:12])


@app.command(cls=Command)
def verify(
    context: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Names to verify.", show_default="all installed weights"),
    ] = None,
) -> None:
    """Read installed weights again and compare their digests. Exit code 2 if one has changed."""
    store = _store(context)
    chosen = names or [s.entry.name for s in store.statuses() if s.is_installed]
    results = [store.verify(name) for name in chosen]
    for status in results:
        print_line(f"{status.entry.name}: {_verdict(status)}")
    bad = [s.entry.name for s in results if not s.is_installed]
    if bad:
        raise MissingWeightsError(
            f"weights {', '.join(bad)}", "not sound", f"run layton-bench weights pull {bad[0]}"
        )


@app.command(cls=Command)
def path(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(help="Name to find.", show_default="the folder of all weights")
    ] = None,
) -> None:
    """Print the path of weights."""
    store = _store(context)
    print_line(str(store.root if name is None else store.find(name)))


def _pull_one(store: weights.WeightsStore, name: str, bar: Progress) -> None:
    tasks: dict[str, TaskID] = {}

    def report(file: str, done: int, total: int | None) -> None:
        if file not in tasks:
            tasks[file] = bar.add_task(f"{name} {file}")
        bar.update(tasks[file], completed=done, total=total)

    print_line(str(store.pull(name, report)))


def _store(context: typer.Context) -> weights.WeightsStore:
    state: State = context.obj
    return weights.WeightsStore(state.plugins.weights.entries)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=err,
    )


def _installed(status: weights.WeightsStatus) -> str:
    if not status.is_installed:
        return "no"
    return "own weights" if status.is_own else "yes"


def _verdict(status: weights.WeightsStatus) -> str:
    if status.problem or not status.is_installed:
        return status.problem or "not installed"
    return "unchanged (own weights)" if status.is_own else "unchanged"


def _size(size_bytes: int | None) -> str:
    return "?" if size_bytes is None else f"{size_bytes / 2**20:,.0f} MiB"

"""What every command shares: the consoles, the progress bar, the plugins, the error message."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import sys
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.measure import Measurement
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment
from rich.text import Text

from layton_bench import registry
from layton_bench.cli.streams import nowhere
from layton_bench.errors import UserError

_log = logging.getLogger(__name__)

_NARROWEST, _PIPED = 40, 160


def _width(stream: TextIO | None) -> int | None:
    """Return the width of a stream's tables; None where the terminal says it."""
    given = os.environ.get("COLUMNS", "")
    columns = int(given) if given.isdigit() else 0
    if columns:
        return max(columns, _NARROWEST)  # below, tables would lose their cells
    os.environ.pop("COLUMNS", None)  # a terminal that says 0 does not know; rich would believe it
    return None if stream is not None and stream.isatty() else _PIPED


# Escape sequences and marks that turn the direction of writing: a terminal would obey them.
_OBEYED = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"},
    0x7F: 0x2421,
    **dict.fromkeys([*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD),
}
_NOT_JSON = re.compile(f"[{''.join(map(chr, _OBEYED))}\ud800-\udfff]")


def visible(text: str) -> str:
    """Return a text whose control characters a terminal shows and does not obey."""
    return text.translate(_OBEYED)


class _Shown:
    """A renderable whose control characters are shown."""

    def __init__(self, inner: ConsoleRenderable) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self._inner, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, self._inner)


class _ShowControls(RenderHook):
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Shown(renderable) for renderable in renderables]


class _Console(Console):
    """A console whose reader may leave: the rest of the output is dropped, the work goes on."""

    def on_broken_pipe(self) -> None:
        self.file = nowhere()


err = _Console(stderr=True, width=_width(sys.stderr))
out = _Console(width=_width(sys.stdout))
for _console in (err, out):
    _console.push_render_hook(_ShowControls())


def print_line(text: str) -> None:
    """Print a line of results on stdout, unchanged."""
    out.print(Text(text), soft_wrap=True)


def print_note(text: str) -> None:
    """Print a line on stderr, unchanged."""
    err.print(Text(text), soft_wrap=True)


def print_text(text: str) -> None:
    """Print a whole text on stdout, such as a table in Markdown or CSV."""
    out.out(text, end="", highlight=False)


def print_json(value: Any) -> None:
    """Print a value as JSON on stdout, with null for numbers that are not finite."""
    print_json_text(json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False))


def print_json_text(text: str) -> None:
    """Print a JSON text on stdout. Characters that stdout cannot show are escaped as in JSON."""
    text = _NOT_JSON.sub(_escaped, text)
    encoding = getattr(out.file, "encoding", None) or "utf-8"
    if not encoding.lower().startswith("utf"):
        text = re.sub(r"[^\x00-\x7f]", _escaped, text)
    out.out(text, highlight=False)


def _escaped(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1]


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value


def show_error(error: UserError) -> None:
    """Print what is wrong, why, and what to do, on stderr."""
    err.print("[bold red]Error:[/] ", end="")
    print_note(f"{error.thing}: {error.reason}.")
    print_note(error.remedy)


@dataclass
class State:
    """The options before the command, and the command line itself."""

    extra_plugins: tuple[str, ...] = ()
    command: tuple[str, ...] = ()

    @cached_property
    def plugins(self) -> registry.Plugins:
        """Everything that is registered. Broken plugins are named once on stderr."""
        plugins = registry.Plugins(self.extra_plugins)
        for info in plugins.infos:
            if info.error is not None:
                _log.warning(
                    "plugin '%s' of %s is left out: %s", info.name, info.distribution, info.error
                )
        return plugins


class BarReporter:
    """A progress bar on stderr, with images per second and the time remaining."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._task = TaskID(0)

    def start(self, title: str, total: int) -> None:
        """Show the bar."""
        self._progress = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"), TimeRemainingColumn(), console=err,
        )  # fmt: skip
        self._task = self._progress.add_task(visible(title), total=total, rate="")
        self._progress.start()

    def advance(self, count: int) -> None:
        """Move the bar."""
        if self._progress is None:
            return
        self._progress.advance(self._task, count)
        speed = self._progress.tasks[0].speed
        rate = f"{speed:.1f} images/s" if speed else ""
        self._progress.update(self._task, rate=rate)

    def finish(self) -> None:
        """Stop the bar and leave it on the screen."""
        if self._progress is not None:
            self._progress.stop()

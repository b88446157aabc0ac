"""`layton-bench schema`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from layton_bench.cli.console import out
from layton_bench.records import json_schema

if TYPE_CHECKING:
    import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(schema)


def schema() -> None:
    """Print the JSON Schema of record.json."""
    out.out(json.dumps(json_schema(), indent=2, ensure_ascii=False), highlight=False)

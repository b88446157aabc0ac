"""`layton-bench schema`."""

from __future__ import annotations

from layton_bench.cli.console import print_json
from layton_bench.records import json_schema


def schema() -> None:
    """Print the JSON Schema of record.json."""
    print_json(json_schema())

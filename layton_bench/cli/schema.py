"""`layton-bench schema`."""

from __future__ import annotations

from layton_bench import records
from layton_bench.cli.console import print_json


def schema() -> None:
    """Print the JSON Schema of record.json."""
    print_json(records.json_schema())

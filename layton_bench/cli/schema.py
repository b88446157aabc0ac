"""`layton-bench schema`."""

from __future__ import annotations

import json

from layton_bench.cli.console import out
from layton_bench.records import json_schema


def schema() -> None:
    """Print the JSON Schema of record.json."""
    out.out(json.dumps(json_schema(), indent=2, ensure_ascii=False), highlight=False)

"""`layton-bench schema`."""

from lab import Bench
from places import ROOT


def test_the_schema_is_printed(bench: Bench) -> None:
    published = (ROOT / "docs" / "record.schema.json").read_text("utf-8")
    assert bench("schema").out == published

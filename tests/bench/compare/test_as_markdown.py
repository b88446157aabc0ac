from layton_bench.compare.as_markdown import to_markdown
from layton_bench.compare.differences import compare
from layton_bench.records.results import StoredRun


def test_markdown_shows_it(runs: tuple[StoredRun, StoredRun]) -> None:
    text = to_markdown(compare(*runs), picture="moved%20most.png")
    assert text.endswith("(moved%20most.png)\n")
    assert "![" not in to_markdown(compare(*runs))

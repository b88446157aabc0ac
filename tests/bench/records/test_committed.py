"""What lies in results/: written by the command that its README names, and by nothing else."""

import re
from collections import defaultdict

from places import ROOT

from layton_bench.leaderboard.reported import read_reported
from layton_bench.tasks.geneval import TASKS


def test_the_committed_leaderboard_is_what_the_records_say(bench) -> None:
    path = ROOT / "results" / "leaderboard.md"
    done = bench("leaderboard", "--out", ROOT / "results")
    assert done.out == path.read_text(encoding="utf-8"), (
        "stale: layton-bench leaderboard > results/leaderboard.md"
    )


def test_published_geneval_scores_are_the_means_of_their_tasks() -> None:
    rows = read_reported(ROOT / "results", "geneval")
    overall = {(r.model, r.source): r.value for r in rows if r.metric == "overall"}
    tasks: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for row in rows:
        if row.metric != "overall":
            tasks[row.model, row.source][row.metric] = row.value
    whole = {key: found for key, found in tasks.items() if key in overall}
    assert {"sd15", "sdxl", "sd3-2b-d24", "showo-256", "llamagen-t2i-xl"} <= {m for m, _ in whole}
    for key, found in whole.items():
        assert set(found) == set(TASKS), key
        # both are rounded to two digits
        assert abs(sum(found.values()) / 6 - overall[key]) < 0.0101, key


def test_the_committed_records_hold_no_path_of_a_machine() -> None:
    texts = [path.read_text("utf-8") for path in (ROOT / "results").rglob("record.json")]
    assert len(texts) > 20
    assert not [t for t in texts if re.search(r'"(/|[A-Z]:\\\\)|/(home|root|tmp|work|Users)/', t)]

"""What lies in results/: written by the command that its README names, and by nothing else."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_committed_leaderboard_is_what_the_records_say(bench) -> None:
    path = REPOSITORY / "results" / "leaderboard.md"
    done = bench("leaderboard", "--out", REPOSITORY / "results")
    assert done.out == path.read_text(encoding="utf-8"), (
        "stale: layton-bench leaderboard > results/leaderboard.md"
    )


def test_the_committed_records_hold_no_path_of_a_machine() -> None:
    texts = [path.read_text("utf-8") for path in (REPOSITORY / "results").rglob("record.json")]
    assert len(texts) > 20
    assert not [t for t in texts if re.search(r'"(/|[A-Z]:\\\\)|/(home|root|tmp|work|Users)/', t)]

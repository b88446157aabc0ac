"""kill -9 at any change of the file system: what is read afterwards is whole, and nothing is stale.

Each command is first run to its end, and its changes are counted. Then it is killed at some of
them (all, with a large ``--attacks``), each time from the same start, and run again to its end.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from kills import Ended, Nursery
from lab import file_bytes, picture
from mutation import SEED
from places import ROOT, SUPPORT
from processes import environment

from layton_bench.records import StoredRun, picture_path, read_samples, stored_runs

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")

PLUGIN = str(SUPPORT / "lab_plugin.py")
RUN = (
    "--plugin", PLUGIN, "run", "--suite", "lab-64", "--device", "cpu", "--data-root", "data",
    "--num-workers", "0", "--batch-size", "2", "--model", "lab-half",
)  # fmt: skip
SCORE = ("score", "--reference", "data/lab", "--images", "data/other", "--metric", "psnr")


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    folder = tmp_path_factory.mktemp("kills")
    paths = os.pathsep.join([str(ROOT), str(ROOT / "plugins"), str(SUPPORT)])
    made = Nursery(
        folder,
        {**environment(), "PYTHONPATH": paths, "LAYTON_BENCH_CACHE": str(folder / "cache")},
    )
    yield made
    made.close()


@pytest.fixture
def place(nursery: Nursery) -> Path:
    """An empty folder with five pictures, and five others of the same names."""
    for path in nursery.folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for folder, offset in (("lab", 0), ("other", 100)):
        (nursery.folder / "data" / folder).mkdir(parents=True)
        for number in range(5):
            path = nursery.folder / "data" / folder / f"{number}.png"
            path.write_bytes(file_bytes(picture(number + offset, (96, 80))))
    return nursery.folder


def moments(changes: int, name: str, attacks: int) -> list[int]:
    """Changes to be killed at: some, or all."""
    rng = np.random.default_rng([SEED, len(name)])
    count = min(changes, max(3, attacks // 25))
    return sorted(int(n) + 1 for n in rng.choice(changes, count, replace=False))


class Stage:
    """A state of the folder that can be had again."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._kept = folder, folder.with_name("kept")
        shutil.rmtree(self._kept, ignore_errors=True)
        shutil.copytree(folder, self._kept)

    def restore(self) -> None:
        shutil.rmtree(self._folder)
        shutil.copytree(self._kept, self._folder)


def numbers(runs: Sequence[StoredRun]) -> list[tuple[object, ...]]:
    """What a run says, apart from when it was made."""
    found = []
    for run in runs:
        record, samples = run.record, read_samples(run.folder, run.record)
        values = {name: (m.value, m.low, m.high, m.n) for name, m in record.metrics.items()}
        found.append((record.run_key, record.status, repr(values), samples.to_csv(index=False)))
        for image in record.images:
            for name in (image.reference, image.candidate):
                assert not name or picture_path(run, name) is not None
    return found


def killed(
    nursery: Nursery, words: Sequence[str], attacks: int, check: Callable[[], None]
) -> Iterator[Ended]:
    """Kill a command at each moment, check what it left, run it again; yield the second ending."""
    start = Stage(nursery.folder)
    whole = nursery(*words)
    assert whole.code == 0, whole.output
    assert whole.changes > 3
    for moment in moments(whole.changes, " ".join(words), attacks):
        start.restore()
        ended = nursery(*words, kill_at=moment)
        assert ended.code == -9, ended.output
        check()
        again = nursery(*words)
        assert again.code == 0, (moment, again.output)
        yield again


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*") if path.name.startswith((".tmp", ".images"))]


def test_a_killed_run_is_no_run(nursery: Nursery, place: Path, attacks: int) -> None:
    assert nursery(*RUN).code == 0
    control = numbers(stored_runs(place / "results"))
    shutil.rmtree(place / "results")
    shutil.rmtree(place / "cache")

    def check() -> None:
        assert numbers(stored_runs(place / "results")) in ([], control)
        listed = nursery("list", "runs")
        assert listed.code == 0
        assert "skipped" not in listed.output

    for again in killed(nursery, RUN, attacks, check):
        assert numbers(stored_runs(place / "results")) == control
        if "this run exists already" not in again.output:  # else nothing was written
            assert leftovers(place) == []


def test_a_run_that_replaces_another_loses_neither(
    nursery: Nursery, place: Path, attacks: int
) -> None:
    assert nursery(*RUN).code == 0
    control = numbers(stored_runs(place / "results"))

    def check() -> None:
        found = numbers(stored_runs(place / "results"))
        assert found in (control, control * 2)  # the old one, the new one, or for a moment both

    for _ in killed(nursery, (*RUN, "--overwrite", "always"), attacks, check):
        assert numbers(stored_runs(place / "results")) == control


def test_metrics_that_are_added_are_added_whole(
    nursery: Nursery, place: Path, attacks: int
) -> None:
    assert nursery(*RUN, "--metric", "psnr").code == 0
    (before,) = numbers(stored_runs(place / "results"))
    words = (*RUN, "--overwrite", "only-missing")

    def check() -> None:
        for found in numbers(stored_runs(place / "results")):
            assert found[2] == before[2] or "'level'" in str(found[2])

    for _ in killed(nursery, words, attacks, check):
        *older, after = numbers(stored_runs(place / "results"))
        assert older in ([], [before])  # killed when only the older one was left to be removed
        assert "'psnr'" in str(after[2])
        assert "'level'" in str(after[2])


def test_a_killed_score_is_no_run(nursery: Nursery, place: Path, attacks: int) -> None:
    assert nursery(*SCORE).code == 0
    control = numbers(stored_runs(place / "results"))
    shutil.rmtree(place / "results")

    def check() -> None:
        assert numbers(stored_runs(place / "results")) in ([], control)

    for _ in killed(nursery, SCORE, attacks, check):
        assert numbers(stored_runs(place / "results")) == control


def test_pictures_that_are_drawn_are_whole(nursery: Nursery, place: Path, attacks: int) -> None:
    words = ("generate", "--model", "scenes-random", "-n", "3", "-o", "drawn", "a cat", "a dog")
    assert nursery(*words).code == 0
    control = {path.name: path.read_bytes() for path in (place / "drawn").iterdir()}
    shutil.rmtree(place / "drawn")

    def check() -> None:
        for path in (place / "drawn").glob("*.png"):
            assert path.read_bytes() == control[path.name]

    for _ in killed(nursery, words, attacks, check):
        found = {path.name: path.read_bytes() for path in (place / "drawn").glob("[!.]*")}
        assert found == control


def test_a_page_is_the_old_one_or_the_new_one(nursery: Nursery, place: Path, attacks: int) -> None:
    assert nursery(*RUN).code == 0
    assert nursery("report", "-o", "site").code == 0
    old = tree(place / "site")
    assert nursery(*RUN, "--model", "lab-grey").code == 0
    start = Stage(place)
    assert nursery("report", "-o", "site").code == 0
    new = tree(place / "site")
    assert old != new
    start.restore()

    def check() -> None:
        assert not (place / "site").exists() or tree(place / "site") in (old, new)

    for _ in killed(nursery, ("report", "-o", "site"), attacks, check):
        assert tree(place / "site") == new


def tree(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_kill_of_the_nursery_is_what_it_says(nursery: Nursery, place: Path) -> None:
    """The attack itself: the same command makes the same changes, and is killed at the chosen."""
    first, second = (nursery("list", "runs"), nursery("list", "runs"))
    assert (first.code, first.changes) == (second.code, second.changes) == (0, 0)
    whole = nursery(*RUN)
    shutil.rmtree(place / "results")
    ended = nursery(*RUN, kill_at=1)
    assert (ended.code, ended.changes) == (-9, 1)
    assert whole.changes > 10

"""Features of references kept on disk from run to run."""

from __future__ import annotations

import logging
import multiprocessing
from pathlib import Path
from typing import Any

import feature_cases as cases
import numpy as np
import pytest
from feature_runs import N, candidates, references

from layton_bench.datasets import UNREADABLE
from layton_bench.metrics.backbones import BackboneSpec
from layton_bench.metrics.features import FeatureRows, FeatureRunner
from layton_bench.metrics.reference_cache import ReferenceCache

KEYS = [batch.keys[0] for batch in cases.batches(candidates(), references(), 1, list(range(N)))]
CONTENTS = {key: f"content of {key}" for key in KEYS}


def cache(
    folder: Path,
    fingerprint: str = "data",
    protocol: str = "canonical@1:256",
    contents: dict[str, str] | None = None,
) -> ReferenceCache:
    return ReferenceCache(
        folder, fingerprint=fingerprint, protocol=protocol, contents=contents or CONTENTS
    )


def run(folder: Path, corner: cases.Corner, order: list[int], **of: Any) -> np.ndarray:
    features = cases.runner(corner, cache=cache(folder, **of))
    rows = FeatureRows()
    for batch in cases.batches(candidates(), references(), 16, order):
        rows.add(features.references(batch, "inception-tf1", "pool3"))
    features.save()
    return rows.collect().rows


def test_a_second_run_does_no_reference_pass(tmp_path: Path) -> None:
    first, second = cases.Corner(), cases.Corner()
    whole = list(range(N))
    wanted = run(tmp_path, first, whole)
    again = run(tmp_path, second, whole[::-1])
    assert (first.images_seen, second.images_seen) == (N, 0)
    np.testing.assert_array_equal(wanted, again)


def test_two_files_that_exchange_their_names_keep_their_own_features(tmp_path: Path) -> None:
    """The fingerprint of the whole is the same."""
    wanted = run(tmp_path, cases.Corner(), list(range(N)))
    exchanged = CONTENTS | {KEYS[0]: CONTENTS[KEYS[1]], KEYS[1]: CONTENTS[KEYS[0]]}
    corner = cases.Corner()
    kept = run(tmp_path, corner, list(range(N)), contents=exchanged)
    assert corner.images_seen == 0
    np.testing.assert_array_equal(kept[[1, 0, *range(2, N)]], wanted)


def test_a_sample_whose_content_is_not_known_is_not_kept(tmp_path: Path) -> None:
    run(tmp_path, cases.Corner(), list(range(N)), contents=CONTENTS | {KEYS[3]: UNREADABLE})
    again = cases.Corner()
    run(tmp_path, again, list(range(N)), contents=CONTENTS | {KEYS[3]: UNREADABLE})
    assert again.images_seen == 16  # the batch of the one that is not kept


@pytest.mark.parametrize("changed", ["fingerprint", "protocol"])
def test_other_data_or_preprocessing_is_another_entry(tmp_path: Path, changed: str) -> None:
    run(tmp_path, cases.Corner(), list(range(N)))
    other = cases.Corner()
    run(tmp_path, other, list(range(N)), **{changed: "another"})
    assert other.images_seen == N


@pytest.mark.parametrize("file", ["w", "w/part/model.bin"])
def test_other_weights_are_another_entry(tmp_path: Path, file: str) -> None:
    seen = []
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate((b"one", b"two", b"one")):
        (tmp_path / file).write_bytes(content)
        # says when the folder was installed, not what is in it
        (tmp_path / file).with_name(".installed.json").write_text(str(number))
        corner = cases.Corner()
        spec = BackboneSpec(
            name="b", taps=("pool3",), weights=("w",), load=lambda find, device, c=corner: c
        )
        features = FeatureRunner(
            {"b": spec}, lambda name: tmp_path / name, cache=cache(tmp_path / "cache")
        )
        features.references(cases.batches(candidates(), references(), N, [0, 1])[0], "b", "pool3")
        features.save()
        seen.append(corner.images_seen)
    assert seen == [2, 2, 0]


def test_a_longer_run_adds_to_the_entry(tmp_path: Path) -> None:
    run(tmp_path, cases.Corner(), list(range(32)))
    second, third = cases.Corner(), cases.Corner()
    run(tmp_path, second, list(range(N)))
    run(tmp_path, third, list(range(N)))
    assert (second.images_seen, third.images_seen) == (32, 0)


@pytest.mark.parametrize("damage", ["truncate", "empty", "flip", "garbage"])
def test_a_damaged_entry_is_built_again_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    whole = list(range(N))
    wanted = run(tmp_path, cases.Corner(), whole)
    (file,) = tmp_path.glob("*.safetensors")
    content = bytearray(file.read_bytes())
    if damage == "truncate":
        content = content[: len(content) // 2]
    elif damage == "empty":
        content = bytearray()
    elif damage == "flip":
        content[-5] ^= 0xFF
    else:
        content = bytearray(b"garbage" * 100)
    file.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        second, third = cases.Corner(), cases.Corner()
        np.testing.assert_array_equal(run(tmp_path, second, whole), wanted)
        np.testing.assert_array_equal(run(tmp_path, third, whole), wanted)
    assert (second.images_seen, third.images_seen) == (N, 0)
    assert len([r for r in caplog.records if "are damaged" in r.message]) == 1


def _write(folder: str, part: int) -> None:
    keys = [f"{part}-{i}" for i in range(50)]
    kept = cache(Path(folder), contents={key: key for key in keys})
    kept.put(("b", "1", "tap"), keys, np.full((50, 8), part, np.float32))
    kept.save()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # forks beside threads
def test_runs_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_write, args=(str(tmp_path), p)) for p in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 6
    kept = cache(tmp_path, contents={f"{p}-{i}": f"{p}-{i}" for p in range(6) for i in range(50)})
    for part in range(6):
        rows = kept.get(("b", "1", "tap"), [f"{part}-{i}" for i in range(50)])
        assert rows is not None and (rows == part).all()


def test_a_folder_that_cannot_be_written_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        assert len(run(tmp_path / "file", cases.Corner(), [0, 1])) == 2
    assert "cannot be kept" in caplog.text

"""One pass a backbone, features by sample, and the cache of references."""

from __future__ import annotations

import logging
import multiprocessing
from pathlib import Path

import feature_cases as cases
import numpy as np
import pytest
import torch

from layton_bench.errors import ModelOutputError
from layton_bench.metrics.backbones import BackboneSpec
from layton_bench.metrics.base import MetricContext, MetricSpec
from layton_bench.metrics.features import FeatureChunk, FeatureRows, FeatureRunner
from layton_bench.metrics.reference_cache import ReferenceCache
from layton_bench.metrics.sets import frechet, inception_score, kernel, manifold

SPECS = [
    spec
    for module in (frechet, kernel, manifold, inception_score)
    for spec in module.SPECS
    if isinstance(spec, MetricSpec)
]
NEED_REFERENCES = [spec for spec in SPECS if spec.name != "is"]
N = 64


def candidates() -> torch.Tensor:
    return cases.pictures(N, 1)


def references() -> torch.Tensor:
    return cases.pictures(N, 2)


def value_of(spec: MetricSpec, size: int, order: list[int], context: MetricContext | None = None):
    metric = spec.make(context or cases.context())
    for batch in cases.batches(candidates(), references(), size, order):
        metric.update(batch)
    return metric.compute()


# every metric of features


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_batch_size_and_order_do_not_matter(spec: MetricSpec) -> None:
    forward, shuffled = list(range(N)), np.random.default_rng(0).permutation(N).tolist()
    wanted = value_of(spec, N, forward)
    assert wanted.value is not None and np.isfinite(wanted.value) and wanted.n == N
    assert value_of(spec, 7, forward) == wanted == value_of(spec, 5, shuffled)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_parts_merge_to_the_whole(spec: MetricSpec) -> None:
    wanted = value_of(spec, 16, list(range(N)))
    parts = []
    for order in ([40, 3, 50], list(range(4, 40)), [0, 1, 2], [*range(41, 50), *range(51, N)]):
        part = spec.make(cases.context())  # as in a process of its own
        for batch in cases.batches(candidates(), references(), 16, order):
            part.update(batch)
        parts.append(part)
    moved = spec.make(cases.context())
    moved.load_state(parts[0].state())  # as after a pickle
    for part in parts[1:]:
        moved.merge(part)
    assert moved.compute() == wanted
    assert moved.per_sample() == {}


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_few_samples_give_a_reason_and_no_number(spec: MetricSpec) -> None:
    for n in (0, 1):
        value = value_of(spec, 8, list(range(n)))
        assert (value.value, value.low, value.n) == (None, None, n)
        assert value.note.startswith("needs ") and value.note.endswith(f"has {n}")


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_all_images_the_same_give_a_finite_value(spec: MetricSpec) -> None:
    metric = spec.make(cases.context())
    one = cases.pictures(1, 3).expand(N, -1, -1, -1)
    for batch in cases.batches(one, one, 16, list(range(N))):
        metric.update(batch)
    value = metric.compute()
    assert value.value is not None and np.isfinite(value.value)
    if spec.direction == "lower":
        assert value.value == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_a_better_set_is_better(spec: MetricSpec) -> None:
    """Candidates near the references against candidates of another distribution."""
    if spec.name in ("is", "density"):
        pytest.skip("does not measure nearness alone")
    near = (references().int() + 2).clamp(max=255).to(torch.uint8)
    values = []
    for images in (near, candidates() // 4):
        metric = spec.make(cases.context())
        metric.update(cases.batches(images, references(), N, list(range(N)))[0])
        values.append(metric.compute().value)
    assert (values[0] < values[1]) == (spec.direction == "lower")


def test_the_interval_holds_the_value() -> None:
    for spec in SPECS:
        value = value_of(spec, 16, list(range(N)))
        if value.low is not None:
            assert value.low <= value.value <= value.high
        else:
            assert spec.name in {"kid", "clean-kid", "fid-inf", "is"}, spec.name


def test_small_sets_are_marked() -> None:
    marked = {spec.name: value_of(spec, 16, list(range(N))).note for spec in SPECS}
    for name in ("fid", "clean-fid", "fid-pytorch", "sfid", "fd-dinov2", "is"):
        assert marked[name] == f"biased, n={N}"


def test_no_references_at_all_give_a_reason() -> None:
    for spec in NEED_REFERENCES:
        metric = spec.make(cases.context())
        metric.update(cases.batches(candidates(), None, N, list(range(N)))[0])
        assert metric.compute().value is None


# one pass


def test_each_backbone_runs_once_a_batch_for_all_metrics() -> None:
    corner = cases.Corner()
    context = cases.context(corner)
    shared = [spec for spec in SPECS if spec.signature.get("resize") == "tf1"]
    assert len(shared) >= 8
    metrics = [spec.make(context) for spec in shared]
    for batch in cases.batches(candidates(), references(), 16, list(range(N))):
        for metric in metrics:
            metric.update(batch)
    assert corner.images_seen == 2 * N


def test_rows_are_held_once() -> None:
    context = cases.context()
    metrics = [spec.make(context) for spec in SPECS if spec.name in ("fid", "kid", "recall")]
    for batch in cases.batches(candidates(), references(), 16, list(range(N))):
        for metric in metrics:
            metric.update(batch)
    states = [metric.state() for metric in metrics]
    assert states[0]["candidates"] is states[1]["candidates"] is states[2]["candidates"]
    with pytest.raises(ValueError, match="read-only"):
        states[0]["candidates"][0, 0] = 1


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_features_that_are_not_finite_are_named(bad: float) -> None:
    def backbone(images: torch.Tensor) -> dict[str, torch.Tensor]:
        rows = torch.ones(len(images), 4)
        rows[2, 1] = bad
        return {"pool3": rows}

    spec = BackboneSpec(
        name="inception-tf1", taps=("pool3",), weights=(), load=lambda find, device: backbone
    )
    features = FeatureRunner({"inception-tf1": spec}, Path)
    metric = SPECS[0].make(MetricContext(features=features))
    with pytest.raises(ModelOutputError, match=r"'inception-tf1' returned pool3 .* for '0002'"):
        metric.update(cases.batches(candidates(), references(), 8, list(range(8)))[0])


def test_a_sample_given_twice_counts_once() -> None:
    rows = FeatureRows()
    rows.add(FeatureChunk(keys=("b", "a"), rows=np.array([[1.0], [2.0]], np.float32)))
    rows.add(FeatureChunk(keys=("b",), rows=np.array([[3.0]], np.float32)))
    collected = rows.collect()
    assert collected.keys == ("a", "b") and collected.rows.ravel().tolist() == [2, 3]
    with pytest.raises(ValueError, match="2 keys for rows"):
        FeatureChunk(keys=("a", "b"), rows=np.zeros((3, 1), np.float32))


# the cache


def cache(
    folder: Path, fingerprint: str = "data", protocol: str = "canonical@1:256"
) -> ReferenceCache:
    return ReferenceCache(folder, fingerprint=fingerprint, protocol=protocol)


def run(folder: Path, corner: cases.Corner, order: list[int], **of: str) -> np.ndarray:
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
    kept = cache(Path(folder))
    keys = [f"{part}-{i}" for i in range(50)]
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
    kept = cache(tmp_path)
    for part in range(6):
        rows = kept.get(("b", "1", "tap"), [f"{part}-{i}" for i in range(50)])
        assert rows is not None and (rows == part).all()


def test_a_folder_that_cannot_be_written_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        assert len(run(tmp_path / "file", cases.Corner(), [0, 1])) == 2
    assert "not kept" in caplog.text

"""What every metric of feature sets promises."""

from __future__ import annotations

import feature_cases as cases
import numpy as np
import pytest
import torch
from feature_runs import SPECS, N, candidates, references

from layton_bench.metrics.base import MetricContext, MetricSpec
from layton_bench.metrics.sets import frechet

NEED_REFERENCES = [spec for spec in SPECS if spec.name != "is"]


def value_of(spec: MetricSpec, size: int, order: list[int], context: MetricContext | None = None):
    metric = spec.make(context or cases.context())
    for batch in cases.batches(candidates(), references(), size, order):
        metric.update(batch)
    return metric.compute()


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


def test_metrics_that_are_loaded_from_shared_rows_share_what_they_compute(monkeypatch) -> None:
    """As in a run that is merged from the files of its parts."""
    chosen = [spec for spec in SPECS if spec.name in ("fid", "kid", "recall")]
    states = []
    for batch in cases.batches(candidates(), references(), N // 2, list(range(N))):
        metrics = [spec.make(cases.context()) for spec in chosen[:1]]
        metrics[0].update(batch)
        states.append(metrics[0].state())
    calls = []
    of_rows = frechet.Moments.of_rows
    monkeypatch.setattr(frechet.Moments, "of_rows", lambda rows: calls.append(1) or of_rows(rows))
    context = cases.context()
    merged = [spec.make(context) for spec in chosen]
    for state in states:
        for spec, whole in zip(chosen, merged, strict=True):
            part = spec.make(context)
            part.load_state(state)
            whole.merge(part)
    rows = [metric.state()["candidates"] for metric in merged]
    assert rows[0] is rows[1] is rows[2]
    expected = [value_of(spec, N, list(range(N))) for spec in chosen]
    calls.clear()
    assert [metric.compute() for metric in merged] == expected
    assert len(calls) == 2

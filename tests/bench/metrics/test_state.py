"""Files of states: what comes back, what takes room once, and what is refused."""

from __future__ import annotations

import io
import json

import feature_cases as cases
import numpy as np
import pytest

from layton_bench.metrics.sets import frechet, kernel, manifold
from layton_bench.metrics.state import read_states, write_states

METRICS = {s.name: s for s in (*frechet.SPECS[:1], kernel.SPECS[0], manifold.SPECS[0])}


def written(states) -> bytes:
    file = io.BytesIO()
    write_states(file, states)
    return file.getvalue()


def test_every_kind_comes_back_as_it_was() -> None:
    states = {
        "a": {
            "numbers": np.array([1.5, np.nan, np.inf, -0.0]), "few": np.float32([[1, 2]]),
            "whole": np.array(3), "flags": np.array([True, False]), "none": np.zeros((0, 4)),
        },
        "b \udcff/..": {"texts": np.array(["é", "", "\udcff", "two\nlines"])},
        "none": {"keys": np.array([], dtype=np.str_)},
        "c": {},
    }  # fmt: skip
    found = read_states(io.BytesIO(written(states)))
    assert list(found) == list(states)
    for metric, state in states.items():
        assert list(found[metric]) == list(state)
        for name, array in state.items():
            got = found[metric][name]
            assert (got.dtype, got.shape) == (array.dtype, array.shape)
            assert got.tobytes() == array.tobytes()


def test_equal_arrays_take_room_once_and_are_shared_again() -> None:
    rows = np.random.default_rng(0).standard_normal((500, 64)).astype(np.float32)
    one = written({"fid": {"rows": rows}})
    three = written({name: {"rows": array} for name, array in
                     (("fid", rows), ("kid", rows), ("recall", rows.copy()))})  # fmt: skip
    assert len(three) < len(one) + 200
    found = read_states(io.BytesIO(three))
    assert found["fid"]["rows"] is found["kid"]["rows"] is found["recall"]["rows"]
    # the same bytes in another shape are another array
    found = read_states(io.BytesIO(written({"a": {"x": rows, "y": rows.reshape(64, 500)}})))
    assert found["a"]["y"].shape == (64, 500)


def test_metrics_of_the_same_features_share_rows_and_work_after_reading(monkeypatch) -> None:
    parts = cases.batches(cases.pictures(40, 0), cases.pictures(40, 1), 20, list(range(40)))
    files = []
    for batch in parts:
        context = cases.context()
        metrics = {name: spec.make(context) for name, spec in METRICS.items()}
        for metric in metrics.values():
            metric.update(batch)
        files.append(written({name: metric.state() for name, metric in metrics.items()}))
    calls = []
    of_rows = frechet.Moments.of_rows
    monkeypatch.setattr(frechet.Moments, "of_rows", lambda r: calls.append(1) or of_rows(r))
    context = cases.context()
    merged = {name: spec.make(context) for name, spec in METRICS.items()}
    for file in files:
        for name, state in read_states(io.BytesIO(file)).items():
            part = METRICS[name].make(context)
            part.load_state(state)
            merged[name].merge(part)
    collected = [metric.state()["candidates"] for metric in merged.values()]
    assert collected[0] is collected[1] is collected[2]
    whole = {name: spec.make(cases.context()) for name, spec in METRICS.items()}
    for name, metric in whole.items():
        for batch in parts:
            metric.update(batch)
        assert merged[name].compute() == metric.compute()
    assert len(calls) == 4  # of both sets, once merged and once whole


def test_objects_are_refused() -> None:
    with pytest.raises(TypeError, match="state 'x' of 'm' is an array of object"):
        written({"m": {"x": np.array([{}], dtype=object)}})


def test_damaged_files_are_refused() -> None:
    data = written({"m": {"x": np.arange(1000)}})
    flipped = bytearray(data)
    flipped[400] ^= 0xFF
    for bad in (b"", b"no archive", data[:-30], data[: len(data) // 2], bytes(flipped)):
        with pytest.raises(ValueError, match="does not hold the states"):
            read_states(io.BytesIO(bad))


@pytest.mark.parametrize(
    "index", [[], {"m": []}, {"m": {"x": "array-9"}}, {"m": {"x": 1}}, None, 3]
)
def test_an_index_that_does_not_fit_is_refused(index) -> None:
    file = io.BytesIO()
    entry = {} if index is None else {"index": np.frombuffer(json.dumps(index).encode(), np.uint8)}
    np.savez(file, **{"array-0": np.arange(3)}, **entry)
    with pytest.raises(ValueError, match="does not hold the states"):
        read_states(io.BytesIO(file.getvalue()))


def test_pickled_code_does_not_run() -> None:
    file = io.BytesIO()
    np.savez(file, index=np.array([print], dtype=object))
    with pytest.raises(ValueError, match="does not hold the states"):
        read_states(io.BytesIO(file.getvalue()))

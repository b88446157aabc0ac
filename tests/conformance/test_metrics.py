"""What every metric promises, asked of every metric that is registered.

Features come from a stand-in, so that metrics of features take part; a metric that loads another
network, judges the prompts of one suite, or is made by a pattern, is left to its own tests.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import cache, partial
from importlib.util import find_spec
from itertools import pairwise
from typing import Any, get_args

import numpy as np
import pytest
import torch

from layton_bench.metrics.base import Direction, Metric, MetricContext, MetricSpec
from layton_bench.metrics.features import FeatureChunk, FeatureRows
from layton_bench.metrics.pairs import legibility
from layton_bench.registry.plugins import Plugins
from layton_bench.types import Codes, MetricValue, ScoredBatch

SIDE_PX = 176  # the smallest that MS-SSIM takes
COUNT = 12
# Sums of float64 in another order; features are float32, but the same float32 every time.
SAME = {"rel": 1e-9, "abs": 1e-9}


def _specs() -> list[MetricSpec]:
    """Metrics that need no prompts, and no network but backbones; with their packages here."""
    plugins = Plugins()
    specs = [s for s in plugins.metrics.entries.values() if all(map(find_spec, s.requires))]
    replaced = {name for spec in plugins.backbones.entries.values() for name in spec.weights}
    return [s for s in specs if "prompt" not in s.needs and replaced.issuperset(s.weights)]


SPECS = _specs()
# They look at the images in which they find a text.
OF_SOME_SAMPLES = {"text-accuracy", "text-edit-distance"}
# Codes alone say nothing of quality, the Inception Score looks at candidates alone, and density
# rewards candidates that crowd together.
COMPARING = [
    s for s in SPECS if not s.needs & {"codes", "codebook"} and s.name not in ("is", "density")
]


class StandInFeatures:
    """Means over 3 × 3 fields of an image as its features, whatever network is asked for."""

    def candidates(self, batch: ScoredBatch, backbone: str, tap: str) -> FeatureChunk:
        return self._chunk(batch, "candidates", batch.candidates)

    def references(self, batch: ScoredBatch, backbone: str, tap: str) -> FeatureChunk:
        return self._chunk(batch, "references", batch.paired_references())

    def once(self, name: Hashable, sets: Sequence[FeatureRows], compute: Callable[[], Any]) -> Any:
        return compute()

    def _chunk(self, batch: ScoredBatch, side: str, images: torch.Tensor) -> FeatureChunk:
        def pooled() -> FeatureChunk:
            rows = torch.nn.functional.adaptive_avg_pool2d(images.double() / 64, 3).flatten(1)
            return FeatureChunk(keys=batch.keys, rows=rows.float().numpy())

        return batch.shared(("stand-in", side), pooled)


def _smooth(rng: np.random.Generator, count: int) -> torch.Tensor:
    coarse = torch.from_numpy(rng.uniform(0, 255, (count, 3, 8, 8)))
    size = (SIDE_PX, SIDE_PX)
    return torch.nn.functional.interpolate(coarse, size, mode="bilinear", align_corners=False)


@cache
def samples(damage: float, *, count: int = COUNT) -> ScoredBatch:
    """Pictures and what is left of them: grainier, darker and redder the greater the damage."""
    rng = np.random.default_rng(11)
    references = _smooth(rng, count)
    grain = torch.from_numpy(rng.normal(0, 1, references.shape))
    drift = torch.tensor([0.5, -1.0, -1.0]).view(3, 1, 1)
    other = _smooth(rng, count)
    share = min(1.0, damage / 40)
    candidates = (1 - share) * references + share * other + damage * (grain + drift)
    rows = torch.from_numpy(rng.integers(0, 40, (count, 6)))
    rows[1] = rows[0]
    return ScoredBatch(
        keys=tuple(f"sample-{i:02d}" for i in range(count)),
        candidates=candidates.round().clamp(0, 255).to(torch.uint8),
        references=references.round().clamp(0, 255).to(torch.uint8),
        codes=Codes(size_px=(SIDE_PX, SIDE_PX), codes=rows, codebook_size=64),
    )


@pytest.fixture(scope="module")
def damaged() -> ScoredBatch:
    return samples(8.0)


def picked(batch: ScoredBatch, rows: Sequence[int]) -> ScoredBatch:
    """Those samples in that order, with nothing of what was computed before."""
    assert batch.references is not None
    assert batch.codes is not None
    assert batch.codes.codes is not None
    index = torch.tensor(rows, dtype=torch.int64)
    return ScoredBatch(
        keys=tuple(batch.keys[i] for i in rows),
        candidates=batch.candidates[index],
        references=batch.references[index],
        codes=Codes(
            size_px=batch.codes.size_px,
            codes=batch.codes.codes[index],
            codebook_size=batch.codes.codebook_size,
        ),
    )


@pytest.fixture(params=SPECS, ids=lambda spec: spec.name)
def spec(request: pytest.FixtureRequest) -> MetricSpec:
    return request.param


@pytest.fixture
def make(spec: MetricSpec) -> Callable[[], Metric]:
    """Builds an empty accumulator of each metric in turn."""
    return partial(build, spec)


def build(spec: MetricSpec) -> Metric:
    return spec.make(MetricContext(features=StandInFeatures()))


@pytest.fixture(autouse=True, scope="module")
def _each_picture_is_read_once() -> Iterator[None]:
    """Reading texts takes seconds a picture; every test here shows the same pictures."""
    reader: Any = legibility.RapidOcr
    seen: dict[Hashable, Any] = {}

    def once(method: str) -> Callable[..., Any]:
        original = getattr(reader, method)

        def look_up(self: Any, image: Any) -> Any:
            key = (method, image.size, image.tobytes())
            if key not in seen:
                seen[key] = original(self, image)
            return seen[key]

        return look_up

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "find", once("find"))
        patch.setattr(reader, "read", once("read"))
        patch.setattr(legibility, "RapidOcr", cache(reader))
        yield


def fed(metric: Metric, *batches: ScoredBatch) -> Metric:
    for batch in batches:
        metric.update(batch)
    return metric


def same(value: MetricValue) -> dict[str, object]:
    """A value as it must come out again: numbers up to the order of sums, words exactly."""
    numbers = {
        name: None if number is None else pytest.approx(number, **SAME)
        for name, number in (
            ("value", value.value),
            ("low", value.low),
            ("high", value.high),
            ("std", value.std),
        )
    }
    return {**numbers, "n": value.n, "note": value.note}


def fields(value: MetricValue) -> dict[str, object]:
    return {
        "value": value.value, "low": value.low, "high": value.high, "std": value.std,
        "n": value.n, "note": value.note,
    }  # fmt: skip


def test_has_a_value_over_every_sample(make, spec, damaged):
    value = fed(make(), picked(damaged, range(COUNT))).compute()
    if value.value is None:
        assert re.search(r"needs [\d,]+ samples, has 12", value.note)
    else:
        assert math.isfinite(value.value)
        if value.low is not None:
            assert value.low <= value.value <= value.high
    if spec.name in OF_SOME_SAMPLES:
        assert 0 < value.n <= COUNT
        assert f"{value.n} of {COUNT} images" in value.note
    else:
        assert value.n == COUNT


@pytest.mark.parametrize(
    "split",
    [
        [[i] for i in range(COUNT)],
        [list(reversed(range(COUNT)))],
        [[7, 2, 9], [0], [11, 1, 10, 3], [8, 4, 6, 5]],
    ],
    ids=["one by one", "backwards", "mixed"],
)
def test_batch_size_and_order_do_not_matter(make, damaged, split):
    whole = fed(make(), picked(damaged, range(COUNT))).compute()
    parts = fed(make(), *(picked(damaged, rows) for rows in split)).compute()
    assert fields(parts) == same(whole)


def test_merged_parts_equal_the_whole(make, damaged):
    whole = fed(make(), picked(damaged, range(COUNT)))
    merged = make()
    for rows in ([8, 9, 10, 11], [], [0], [5, 4, 3, 2, 1, 7, 6]):
        part = make()
        if rows:
            part.update(picked(damaged, rows))
        merged.merge(part)
    assert fields(merged.compute()) == same(whole.compute())
    assert merged.per_sample() == whole.per_sample()


def test_state_goes_to_another_process_and_on_from_there(make, damaged):
    first = fed(make(), picked(damaged, [3, 1, 2]))
    state = first.state()
    assert all(isinstance(array, np.ndarray) for array in state.values())
    assert all(array.dtype != object for array in state.values())
    restored = make()
    restored.load_state({name: array.copy() for name, array in state.items()})
    assert fields(restored.compute()) == same(first.compute())
    rest = picked(damaged, [0, *range(4, COUNT)])
    assert fields(fed(restored, rest).compute()) == same(fed(first, rest).compute())


@pytest.mark.parametrize("cuts", [(3, 7), (1, 2, 11), (6,)])
def test_parts_from_files_merged_in_order_equal_the_whole_to_the_last_bit(make, damaged, cuts):
    """As in a resumed run: batches keep their borders, so only the states can differ."""
    bounds = [0, *cuts, COUNT]
    parts = [picked(damaged, range(a, b)) for a, b in pairwise(bounds)]
    whole = fed(make(), *parts)
    merged = make()
    for part in parts:
        restored = make()
        data = written(fed(make(), picked(part, range(len(part)))))
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            restored.load_state(dict(file))
        merged.merge(restored)
    assert merged.compute() == whole.compute()
    assert merged.per_sample() == whole.per_sample()
    assert written(merged) == written(whole)


def written(metric: Metric) -> bytes:
    """The state as a file without pickle."""
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **metric.state())
    return file.getvalue()


def test_an_empty_state_is_a_state(make, damaged):
    restored = make()
    restored.load_state(make().state())
    assert restored.compute().value is None
    batch = picked(damaged, range(COUNT))
    assert fields(fed(restored, batch).compute()) == same(fed(make(), batch).compute())


def test_no_samples_have_no_value_but_a_reason(make):
    value = make().compute()
    assert value.value is None
    assert value.low is value.high is None
    assert value.n == 0
    assert value.note


def test_one_sample_has_no_interval(make, damaged):
    value = fed(make(), picked(damaged, [4])).compute()
    assert value.low is value.high is None
    assert value.n == 1
    assert value.value is not None or value.note


def test_computing_twice_gives_the_same(make, damaged):
    metric = fed(make(), picked(damaged, range(COUNT)))
    assert metric.compute() == metric.compute()


def test_nothing_of_the_batch_is_changed(make, damaged):
    batch = picked(damaged, range(COUNT))
    before = [t.clone() for t in (batch.candidates, batch.references, batch.codes.codes)]
    fed(make(), batch).compute()
    after = (batch.candidates, batch.references, batch.codes.codes)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_global_random_state_is_neither_read_nor_set(make, damaged):
    values = []
    for seed in (1, 2):
        np.random.seed(seed)
        torch.manual_seed(seed)
        before = np.random.get_state()[1].copy(), torch.get_rng_state()
        values.append(fed(make(), picked(damaged, range(COUNT))).compute())
        assert (np.random.get_state()[1] == before[0]).all()
        assert torch.equal(torch.get_rng_state(), before[1])
    assert values[0] == values[1]


@pytest.mark.parametrize("spec", COMPARING, ids=lambda spec: spec.name)
def test_exact_copies_are_at_the_good_end_and_damage_is_further_off(spec):
    damages = (0.0, 6.0, 30.0)
    batches = (picked(samples(damage), range(COUNT)) for damage in damages)
    values = [fed(build(spec), batch).compute() for batch in batches]
    if any(value.value is None for value in values):
        assert all("needs" in value.note for value in values)
        return
    badness = {"higher": lambda v: -v, "lower": lambda v: v, "zero": abs}[spec.direction]
    exact, slight, heavy = (badness(value.value) for value in values)
    assert exact <= slight <= heavy
    assert exact < heavy


def test_columns_belong_to_the_samples_and_average_to_the_value(make, spec, damaged):
    metric = fed(make(), picked(damaged, range(COUNT)))
    columns = metric.per_sample()
    for values in columns.values():
        if spec.name in OF_SOME_SAMPLES:
            assert set(values) <= set(damaged.keys)
        else:
            assert set(values) == set(damaged.keys)
    if spec.name in columns:
        mean = np.mean(list(columns[spec.name].values()))
        assert metric.compute().value == pytest.approx(mean, rel=1e-12)


@pytest.mark.parametrize("spec", Plugins().metrics.entries.values(), ids=lambda s: s.name)
def test_cards_are_complete(spec):
    assert re.fullmatch(r"[a-z0-9]+([-:][a-z0-9]+)*", spec.name)
    assert spec.label
    assert spec.summary
    assert not spec.summary.endswith(".")
    assert spec.direction in get_args(Direction)
    assert spec.digits >= 0
    assert spec.version >= 1
    for part in (*spec.signature.keys(), *spec.signature.values()):
        assert part
        assert not set(part) & set("|: ")

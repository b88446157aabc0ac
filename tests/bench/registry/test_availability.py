"""Which metrics can be computed here, and what one that fails costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from fakes import image_batch, metric_spec, suite

from layton_bench.errors import UserError
from layton_bench.metrics import MetricContext, MetricSpec
from layton_bench.registry import Plugins
from layton_bench.registry.availability import (
    OWN_WEIGHTS,
    available,
    build_metrics,
    computed,
    has_package,
    make_metric,
    metric_specs,
    unavailable_reason,
)
from layton_bench.run.plan import code_of_metrics
from layton_bench.types import ScoredBatch
from layton_bench.weights import WeightsEntry, WeightsFile, WeightsStore


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    return Plugins()


@pytest.mark.parametrize(
    ("name", "is_there"),
    [
        ("numpy", True),
        ("importlib.util", True),
        ("no_such_package", False),
        ("no_such_package.below", False),
        ("numpy.no_such_module", False),
        ("", False),
        ("..", False),
    ],
)
def test_packages_are_found_or_not(name: str, *, is_there: bool) -> None:
    assert has_package(name) == is_there


def test_a_metric_without_its_package_or_weights_has_a_remedy(plugins: Plugins) -> None:
    assert unavailable_reason(plugins, metric_spec()) is None
    lacking = metric_spec(requires={"no_such.package": "extra"})
    assert "pip install 'layton-bench[extra]'" in (unavailable_reason(plugins, lacking) or "")
    heavy = metric_spec(weights=("inception-fid",))
    assert "weights pull inception-fid" in (unavailable_reason(plugins, heavy) or "")
    specs = {"level": metric_spec(), "lacking": lacking}
    assert set(available(plugins, specs, strict=False)) == {"level"}
    with pytest.raises(UserError, match=r"metric 'lacking': package .*without --strict"):
        available(plugins, specs, strict=True)


def broken(fault: BaseException) -> MetricSpec:
    def make(context: MetricContext) -> Any:
        raise fault

    return MetricSpec(name="bad", label="B", direction="lower", summary="s", make=make)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (ValueError("odd"), "ValueError: odd"),
        (SystemExit(0), "SystemExit: 0"),
        (UserError("a", "b", "c"), "a: b. c"),
    ],
)
def test_a_metric_that_cannot_be_made_is_unavailable_and_the_rest_are_made(
    plugins: Plugins, context: MetricContext, fault: BaseException, reason: str
) -> None:
    specs = {"bad": broken(fault), "level": metric_spec()}
    metrics, unavailable = build_metrics(plugins, specs, context, strict=False)
    assert set(metrics) == {"level"} and unavailable == {"bad": reason}


@pytest.fixture
def context() -> MetricContext:
    return MetricContext(features=None)  # type: ignore[arg-type]


def batch() -> ScoredBatch:
    images = image_batch({"a": 10, "b": 30})
    return ScoredBatch(keys=("a", "b"), candidates=images.images)


def test_a_metric_that_fails_to_compute_says_why_in_one_line(
    context: MetricContext, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    metric = make_metric(metric_spec(), context)

    def fail() -> None:
        raise SystemExit("a\nlong\x1b[31m story")

    monkeypatch.setattr(metric.metric, "compute", fail)
    found = computed(metric)
    assert found.value.value is None
    assert found.reason == "failed: SystemExit: a long\\x1b[31m story"
    warnings = [r for r in caplog.records if r.levelname == "WARNING"]
    assert [r.getMessage() for r in warnings] == [
        "a metric failed to compute: SystemExit: a long\\x1b[31m story"
    ]
    assert warnings[0].exc_info is None  # no traceback on the user's screen


def test_a_sound_metric_is_computed(context: MetricContext) -> None:
    metric = make_metric(metric_spec(), context)
    with torch.inference_mode():
        metric.update(batch())
    found = computed(metric)
    assert (found.value.value, found.reason) == (20.0, None)


@pytest.fixture
def with_net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plugins:
    """A metric with weights that have no published digest."""
    monkeypatch.setenv("LAYTON_BENCH_WEIGHTS", str(tmp_path / "weights"))
    found = Plugins(())
    file = WeightsFile(path="net.bin", url="https://example.org/net.bin")
    entry = WeightsEntry(name="net", licence="MIT", files=(file,), summary="a network")
    found.weights.entries["net"] = entry
    found.metrics.entries["judged"] = metric_spec("judged", weights=("net",), signature={"a": "b"})
    found.metrics.owners["judged"] = found.metrics.owners["psnr"]
    return found


def test_a_metric_with_own_weights_is_another_metric(with_net: Plugins, tmp_path: Path) -> None:
    def judged() -> tuple[dict[str, str], str]:
        specs = metric_specs(with_net, suite(), ("judged", "psnr"))
        codes = code_of_metrics(with_net, specs)
        assert OWN_WEIGHTS not in specs["psnr"].signature
        return dict(specs["judged"].signature), codes["judged"]

    absent, code = judged()
    assert absent == {"a": "b"}
    torch.save({"weight": torch.ones(1)}, tmp_path / "mine.bin")
    store = WeightsStore(with_net.weights.entries)
    store.add("net", tmp_path / "mine.bin")
    own, own_code = judged()
    digest = store.digest("net")[:12]
    assert own == {"a": "b", OWN_WEIGHTS: f"net@{digest}"}
    assert own_code == f"{code}, net@{digest}"


def test_weights_that_nobody_registered_are_nobodys_own(with_net: Plugins) -> None:
    del with_net.weights.entries["net"]
    assert metric_specs(with_net, suite(), ("judged",))["judged"].signature == {"a": "b"}

"""Which metrics are asked for, which can be computed here, and why not the others."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping, Sequence

from layton_bench.errors import LaytonBenchError, UserError, guarded
from layton_bench.metrics import Metric, MetricContext, MetricSpec
from layton_bench.registry.plugins import Plugins
from layton_bench.suite import Suite
from layton_bench.types import MetricValue
from layton_bench.weights import WeightsStore

_log = logging.getLogger(__name__)


def metric_specs(plugins: Plugins, suite: Suite, names: Sequence[str]) -> dict[str, MetricSpec]:
    """The metrics asked for, or the suite's own; raises UnknownNameError."""
    specs = (plugins.metric(name) for name in (names or suite.metrics))
    return {spec.name: spec for spec in specs}


def unavailable_reason(plugins: Plugins, spec: MetricSpec) -> str | None:
    """Why a metric cannot be computed here, with the remedy; None where it can."""
    for package, extra in spec.requires.items():
        if importlib.util.find_spec(package) is None:
            return f"package '{package}' is not installed; run pip install 'layton-bench[{extra}]'"
    store = WeightsStore(plugins.weights.entries)
    for name in spec.weights:
        if not store.is_installed(name):
            return f"weights '{name}' not found; run layton-bench weights pull {name}"
    return None


def build_metrics(
    plugins: Plugins,
    specs: Mapping[str, MetricSpec],
    context: MetricContext,
    *,
    strict: bool,
) -> tuple[dict[str, Metric], dict[str, str]]:
    """Accumulators of what is available, and the reasons for what is not.

    Raises:
        UserError: in strict mode, for the first metric that is not available.
    """
    metrics: dict[str, Metric] = {}
    unavailable: dict[str, str] = {}
    for name, spec in specs.items():
        made = _make(plugins, spec, context)
        if not isinstance(made, str):
            metrics[name] = made
            continue
        if strict:
            raise UserError(f"metric '{name}'", made, "Or run without --strict.")
        unavailable[name] = made
        _log.warning("metric '%s' unavailable: %s", name, made)
    return metrics, unavailable


def _make(plugins: Plugins, spec: MetricSpec, context: MetricContext) -> Metric | str:
    """The accumulator, or why there is none."""
    reason = unavailable_reason(plugins, spec)
    if reason is not None:
        return reason
    try:
        return spec.make(context)
    except Exception as error:  # a plugin's metric may raise anything
        return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"


def computed(metric: Metric) -> tuple[MetricValue, str | None]:
    """Return the metric's value, or why it failed: one metric must not lose the others."""
    try:
        with guarded():
            return metric.compute(), None
    except LaytonBenchError as error:
        _log.warning("a metric failed to compute: %s", error, exc_info=True)
        return MetricValue(value=None, n=0), f"failed: {error}"

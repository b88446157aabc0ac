"""Which metrics a run asks for, which of them can be computed here, and why not the others."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from layton_bench.errors import LaytonBenchError, PluginError, UserError, guarded, reason_of
from layton_bench.metrics import CheckedMetric, MetricContext, MetricSpec
from layton_bench.records import RunRecord
from layton_bench.registry.plugins import Plugins
from layton_bench.suite import Suite
from layton_bench.types import MetricValue
from layton_bench.weights import WeightsStore

OWN_WEIGHTS = "own-weights"
"""Part of a metric's signature: the weights that the user added, with their digests."""

_log = logging.getLogger(__name__)


def metric_specs(plugins: Plugins, suite: Suite, names: Sequence[str]) -> dict[str, MetricSpec]:
    """Return the named metrics, or those of the suite; raises UnknownNameError.

    The signature of a metric with the user's own weights names them: it is another metric.
    """
    store = WeightsStore(plugins.weights.entries)
    specs = [plugins.metric(name) for name in (names or suite.metrics)]
    return {spec.name: _with_own_weights(spec, store) for spec in specs}


def _with_own_weights(spec: MetricSpec, store: WeightsStore) -> MetricSpec:
    own = [
        f"{name}@{store.digest(name)[:12]}"
        for name in spec.weights
        if store.is_installed(name) and store.is_own(name)
    ]
    if not own:
        return spec
    return replace(spec, signature={**spec.signature, OWN_WEIGHTS: "+".join(own)})


def unavailable_reason(plugins: Plugins, spec: MetricSpec) -> str | None:
    """Return why a metric cannot be computed here, with the remedy; None if it can."""
    for package, extra in spec.requires.items():
        if not has_package(package):
            return f"package '{package}' is not installed; run pip install 'layton-bench[{extra}]'"
    store = WeightsStore(plugins.weights.entries)
    for name in spec.weights:
        if not store.is_installed(name):
            return f"weights '{name}' not found; run layton-bench weights pull {name}"
    return None


def has_package(name: str) -> bool:
    """Return whether a package or module is installed."""
    try:
        with guarded():  # the packages above a module are imported
            return importlib.util.find_spec(name) is not None
    except PluginError:
        return False


def broken_metrics(plugins: Plugins, record: RunRecord) -> list[str]:
    """Return the suite's own metrics that failed although they need nothing to be installed.

    Metrics that need weights or optional packages are not among them: what to install is a choice.
    """
    specs, suite = plugins.metrics.entries, plugins.suites.entries.get(record.suite.name)
    return [
        name
        for name, result in record.metrics.items()
        if result.unavailable is not None
        and (suite is None or name in suite.metrics)
        and name in specs
        and not specs[name].weights
        and not specs[name].requires
    ]


def available(
    plugins: Plugins, specs: Mapping[str, MetricSpec], *, strict: bool
) -> dict[str, MetricSpec]:
    """Return the metrics that can be computed here, and warn of the others.

    Raises:
        UserError: in strict mode, for the first metric that is not available.
    """
    found = {}
    for name, spec in specs.items():
        reason = unavailable_reason(plugins, spec)
        if reason is None:
            found[name] = spec
        else:
            _report(name, reason, strict=strict)
    return found


def build_metrics(
    plugins: Plugins,
    specs: Mapping[str, MetricSpec],
    context: MetricContext,
    *,
    strict: bool,
) -> tuple[dict[str, CheckedMetric], dict[str, str]]:
    """Return accumulators of what is available, and the reasons for what is not.

    Raises:
        UserError: in strict mode, for the first metric that is not available.
    """
    metrics: dict[str, CheckedMetric] = {}
    unavailable: dict[str, str] = {}
    for name, spec in specs.items():
        reason = unavailable_reason(plugins, spec)
        if reason is None:
            try:
                metrics[name] = make_metric(spec, context)
                continue
            except LaytonBenchError as error:
                reason = reason_of(error)
        _report(name, reason, strict=strict)
        unavailable[name] = reason
    return metrics, unavailable


def make_metric(spec: MetricSpec, context: MetricContext) -> CheckedMetric:
    """Return a new accumulator; raises PluginError, or a UserError of the metric's own."""
    with guarded():
        return CheckedMetric(spec.make(context))


def _report(name: str, reason: str, *, strict: bool) -> None:
    if strict:
        raise UserError(f"metric '{name}'", reason, "Or run without --strict.")
    _log.warning("metric '%s' unavailable: %s", name, reason)


Columns = Mapping[str, Mapping[str, float] | Mapping[str, str]]
"""Column name → sample key → value or text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """What a metric gives after the pass.

    Attributes:
        value: over all samples; None with ``reason``.
        columns: values and texts by sample.
        reason: why the metric failed; None if it did not.
    """

    value: MetricValue
    columns: Columns = field(default_factory=dict)
    reason: str | None = None


def computed(metric: CheckedMetric) -> Computed:
    """Compute a metric. If it fails, say why: one metric must not lose the others."""
    try:
        value = metric.compute()
        columns: Columns = {**metric.columns(), **metric.per_sample_texts()}
    except LaytonBenchError as error:
        _log.warning("a metric failed to compute: %s", reason_of(error))
        _log.debug("where it failed", exc_info=error)
        nothing = MetricValue(value=None, n=0)
        return Computed(value=nothing, reason=f"failed: {reason_of(error)}")
    return Computed(value=value, columns=columns)

"""`layton-bench list suites|models|metrics|plugins|runs|…`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

from layton_bench import records, registry
from layton_bench.cli.console import State
from layton_bench.cli.options import AsJson
from layton_bench.cli.tables import Row, print_rows

What = Literal[
    "suites", "models", "metrics", "plugins", "datasets", "protocols", "backbones", "runs"
]


def list_(
    context: typer.Context,
    what: Annotated[What, typer.Argument(help="What to list.")],
    results: Annotated[Path, typer.Option("--out", help="Results folder, for `list runs`.")] = Path(
        "results"
    ),
    as_json: AsJson = False,
) -> None:
    """List suites, models, metrics and other registered names, or the stored runs."""
    state: State = context.obj
    rows = _runs(results) if what == "runs" else _LISTS[what](state.plugins)
    print_rows(rows, as_json=as_json)


def _suites(plugins: registry.Plugins) -> list[Row]:
    return [
        {
            "suite": suite.name,
            "kind": suite.kind,
            "samples": f"{suite.num_samples:,}" if suite.num_samples else "all",
            "protocol": suite.protocol,
            "summary": suite.summary,
        }
        for suite in plugins.suites.entries.values()
    ]


def _models(plugins: registry.Plugins) -> list[Row]:
    rows = [
        {
            "model": spec.card.name,
            "kind": spec.card.kind,
            "px": ", ".join(map(str, spec.card.sizes_px)) or "any",
            "bits/image": f"{spec.card.bits_per_image:,.0f}" if spec.card.bits_per_image else "",
            "summary": spec.card.summary,
        }
        for name, spec in plugins.models.entries.items()
        if name == spec.card.name
    ]
    patterns = [
        {
            "model": ", ".join(pattern.examples),
            "kind": pattern.kind,
            "px": "any",
            "bits/image": "",
            "summary": pattern.summary,
        }
        for pattern in plugins.model_patterns.entries.values()
    ]
    return rows + patterns


def _metrics(plugins: registry.Plugins) -> list[Row]:
    rows = [
        {
            "metric": spec.name,
            "better": spec.direction,
            "weights": ", ".join(spec.weights),
            "summary": spec.summary,
        }
        for spec in plugins.metrics.entries.values()
    ]
    patterns = [
        {"metric": ", ".join(p.examples), "better": "", "weights": "", "summary": p.pattern.pattern}
        for p in plugins.metric_patterns.entries.values()
    ]
    return rows + patterns


def _plugins(plugins: registry.Plugins) -> list[Row]:
    return [
        {
            "plugin": info.name,
            "distribution": info.distribution,
            "version": info.version,
            "state": "works" if info.error is None else f"left out: {info.error}",
        }
        for info in plugins.infos
    ]


def _datasets(plugins: registry.Plugins) -> list[Row]:
    return [
        {
            "dataset": spec.name,
            "samples": f"{spec.num_items:,}" if spec.num_items else "",
            "summary": spec.summary,
        }
        for spec in plugins.datasets.entries.values()
    ]


def _protocols(plugins: registry.Plugins) -> list[Row]:
    return [{"protocol": p.id, "summary": p.summary} for p in plugins.protocols.entries.values()]


def _backbones(plugins: registry.Plugins) -> list[Row]:
    return [
        {
            "backbone": spec.name,
            "features": ", ".join(spec.taps),
            "weights": ", ".join(spec.weights),
        }
        for spec in plugins.backbones.entries.values()
    ]


def _runs(results: Path) -> list[Row]:
    return [
        {
            "run": run.record.run_id,
            "suite": run.record.suite.name,
            "model": records.display_name(run.record),
            "state": "; ".join(records.marks(run.record)) or "complete",
        }
        for run in records.stored_runs(results)
    ]


_LISTS: dict[str, Callable[[registry.Plugins], list[Row]]] = {
    "suites": _suites,
    "models": _models,
    "metrics": _metrics,
    "plugins": _plugins,
    "datasets": _datasets,
    "protocols": _protocols,
    "backbones": _backbones,
}

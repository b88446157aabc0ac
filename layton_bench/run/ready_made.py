"""A plan for pictures that exist already: no model is run."""

from __future__ import annotations

from pathlib import Path

from layton_bench.datasets import Dataset, joined
from layton_bench.machine import resolve_device
from layton_bench.models import LoadContext, ModelCard, ModelSpec, Tokenizer
from layton_bench.records import safe_name
from layton_bench.registry import Plugins, metric_specs
from layton_bench.run.engine.candidates import ReadyMade
from layton_bench.run.plan import (
    Plan,
    RunOptions,
    code_of_metrics,
    code_of_plan,
    items_of,
    notes_of,
    select,
)
from layton_bench.suite import Suite
from layton_bench.types import Failure


def ready_made_plan(
    plugins: Plugins,
    suite: Suite,
    folder: Path,
    dataset: Dataset,
    pictures: ReadyMade,
    options: RunOptions,
    *,
    left_out: tuple[Failure, ...] = (),
) -> Plan:
    """Return the plan of a run whose pictures are in a folder.

    Args:
        plugins: where names are looked up.
        suite: what the pictures are judged by.
        folder: the folder of the pictures; gives the model's name in the record.
        dataset: the samples.
        pictures: gives the pictures of a batch.
        options: how to run.
        left_out: samples that are known to be unusable.
    """
    card = ModelCard(
        name=folder_name(folder),
        kind="generator" if suite.kind == "generation" else "tokenizer",
        family="folder",
        summary=f"the pictures in {folder.name}",
        notes="pictures from a folder: no model was run",
    )
    metrics = metric_specs(plugins, suite, options.metrics)
    digests = pictures.digests()
    items = items_of(dataset)
    return Plan(
        suite=suite,
        protocol=plugins.protocols[suite.protocol],
        model_name=card.name,
        spec=ModelSpec(card=card, load=_nothing_to_load),
        model_options={},
        dataset=dataset,
        has_images=True,
        items=select(items, options.limit),
        num_available=len(items),
        num_unlisted=len({failure.key for failure in left_out} - {item.key for item in items}),
        notes=notes_of(dataset),
        options=options,
        device=resolve_device(options.device),
        metrics=metrics,
        weights={"pictures": joined(f"{key} {digest}" for key, digest in digests.items())},
        own_weights=(),
        code=code_of_plan(plugins, suite),
        metrics_code=code_of_metrics(plugins, metrics),
        left_out=left_out,
        ready_made=pictures,
    )


def folder_name(folder: Path) -> str:
    """Return the model's name in the record: ``a/images`` and ``b/images`` are two."""
    *_, parent, name = ("", *folder.resolve().parts)
    return f"folder-{safe_name(f'{parent}_{name}' if parent.strip('/') else name)}"


def _nothing_to_load(context: LoadContext) -> Tokenizer:
    raise AssertionError(f"a folder of pictures is never loaded on {context.device}")

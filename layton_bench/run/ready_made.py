"""A plan for pictures that exist already: no model is run."""

from __future__ import annotations

from pathlib import Path

from layton_bench.datasets import Dataset
from layton_bench.machine import resolve_device
from layton_bench.models import LoadContext, ModelCard, ModelSpec, Tokenizer
from layton_bench.records import safe_name
from layton_bench.registry import Plugins, metric_specs
from layton_bench.run.engine.candidates import ReadyMade
from layton_bench.run.plan import Plan, RunOptions, select
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
    pictures_digest: str,
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
        pictures_digest: digest of the pictures' contents.
        left_out: samples that are known to be unusable.
    """
    card = ModelCard(
        name=f"folder-{safe_name(folder.resolve().name)}",
        kind="generator" if suite.kind == "generation" else "tokenizer",
        family="folder",
        summary=f"the pictures in {folder.name}",
        notes="pictures from a folder: no model was run",
    )
    return Plan(
        suite=suite,
        protocol=plugins.protocols[suite.protocol],
        model_name=card.name,
        spec=ModelSpec(card=card, load=_nothing_to_load),
        model_options={},
        dataset=dataset,
        has_images=True,
        items=select(dataset.items(), options.limit),
        options=options,
        device=resolve_device(options.device),
        metrics=metric_specs(plugins, suite, options.metrics),
        weights={"pictures": pictures_digest},
        left_out=left_out,
        ready_made=pictures,
    )


def _nothing_to_load(context: LoadContext) -> Tokenizer:
    raise AssertionError(f"a folder of pictures is never loaded on {context.device}")

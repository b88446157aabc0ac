"""One model's results as ``model-index`` metadata of a Hugging Face model card.

The block belongs between the ``---`` lines of the card's README.md. Format:
https://github.com/huggingface/hub-docs/blob/main/modelcard.md
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from layton_bench.errors import UserError

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

    from layton_bench.leaderboard.board import Board
    from layton_bench.records import MetricResult, RunRecord
    from layton_bench.suite import SuiteKind

_TASKS: dict[SuiteKind, tuple[str, str]] = {
    "reconstruction": ("image-to-image", "Image reconstruction"),
    "generation": ("text-to-image", "Text-to-image generation"),
}


def to_model_index(made: Sequence[Board]) -> str:
    """Return one model's results on every board as YAML.

    Missing and infinite values are left out, because the hub's metadata cannot hold them.

    Raises:
        UserError: the boards have several models, no model, or no finite value.
    """
    from huggingface_hub import ModelCardData

    records = [record for board in made for record in board.records]
    names = sorted({board.name(record) for board in made for record in board.records})
    if len(names) != 1:
        raise UserError(
            "a model-index of " + (", ".join(names[:5]) or "nothing"),
            f"a model card describes one model, and here are {len(names)}",
            "Choose one with --model NAME.",
        )
    results = [found for record in records for found in _results(record)]
    if not results:
        raise UserError(
            f"a model-index of {names[0]}",
            "it has no finite value",
            "Choose another model with --model NAME.",
        )
    card = ModelCardData(model_name=names[0], eval_results=results)
    return str(card.to_yaml()) + "\n"


def _results(record: RunRecord) -> Iterator[EvalResult]:
    from huggingface_hub import EvalResult

    suite = record.suite
    task, task_name = _TASKS[suite.kind]
    for name, result in record.metrics.items():
        if result.value is None or not math.isfinite(result.value):
            continue
        yield EvalResult(
            task_type=task,
            task_name=task_name,
            dataset_type=suite.dataset,
            dataset_name=f"{suite.name} v{suite.version}",
            # the hub merges results with equal type, config and revision
            dataset_config=f"{suite.name}, {record.completeness.effective} samples",
            dataset_revision=record.data.fingerprint,
            dataset_args={"protocol": suite.protocol, "rounding": suite.rounding},
            metric_type=name,
            metric_name=f"{result.label} ({result.unit})" if result.unit else result.label,
            metric_value=result.value,
            metric_args=_arguments(record, result),
        )


def _arguments(record: RunRecord, result: MetricResult) -> dict[str, Any]:
    """Return what a reader needs to compare the value; always n and signature."""
    known = {
        "n": result.n,
        "signature": result.signature,
        "low": result.low,
        "high": result.high,
        "note": result.note or None,
        "bits_per_image": record.bits_per_image,
        "layton_bench": record.provenance.packages.get("layton-bench"),
    }
    return {key: value for key, value in known.items() if value is not None}

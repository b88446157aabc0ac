"""Which run a plan is: equal inputs are the same run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from layton_bench.datasets import fingerprint, prompted_fingerprint, sample_digests
from layton_bench.errors import UserError
from layton_bench.machine import Reporter
from layton_bench.records import DataInfo, ModelInfo, run_key
from layton_bench.run.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What makes a run the same as another.

    Attributes:
        key: hash of all inputs: the same key means the same run.
        model: the model, as the record describes it.
        data: the data, as the record describes it.
        images: fingerprint of the images alone.
        contents: key of each sample → digest of its bytes. Features of references are kept by
            them.
    """

    key: str
    model: ModelInfo
    data: DataInfo
    images: str
    contents: Mapping[str, str]


def identify(plan: Plan, reporter: Reporter) -> Identity:
    """Read the data once, for its fingerprint, and return the run's identity.

    Raises:
        UserError: the data set is empty, or two of its samples have the same key.
    """
    _check_items(plan)
    images = fingerprint(plan.dataset, plan.items, reporter=reporter)
    is_drawn = plan.suite.kind == "generation" and plan.has_images
    data = DataInfo(
        name=plan.dataset.name,
        fingerprint=prompted_fingerprint(plan.dataset, plan.items) if is_drawn else images,
        notes=tuple(getattr(plan.dataset, "notes", ())),
    )
    model = ModelInfo(
        name=plan.model_name,
        card=plan.spec.card,
        options=plan.model_options,
        changed_options=tuple(
            name for name, value in plan.model_options.items() if value != plan.spec.options[name]
        ),
        dtype=plan.options.dtype,
        weights=dict(plan.weights),
    )
    return Identity(
        key=run_key(_inputs(plan, data, model)),
        model=model,
        data=data,
        images=images,
        contents=sample_digests(plan.dataset, plan.items),
    )


def _inputs(plan: Plan, data: DataInfo, model: ModelInfo) -> dict[str, Any]:
    """Return everything that affects a run's values, as JSON."""
    return {
        "suite": plan.suite.digest(),
        "data": data.fingerprint,
        "count": len(plan.items),
        "model": model.name,
        "options": model.options,
        "dtype": model.dtype,
        "weights": model.weights,
        "seed": plan.options.seed,
        "decode_seeds": plan.options.decode_seeds,
    }


def _check_items(plan: Plan) -> None:
    thing = f"data set '{plan.dataset.name}'"
    if not plan.items:
        raise UserError(thing, "it has no images", "Check its folder.")
    counts = Counter(item.key for item in plan.items)
    twice = [key for key, count in counts.items() if count > 1]
    if twice:
        raise UserError(
            thing,
            f"more than one sample has the key '{twice[0]}'",
            "Ask the author of its plugin: keys must be unique.",
        )

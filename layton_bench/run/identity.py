"""Which run a plan is: equal inputs are the same run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layton_bench.datasets import fingerprint, joined, prompted_fingerprint, sample_digests
from layton_bench.errors import UserError
from layton_bench.machine import Reporter, package_versions
from layton_bench.records import DataInfo, ModelInfo, run_key
from layton_bench.run.plan import Plan
from layton_bench.types import prompt_key

if TYPE_CHECKING:
    from pydantic import JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What makes a run the same as another.

    Attributes:
        inputs: everything that affects the values, as JSON.
        key: hash of the inputs: the same key means the same run.
        model: the model, as the record describes it.
        data: the data, as the record describes it.
        images: fingerprint of the images alone.
        references: sample → digest of its reference image, or of its prompt.
        candidates: sample → digest of its ready-made picture; empty if a model makes them.
    """

    inputs: dict[str, JsonValue]
    key: str
    model: ModelInfo
    data: DataInfo
    images: str
    references: Mapping[str, str]
    candidates: Mapping[str, str]


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
        notes=plan.notes,
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
        own_weights=plan.own_weights,
    )
    references = _repeated(plan, sample_digests(plan.dataset, plan.items))
    candidates = {} if plan.ready_made is None else plan.ready_made.digests()
    inputs: dict[str, JsonValue] = {
        "suite": plan.suite.digest(),
        "samples": _digest_of_samples(plan, references, candidates),
        "model": model.name,
        "options": dict(model.options),
        "dtype": model.dtype,
        "weights": dict(model.weights),
        "seed": plan.options.seed,
        "decode_seeds": plan.options.decode_seeds,
        "code": {"plugins": dict(plan.code), "packages": dict(package_versions())},
    }
    return Identity(
        inputs=inputs,
        key=run_key(inputs),
        model=model,
        data=data,
        images=images,
        references=references,
        candidates=candidates,
    )


def _repeated(plan: Plan, digests: Mapping[str, str]) -> Mapping[str, str]:
    """Return the digests by sample; images of one prompt share one."""
    if plan.suite.images_per_prompt == 1:
        return digests
    return {item.key: digests[prompt_key(item.key)] for item in plan.samples()}


def _digest_of_samples(
    plan: Plan, references: Mapping[str, str], candidates: Mapping[str, str]
) -> str:
    """Return one digest of which sample has which content, prompt and picture.

    The contents without the names are not enough: two pictures may have exchanged their names.
    """
    is_drawn = plan.suite.kind == "generation"
    lines = (
        json.dumps(
            [
                item.key,
                references[item.key],
                candidates.get(item.key),
                [*item.captions[:1], item.label] if is_drawn else None,
            ]
        )
        for item in plan.samples()
    )
    left_out = (json.dumps([failure.key, failure.reason]) for failure in plan.left_out)
    return joined((*lines, *left_out))


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

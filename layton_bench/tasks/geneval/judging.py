"""GenEval's judge: compares the objects found in an image with the demands of its prompt.

Ghosh, Hajishirzi, Schmidt, "GenEval: an object-focused framework for evaluating text-to-image
alignment", 2023. Everything is computed in float32, like the published scores: a score of
float32(0.3) is not above a threshold of 0.3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from layton_bench.tasks.geneval.prompts import COLORS, Clause, Relation, ScenePrompt

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Below this reduced offset, in pixels per axis, two objects have no relation.
_MIN_OFFSET_PX = 1e-3
# A relation is shown along each axis on which the unit offset exceeds this.
_MIN_COMPONENT = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Thresholds of the judge. The defaults are the published values.

    Attributes:
        threshold: a detection counts if its score is above this.
        counting_threshold: the same for prompts of the task ``counting``.
        max_objects: number of detections of a class that count, best first.
        max_overlap: a detection is dropped if its IoU with a better one of its class is this or
            more. 1 keeps all.
        position_threshold: an offset is reduced by this share of both objects' sizes.
    """

    threshold: float = 0.3
    counting_threshold: float = 0.9
    max_objects: int = 16
    max_overlap: float = 1.0
    position_threshold: float = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Instance:
    """A detected object.

    Attributes:
        box: float32 (4,): x1, y1, x2, y2 in pixels.
        score: confidence in 0..1, float32.
        mask: bool (H, W) over the whole image, if the detector gives one.
    """

    box: NDArray[np.float32]
    score: np.float32
    mask: NDArray[np.bool_] | None = None


Detections = Mapping[str, Sequence[Instance]]
# Class name and instances → the colour of each. Called only for objects whose colour matters.
ColorsOf = Callable[[str, Sequence[Instance]], Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Whether an image shows what its prompt demands, why not, and the objects that count."""

    correct: bool
    reason: str
    kept: dict[str, list[Instance]]


def judge(
    prompt: ScenePrompt, detections: Detections, colors_of: ColorsOf, *, rules: Rules | None = None
) -> Judgement:
    """Judge the detections of one image against its prompt.

    Args:
        prompt: what the image should show.
        detections: class name → raw detections, in any order.
        colors_of: returns the colours of instances.
        rules: thresholds. None means the published ones.
    """
    rules = rules or Rules()
    is_counting = prompt.tag == "counting"
    threshold = rules.counting_threshold if is_counting else rules.threshold
    kept = {name: keep(found, threshold, rules) for name, found in detections.items()}
    kept = {name: found for name, found in kept.items() if found}
    reasons = _unmet_includes(prompt.include, kept, colors_of, rules.position_threshold)
    for clause in prompt.exclude:
        found = len(kept.get(clause.class_name, ()))
        if found >= clause.count:
            reasons.append(f"expected {clause.class_name}<{clause.count}, found {found}")
    return Judgement(correct=not reasons, reason="\n".join(reasons), kept=kept)


def keep(found: Sequence[Instance], threshold: float, rules: Rules) -> list[Instance]:
    """Return the detections of one class that count, best first.

    Their number is limited before overlaps are dropped.
    """
    above = [instance for instance in found if instance.score > np.float32(threshold)]
    above.sort(key=lambda instance: instance.score, reverse=True)
    kept: list[Instance] = []
    for candidate in above[: rules.max_objects]:
        if rules.max_overlap == 1 or all(
            iou(better.box, candidate.box) < rules.max_overlap for better in kept
        ):
            kept.append(candidate)
    return kept


def _unmet_includes(
    clauses: Sequence[Clause], kept: Detections, colors_of: ColorsOf, position_threshold: float
) -> list[str]:
    """Return why clauses are not met. Objects of a failed clause are no target for others."""
    reasons: list[str] = []
    targets: list[Sequence[Instance] | None] = []
    for clause in clauses:
        taken = kept.get(clause.class_name, ())[: clause.count]
        reason = _unmet_objects(clause, taken, colors_of)
        if not reason and clause.position is not None:
            reason = _unmet_position(clause, taken, targets, position_threshold)
        if reason:
            reasons.append(reason)
        targets.append(None if reason else taken)
    return reasons


def _unmet_objects(clause: Clause, taken: Sequence[Instance], colors_of: ColorsOf) -> str:
    """Return why number or colour of the best objects is wrong; empty if both are right."""
    name, wanted = clause.class_name, clause.count
    if len(taken) < wanted:
        return f"expected {name}>={wanted}, found {len(taken)}"
    if clause.color is None:
        return ""
    seen = list(colors_of(name, taken))
    right = seen.count(clause.color)
    if right >= wanted:
        return ""
    listing = ", ".join(f"{seen.count(color)} {color}" for color in COLORS if color in seen)
    color = clause.color
    return f"expected {color} {name}>={wanted}, found {right} {color}; and {listing}"


def _unmet_position(
    clause: Clause,
    taken: Sequence[Instance],
    targets: Sequence[Sequence[Instance] | None],
    threshold: float,
) -> str:
    """Return why an object is not in its relation to a target; empty if all are."""
    assert clause.position is not None
    relation, index = clause.position
    target = targets[index]
    if target is None:
        return f"no target for {clause.class_name} to be {relation}"
    for instance in taken:
        for other in target:
            shown = relations(instance.box, other.box, threshold=threshold)
            if relation not in shown:
                name = clause.class_name
                return f"expected {name} {relation} target, found {' and '.join(shown)} target"
    return ""


def relations(
    box_a: NDArray[np.float32], box_b: NDArray[np.float32], *, threshold: float = 0.1
) -> tuple[Relation, ...]:
    """Return the relations of A to B: none, one or two.

    On each axis, the offset of the centres is reduced by ``threshold`` times the sum of both sizes.
    It is divided by the length of the offset before the reduction. Each component beyond ±0.5 is a
    relation.

    Args:
        box_a: x1, y1, x2, y2 in pixels, float32 (4,).
        box_b: likewise.
        threshold: share of the sizes.
    """
    centre_a, centre_b = (box_a[:2] + box_a[2:]) / 2, (box_b[:2] + box_b[2:]) / 2
    sizes = np.abs(box_a[2:] - box_a[:2]) + np.abs(box_b[2:] - box_b[:2])
    offset = centre_a - centre_b
    reduced = np.sign(offset) * np.maximum(np.abs(offset) - threshold * sizes, 0)
    if np.all(np.abs(reduced) < _MIN_OFFSET_PX):
        return ()
    dx, dy = reduced / np.linalg.norm(offset)
    shown: dict[Relation, bool] = {
        "left of": dx < -_MIN_COMPONENT,
        "right of": dx > _MIN_COMPONENT,
        "above": dy < -_MIN_COMPONENT,
        "below": dy > _MIN_COMPONENT,
    }
    return tuple(relation for relation, is_shown in shown.items() if is_shown)


def iou(box_a: NDArray[np.float32], box_b: NDArray[np.float32]) -> float:
    """Return the IoU of two boxes. The last pixel belongs to a box: its width is x2 − x1 + 1."""
    shared = _area(
        np.concatenate([np.maximum(box_a[:2], box_b[:2]), np.minimum(box_a[2:], box_b[2:])])
    )
    union = _area(box_a) + _area(box_b) - shared
    return float(shared / union) if union else 0.0


def _area(box: NDArray[np.float32]) -> np.float32:
    width, height = np.maximum(box[2:] - box[:2] + 1, 0)
    return np.float32(width * height)

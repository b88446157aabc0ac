"""GenEval's judge: what a detector found in a picture against what its prompt asked for.

Ghosh, Hajishirzi, Schmidt, "GenEval: an object-focused framework for evaluating text-to-image
alignment", 2023. Everything is computed in float32, as the published scores were: a score of
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
# A unit offset shows a relation along each axis where its component exceeds this.
_MIN_COMPONENT = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Thresholds of the judge, with the published values.

    Attributes:
        threshold: detections must score strictly above it.
        counting_threshold: the same, for prompts of the task ``counting``.
        max_objects: detections kept of each class, best first.
        max_overlap: a detection whose IoU with a better one of its class reaches this is dropped;
            1 keeps all.
        position_threshold: share of both objects' sizes by which an offset is reduced.
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
        score: confidence, float32.
        mask: bool (H, W) over the whole picture, where the detector gives one.
    """

    box: NDArray[np.float32]
    score: np.float32
    mask: NDArray[np.bool_] | None = None


Detections = Mapping[str, Sequence[Instance]]
# Class name and instances → the colour of each; asked only about objects whose colour matters.
ColorsOf = Callable[[str, Sequence[Instance]], Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Whether a picture shows what its prompt asks, the reasons if not, and what was found."""

    correct: bool
    reason: str
    kept: dict[str, list[Instance]]


def judge(
    prompt: ScenePrompt, detections: Detections, colors_of: ColorsOf, *, rules: Rules | None = None
) -> Judgement:
    """Judge the detections of one picture against its prompt.

    Args:
        prompt: what the picture should show.
        detections: class name → raw detections, in any order.
        colors_of: names the colours of instances.
        rules: thresholds; the published ones by default.
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
    """The detections of one class that count, best first.

    The cap on their number comes before the suppression of overlaps.
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
    """Reasons why clauses are not met; objects of a clause that failed are no target for others."""
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
    """Why number or colour of the best objects are not as asked; empty if they are."""
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
    """Why not every object stands as asked to every target; empty if all do."""
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
    """Where A lies relative to B: none, one or two relations.

    The offset of the centres, reduced on each axis by ``threshold`` times the sum of both sizes,
    over the length of the offset before that: each component beyond ±0.5 is a relation.
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
    """Intersection over union of boxes whose last pixel is inside: sides are x2 - x1 + 1."""
    shared = _area(
        np.concatenate([np.maximum(box_a[:2], box_b[:2]), np.minimum(box_a[2:], box_b[2:])])
    )
    union = _area(box_a) + _area(box_b) - shared
    return float(shared / union) if union else 0.0


def _area(box: NDArray[np.float32]) -> np.float32:
    width, height = np.maximum(box[2:] - box[:2] + 1, 0)
    return np.float32(width * height)

"""GenEval's judge against cases run through the official code, and against hand-computed ones."""

import json

import numpy as np
import pytest
from places import GOLDEN

from layton_bench.tasks.geneval.judging import Instance, Rules, iou, judge, keep, relations
from layton_bench.tasks.geneval.prompts import Clause, ScenePrompt

CASES = GOLDEN / "geneval" / "logic_cases.json"


def instances(boxes):
    rows = np.asarray(boxes, dtype=np.float32).reshape(-1, 5)
    return [Instance(row[:4], row[4]) for row in rows]


def check_case(case):
    raw = {name: instances(boxes) for name, boxes in case["detections"].items()}
    colors = {
        id(instance): color
        for name, found in raw.items()
        for instance, color in zip(found, case["colors"][name], strict=True)
    }
    verdict = judge(
        ScenePrompt.model_validate(case["metadata"]),
        raw,
        lambda _, asked: [colors[id(instance)] for instance in asked],
        rules=Rules(**case.get("options", {})),
    )
    expected = case["expected"]
    assert verdict.correct is expected["correct"], case["id"]
    assert verdict.reason in expected["reason_any_of"], case["id"]
    assert verdict.kept.keys() == expected["kept"].keys(), case["id"]
    for name, boxes in expected["kept"].items():
        got = [[*instance.box, instance.score] for instance in verdict.kept[name]]
        np.testing.assert_allclose(got, boxes, rtol=1e-6, err_msg=case["id"])


@pytest.mark.parametrize("case", json.loads(CASES.read_text())["cases"], ids=lambda c: c["id"])
def test_official_cases(case):
    check_case(case)


def test_every_official_case(shared):
    cases = json.loads((shared / "parity/geneval/logic_cases.json").read_text())["cases"]
    assert len(cases) == 143
    for case in cases:
        check_case(case)


def test_threshold_is_compared_in_float32():
    boxes = [[0, 0, 9, 9, 0.3], [0, 0, 9, 9, 0.30000004]]
    assert [float(i.score) for i in keep(instances(boxes), 0.3, Rules())] == [
        pytest.approx(0.30000004)
    ]


def test_nan_scores_are_dropped():
    assert keep(instances([[0, 0, 9, 9, np.nan]]), 0.3, Rules()) == []


def test_iou_counts_the_last_pixel():
    # 2 x 2 pixels each, one pixel shared: 1 / 7
    a, b = (i.box for i in instances([[0, 0, 1, 1, 1], [1, 1, 2, 2, 1]]))
    assert iou(a, b) == pytest.approx(1 / 7)
    assert iou(a, a) == 1.0


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        ((-100, 0), ("left of",)),
        ((100, 0), ("right of",)),
        ((0, -100), ("above",)),
        ((0, 100), ("below",)),
        ((-100, -100), ("left of", "above")),
        # boxes of 20: reduced by 0.1 * (20 + 20) = 4 an axis, so 4 is no offset and 10 is 0.6
        ((4, 4), ()),
        ((10, 0), ("right of",)),
        ((7, 0), ()),
    ],
)
def test_relations_by_hand(offset, expected):
    target = np.array([200, 200, 220, 220], dtype=np.float32)
    box = target + np.array([*offset, *offset], dtype=np.float32)
    assert relations(box, target) == expected


def test_colors_are_asked_only_of_the_best_objects():
    asked = []

    def colors_of(name, found):
        asked.append((name, [float(i.score) for i in found]))
        return ["red"] * len(found)

    prompt = ScenePrompt(
        tag="colors",
        include=(Clause(class_name="cup", count=1, color="red"), Clause(class_name="dog", count=1)),
        prompt="x",
    )
    found = {
        "cup": instances([[0, 0, 9, 9, 0.5], [0, 0, 9, 9, 0.75]]),
        "dog": instances([[0, 0, 9, 9, 0.5]]),
    }
    assert judge(prompt, found, colors_of).correct
    assert asked == [("cup", [0.75])]

"""Judged images as lines of an official results file, and back."""

import json

import numpy as np
import pytest

from layton_bench.errors import UserError
from layton_bench.tasks.geneval.judging import Instance, Judgement
from layton_bench.tasks.geneval.prompts import official_prompts
from layton_bench.tasks.geneval.results import image_result, read_results, results_text


def judged(*, correct):
    none = Judgement(correct=correct, reason="", kept={})
    return image_result("00000/samples/0000.png", official_prompts()[0], none)


def test_results_read_back(tmp_path):
    prompt = official_prompts()[0]
    box = Instance(np.array([1, 2, 3, 4.5], dtype=np.float32), np.float32(0.75))
    verdict = Judgement(correct=False, reason="expected bench>=1", kept={"bench": [box]})
    row = image_result("00000/samples/0000.png", prompt, verdict)
    assert json.loads(row.details) == {"bench": [[1.0, 2.0, 3.0, 4.5, 0.75]]}
    assert json.loads(row.metadata) == prompt.metadata()
    path = tmp_path / "results.jsonl"
    path.write_text(results_text([row, row]))
    assert read_results(path) == (row, row)
    assert list(json.loads(path.read_text().splitlines()[0])) == [
        "filename", "tag", "prompt", "correct", "reason", "metadata", "details",
    ]  # fmt: skip


def test_a_bad_results_line_is_named(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_text(results_text([judged(correct=True)]) + '{"filename": "x"}\n')
    with pytest.raises(UserError) as caught:
        read_results(path)
    assert caught.value.thing.endswith("results.jsonl, line 2")
    assert "Field required" in caught.value.reason


def test_empty_and_absent_results(tmp_path):
    path = tmp_path / "results.jsonl"
    with pytest.raises(UserError, match="no such results file"):
        read_results(path)
    path.write_text("")
    with pytest.raises(UserError, match="has no results"):
        read_results(path)

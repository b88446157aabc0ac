"""The official summary, its intervals, and the completeness check."""

import json

import numpy as np
import pytest

from layton_bench.tasks.geneval.judging import Judgement
from layton_bench.tasks.geneval.prompts import official_prompts
from layton_bench.tasks.geneval.results import ImageResult, image_result, read_results
from layton_bench.tasks.geneval.scores import completeness, summarise


def result(tag, prompt, correct, *, filename="00000/samples/0000.png"):
    metadata = json.dumps({"tag": tag, "prompt": prompt})
    return ImageResult(
        filename=filename, tag=tag, prompt=prompt, correct=correct, metadata=metadata
    )


def complete_results(*, correct=True):
    none = Judgement(correct=correct, reason="", kept={})
    return [
        image_result(f"{index:05d}/samples/{k:04d}.png", prompt, none)
        for index, prompt in enumerate(official_prompts())
        for k in range(4)
    ]


def test_summary_by_hand():
    rows = [
        *(result("colors", "a", c) for c in (True, False, False, False)),
        *(result("colors", "b", c) for c in (True, True)),
        *(result("counting", "c", c) for c in (False, False)),
    ]
    summary = summarise(rows)
    assert summary.tasks["colors"].score == 3 / 6
    assert summary.tasks["counting"].score == 0
    assert summary.overall == pytest.approx((3 / 6 + 0) / 2)
    assert summary.image_accuracy == 3 / 8
    assert summary.prompt_accuracy == 2 / 3
    assert (summary.num_images, summary.num_prompts) == (8, 3)
    assert list(summary.tasks) == ["colors", "counting"]
    assert summary.low < summary.overall < summary.high


def test_official_summary(shared):
    folder = shared / "parity/geneval"
    expected = json.loads((folder / "summary_expected.json").read_text())
    summary = summarise(read_results(folder / "results_example.jsonl"))
    assert summary.overall == pytest.approx(expected["overall"], abs=1e-12)
    assert summary.image_accuracy == pytest.approx(expected["image_accuracy"], abs=1e-12)
    assert summary.prompt_accuracy == pytest.approx(expected["prompt_accuracy_any"], abs=1e-12)
    assert summary.num_images == expected["total_images"]
    assert summary.num_prompts == expected["total_prompts"]
    assert list(summary.tasks) == list(expected["task"])
    for name, task in expected["task"].items():
        mine = summary.tasks[name]
        assert (mine.num_correct, mine.num_images) == (task["correct"], task["n"])
        assert mine.score == pytest.approx(task["score"], abs=1e-12)


def test_overall_interval_is_that_of_a_bootstrap():
    rng = np.random.default_rng(1)
    rates = {"colors": 0.8, "counting": 0.4, "position": 0.2}
    counts = {task: rng.binomial(4, rng.beta(2 * r, 2 - 2 * r, 90)) for task, r in rates.items()}
    rows = [
        result(task, f"{task} {i}", j < k)
        for task, ks in counts.items()
        for i, k in enumerate(ks)
        for j in range(4)
    ]
    summary = summarise(rows)
    draws = [
        np.mean([rng.choice(ks, size=len(ks)).mean() / 4 for ks in counts.values()])
        for _ in range(2000)
    ]
    # percentiles of 2,000 draws of a statistic with standard error 0.023 are good to 0.003
    assert (summary.low, summary.high) == pytest.approx(
        np.quantile(draws, [0.025, 0.975]), abs=5e-3
    )


def test_complete():
    report = completeness(complete_results(), official_prompts())
    assert report.is_complete
    assert (report.num_expected, report.num_found) == (2212, 2212)


def test_what_is_missing_is_named():
    rows = complete_results()
    report = completeness(rows[5:], official_prompts())
    assert not report.is_complete
    assert report.num_found == 2207
    assert report.problems == (
        '1 prompts have no image: "a photo of a bench"',
        '1 prompts have fewer than 4 images: "a photo of a cow"',
    )


def test_too_many_and_unknown():
    rows = [*complete_results(), complete_results()[0], result("colors", "another", True)]
    problems = completeness(rows, official_prompts()).problems
    assert problems[0] == '1 prompts have more than 4 images: "a photo of a bench"'
    assert problems[1].startswith("1 prompts are not of this set")


def test_rewritten_prompts_are_complete_too():
    prompts = [p.model_copy(update={"prompt": "in other words"}) for p in official_prompts()]
    none = Judgement(correct=True, reason="", kept={})
    rows = [image_result("x", prompt, none) for prompt in prompts for _ in range(4)]
    assert completeness(rows, official_prompts()).is_complete


def test_nothing_to_summarise():
    with pytest.raises(ValueError, match="no results"):
        summarise([])

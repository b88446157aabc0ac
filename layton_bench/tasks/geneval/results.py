"""Judged images: rows of a run, and lines of GenEval's ``results.jsonl``.

A results file has one JSON line an image: filename, tag, prompt, correct, reason, metadata and
details, the last two as JSON in a string.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from layton_bench.errors import MissingDataError, UserError, pydantic_problem
from layton_bench.machine import lines_of, read_text
from layton_bench.records import StoredRun, read_samples
from layton_bench.tasks.geneval.judging import Judgement
from layton_bench.tasks.geneval.layout import sample_name
from layton_bench.tasks.geneval.prompts import ScenePrompt
from layton_bench.types import split_image_key

if TYPE_CHECKING:
    from pathlib import Path

FAMILY: Final = "geneval"
"""Name of the overall metric, and first part of the names of columns in samples.parquet."""


class ImageResult(BaseModel):
    """One judged image, with the fields of the official file. Other fields are ignored."""

    model_config = ConfigDict(frozen=True)

    filename: str
    tag: str
    prompt: str
    correct: bool
    reason: str = ""
    metadata: str
    details: str = "{}"


def image_result(filename: str, prompt: ScenePrompt, judgement: Judgement) -> ImageResult:
    """Return a judged image in the official form. Details are the boxes that count, best first."""
    details = {
        name: [[*instance.box.tolist(), float(instance.score)] for instance in kept]
        for name, kept in judgement.kept.items()
    }
    return ImageResult(
        filename=filename,
        tag=prompt.tag,
        prompt=prompt.prompt,
        correct=judgement.correct,
        reason=judgement.reason,
        metadata=json.dumps(prompt.metadata()),
        details=json.dumps(details),
    )


def read_results(path: Path) -> tuple[ImageResult, ...]:
    """Read the results of an official ``results.jsonl``.

    Raises:
        UserError: the file is missing or empty, or a line is not a result. The message names it.
    """
    if not path.is_file():
        raise MissingDataError(str(path), "there is no such results file", "Check the path.")
    results = []
    for number, line in enumerate(lines_of(read_text(path)), start=1):
        if not line.strip():
            continue
        try:
            results.append(ImageResult.model_validate_json(line))
        except ValidationError as error:
            remedy = "Give the results.jsonl that a GenEval scorer wrote, unchanged."
            raise UserError(f"{path}, line {number}", pydantic_problem(error), remedy) from error
    if not results:
        raise UserError(str(path), "it has no results", "Score some images first.")
    return tuple(results)


def results_text(results: Iterable[ImageResult]) -> str:
    """Return results as the lines of an official ``results.jsonl``."""
    return "".join(json.dumps(result.model_dump()) + "\n" for result in results)


def results_of(run: StoredRun) -> tuple[ImageResult, ...]:
    """Return the judged images of a run, in the form of the official results.

    Raises:
        UserError: the run has no GenEval verdicts.
    """
    samples = read_samples(run.folder, run.record)
    columns = [f"{FAMILY}-{part}" for part in ("reason", "metadata", "details")]
    if not {FAMILY, *columns} <= set(samples):
        raise UserError(
            f"run {run.record.run_id}", "it has no GenEval verdicts", "Run the suite 'geneval'."
        )
    judged = samples[samples[FAMILY].notna()]
    return tuple(
        _result(key, correct, *texts)
        for key, correct, *texts in judged[["key", FAMILY, *columns]].itertuples(index=False)
    )


def _result(key: str, correct: float, reason: str, metadata: str, details: str) -> ImageResult:
    number, image = split_image_key(key)
    prompt = ScenePrompt.model_validate_json(metadata)
    return ImageResult(
        filename=sample_name(int(number), image),
        tag=prompt.tag,
        prompt=prompt.prompt,
        correct=bool(correct),
        reason=reason,
        metadata=metadata,
        details=details,
    )

"""The packaged prompts, prompt files of others, and their variants."""

import hashlib
import json
from collections import Counter
from importlib.resources import files

import pytest
from pydantic import ValidationError

from layton_bench.errors import UserError
from layton_bench.tasks.geneval.prompts import (
    TASKS,
    ScenePrompt,
    digest,
    object_names,
    official_prompts,
    read_prompts,
    variant_of,
)

OFFICIAL = files("layton_bench") / "suites" / "geneval" / "evaluation_metadata.jsonl"


def test_the_official_prompts():
    prompts = official_prompts()
    assert Counter(prompt.tag for prompt in prompts) == {
        "single_object": 80,
        "two_object": 99,
        "counting": 80,
        "colors": 94,
        "position": 100,
        "color_attr": 100,
    }
    assert len({prompt.prompt for prompt in prompts}) == 553
    classes = {clause.class_name for prompt in prompts for clause in prompt.include}
    assert classes <= set(object_names())


def test_object_names():
    assert len(object_names()) == 80
    assert object_names()[0] == "person"
    assert object_names()[-1] == "toothbrush"


def test_metadata_is_written_as_the_official_file_has_it():
    lines = OFFICIAL.read_text().splitlines()
    assert [json.dumps(prompt.metadata()) for prompt in official_prompts()] == lines


def test_digest_is_that_of_the_official_file():
    assert digest(official_prompts()) == hashlib.sha256(OFFICIAL.read_bytes()).hexdigest()


def test_the_packaged_files_are_the_official_ones(shared):
    theirs = shared / "parity/geneval"
    assert (theirs / "evaluation_metadata.jsonl").read_bytes() == OFFICIAL.read_bytes()
    assert (theirs / "object_names.txt").read_text().split("\n")[:80] == list(object_names())


def test_variants():
    prompts = official_prompts()
    rewritten = [p.model_copy(update={"prompt": f"{p.prompt}, in the sun"}) for p in prompts]
    other = prompts[0].model_copy(update={"tag": "colors"})
    assert variant_of(prompts) == "original"
    assert variant_of(prompts[10:20][::-1]) == "original"
    assert variant_of(rewritten) == "rewritten"
    assert variant_of([*prompts[1:], rewritten[0]]) == "rewritten"
    assert variant_of([*prompts[1:], other]) == "other"


def test_a_prompt_file_reads_back(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text(OFFICIAL.read_text() + "\n\n")
    assert read_prompts(path) == official_prompts()


def test_every_bad_line_is_named(tmp_path):
    good = json.dumps(official_prompts()[0].metadata())
    path = tmp_path / "prompts.jsonl"
    path.write_text(f'{good}\nnot json\n{good}\n{{"tag": "colors"}}\n')
    with pytest.raises(UserError) as caught:
        read_prompts(path)
    assert caught.value.thing == str(path)
    assert "line 2: Invalid JSON: expected ident at column 2" in caught.value.reason
    assert "line 4: prompt: Field required" in caught.value.reason
    assert "line 1" not in caught.value.reason


def test_many_bad_lines_are_counted(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text("x\n" * 12)
    with pytest.raises(UserError, match="and 7 more bad lines"):
        read_prompts(path)


def test_bytes_that_are_no_text_are_a_bad_line(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(b"\xff\xfe\x00\x01\n")
    with pytest.raises(UserError, match="line 1"):
        read_prompts(path)


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_prompt_file(tmp_path, content):
    path = tmp_path / "prompts.jsonl"
    path.write_text(content)
    with pytest.raises(UserError, match="has no prompt"):
        read_prompts(path)


def test_no_prompt_file(tmp_path):
    with pytest.raises(UserError, match="no such prompt file"):
        read_prompts(tmp_path / "prompts.jsonl")


def test_a_relation_must_point_to_an_earlier_clause():
    clause = {"class": "dog", "count": 1, "position": ["below", 0]}
    with pytest.raises(ValidationError, match="not before it"):
        ScenePrompt.model_validate({"tag": "position", "include": [clause], "prompt": "x"})


def test_unknown_keys_are_refused():
    with pytest.raises(ValidationError, match="exlude"):
        ScenePrompt.model_validate({"tag": "colors", "exlude": [], "prompt": "x"})


def test_the_six_tasks():
    expected = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
    assert expected == TASKS

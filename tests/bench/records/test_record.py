import json

import pytest
from fakes import record, result
from jsonschema import Draft202012Validator
from places import DOCS

from layton_bench.records.record import RunRecord, json_schema

SCHEMA = DOCS / "record.schema.json"


def test_the_published_schema_is_not_stale() -> None:
    # layton-bench schema > docs/record.schema.json
    assert json.loads(SCHEMA.read_text("utf-8")) == json_schema()


def test_every_field_of_the_schema_is_described() -> None:
    schema = json_schema()
    objects = [schema, *schema["$defs"].values()]
    bare = [
        f"{part['title']}.{name}"
        for part in objects
        for name, field in part.get("properties", {}).items()
        if "description" not in field and part["title"] not in ("ModelCard", "Failure")
    ]
    assert bare == []


def test_a_record_validates_against_the_published_schema() -> None:
    validator = Draft202012Validator(json.loads(SCHEMA.read_text("utf-8")))
    raw = json.loads(record().model_dump_json())
    assert list(validator.iter_errors(raw)) == []
    raw["metrics"]["psnr"]["value"] = "Infinity"
    assert list(validator.iter_errors(raw)) == []
    raw["metrics"]["psnr"]["value"] = "much"
    assert len(list(validator.iter_errors(raw))) == 1


def test_status_and_metrics_are_asked_of_the_record() -> None:
    made = record(metrics={"psnr": result(), "fid": result(None, unavailable="no weights")})
    assert (made.is_complete, made.has("psnr"), made.has("fid"), made.has("ssim")) == (
        True, True, False, False,
    )  # fmt: skip
    assert not record(status="interrupted").is_complete


def test_a_record_is_frozen_and_takes_no_unknown_fields() -> None:
    made = record()
    with pytest.raises(ValueError, match="frozen"):
        made.seed = 2
    with pytest.raises(ValueError, match="Extra inputs"):
        RunRecord.model_validate(made.model_dump() | {"more": 1})

"""A declaration as a plugin of one model."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from layton_bench.errors import UserError
from layton_bench.models import ModelSpec
from layton_bench.registry import Plugins
from layton_bench.registry.declared import external_model

DECLARATION = f"""
command = [{json.dumps(sys.executable)}, "child.py"]
options.steps = 4

[card]
name = "declared"
kind = "tokenizer"
family = "tests"
summary = "a child"
"""


def test_a_declaration_registers_its_model_without_starting_it(tmp_path: Path) -> None:
    path = tmp_path / "declared.toml"
    path.write_text(DECLARATION)
    specs: list[ModelSpec] = []
    external_model(path).layton_bench_register_models(specs.append)
    (spec,) = specs
    assert (spec.card.name, spec.options) == ("declared", {"steps": 4})
    assert spec.files() == [path]


def test_a_file_named_twice_is_one_plugin(tmp_path: Path) -> None:
    path = tmp_path / "declared.toml"
    path.write_text(DECLARATION)
    assert external_model(path) is external_model(path)
    plugins = Plugins([str(path), str(path)])
    assert plugins.model("declared").card.summary == "a child"


def test_a_declaration_that_is_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.toml: there is no such file"):
        Plugins([str(tmp_path / "none.toml")])

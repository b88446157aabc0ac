"""Specs of plugins are refused for a field of another type."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fakes import card

from layton_bench.models import ModelSpec
from layton_bench.registry import Plugins
from layton_bench.registry.wellformed import refuse_wrong_types
from layton_bench.weights import WeightsEntry, WeightsFile


def test_everything_built_in_is_well_formed() -> None:
    plugins = Plugins()
    for table in (plugins.models, plugins.metrics, plugins.weights, plugins.datasets):
        for entry in table.entries.values():
            refuse_wrong_types(entry)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": 3}, "ModelCard.name is a int, not str"),
        ({"kind": "tokeniser"}, "ModelCard.kind is a str, not ModelKind"),
        ({"summary": None}, "ModelCard.summary is a NoneType, not str"),
        ({"sizes_px": [256]}, r"ModelCard.sizes_px is a list, not tuple\[int, ...\]"),
        ({"weights": ("a", 1)}, r"ModelCard.weights is a tuple, not tuple\[str, ...\]"),
        ({"num_tokens": "256"}, "ModelCard.num_tokens is a str"),
        ({"num_tokens": True}, "ModelCard.num_tokens is a bool"),
        ({"is_stochastic": "no"}, "ModelCard.is_stochastic is a str, not bool"),
    ],
)
def test_a_wrong_field_is_named(changes: dict[str, object], message: str) -> None:
    spec = ModelSpec(card=replace(card("m"), **changes), load=lambda context: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match=message):
        refuse_wrong_types(spec)


def test_numbers_of_numpy_are_numbers() -> None:
    found = replace(card("m"), num_tokens=np.int64(3), bits_per_image=np.float32(1.5))
    refuse_wrong_types(found)


def test_other_specs_are_looked_at_too() -> None:
    file = WeightsFile(path="x", url="u", size_bytes="big")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"WeightsFile\.size_bytes is a str"):
        refuse_wrong_types(file)
    entry = WeightsEntry(name="w", files=(file,), licence=None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"WeightsEntry\.licence is a NoneType"):
        refuse_wrong_types(entry)
    refuse_wrong_types("no dataclass")

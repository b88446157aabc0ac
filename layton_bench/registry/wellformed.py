"""Plugins' specs have fields of the declared types, before anything is done with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from numbers import Integral, Real
from typing import Any, get_args

from layton_bench.models import ModelCard, ModelKind


def _tuple_of(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, tuple) and all(isinstance(v, kind) for v in value)


def _instance_of(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kinds) and type(value) is not bool


_IS_OF: dict[str, Callable[[Any], bool]] = {
    "str": _instance_of(str),
    "str | None": _instance_of(str, type(None)),
    "bool": lambda value: isinstance(value, bool),
    "int": _instance_of(Integral),
    "int | None": _instance_of(Integral, type(None)),
    "float | None": _instance_of(Real, type(None)),
    "tuple[str, ...]": _tuple_of(str),
    "tuple[int, ...]": _tuple_of(Integral),
    "ModelKind": lambda value: value in get_args(ModelKind),
    "ModelCard": _instance_of(ModelCard),
}
"""Annotation → whether a value is of it. Other annotations are not checked."""


def refuse_wrong_types(spec: object) -> None:
    """Raise TypeError for a field of a dataclass that is not of its declared type."""
    if not is_dataclass(spec):
        return
    for field in fields(spec):
        value = getattr(spec, field.name)
        if not _IS_OF.get(str(field.type), lambda _: True)(value):
            kind = type(value).__name__
            raise TypeError(f"{type(spec).__name__}.{field.name} is a {kind}, not {field.type}")
        if isinstance(value, ModelCard):
            refuse_wrong_types(value)

"""The format of a file of gates. A file is validated before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from layton_bench.errors import UserError, pydantic_problem
from layton_bench.machine import read_toml


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Bounds(_Strict):
    """Fixed limits of a metric's value."""

    min: float | None = None
    """Smallest value that passes."""
    max: float | None = None
    """Largest value that passes."""

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        return self


class NotWorse(_Strict):
    """How much worse than the baseline a metric may be."""

    by: Annotated[float, Field(ge=0)] = 0.0
    """Allowed loss, in the unit of the metric. A loss is positive if the metric is worse."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.998
    """The gate fails if the loss is larger than ``by`` with at least this confidence."""


class TimeLimit(_Strict):
    """A limit on the time of a benchmark, from results that pytest-benchmark has stored."""

    now: str
    """JSON file of the new results (``--benchmark-json``), relative to the gates' file."""
    baseline: str
    """JSON file of the baseline results."""
    benchmark: str
    """Full name of the benchmark."""
    max_ratio: Annotated[float, Field(gt=0)] = 1.1
    """Allowed ratio of medians, new / baseline."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.998
    """The gate fails if the ratio is larger than ``max_ratio`` with at least this confidence."""


class Gate(_Strict):
    """One gate."""

    name: Annotated[str, Field(min_length=1)]
    """Name that pytest shows."""
    suite: str = ""
    """Suite to run."""
    model: str = ""
    """Model to run."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Use only this many samples."""
    settings: tuple[str, ...] = ()
    """Options of the model, as ``name=value``."""
    plugins: tuple[str, ...] = ()
    """Plugins to load: modules or paths."""
    data_root: str | None = None
    """Folder with the data sets, relative to the gates' file."""
    bounds: dict[str, Bounds] = {}
    """Metric → fixed limits of its value."""
    baseline: str | None = None
    """Folder of the baseline run, relative to the gates' file."""
    not_worse: dict[str, NotWorse] = {}
    """Metric → allowed loss against the baseline."""
    throughput: TimeLimit | None = None
    """Limit on a stored benchmark. Such a gate runs no model."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.throughput is not None:
            if self.model or self.suite or self.bounds or self.not_worse:
                raise ValueError("a throughput gate has no model, suite or metrics")
            return self
        if not self.model or not self.suite:
            raise ValueError("suite and model are missing")
        if not self.bounds and not self.not_worse:
            raise ValueError("there is no condition: give bounds or not_worse")
        if bool(self.not_worse) != (self.baseline is not None):
            raise ValueError("not_worse needs baseline, and baseline needs not_worse")
        return self


class _File(_Strict):
    gate: Annotated[tuple[Gate, ...], Field(min_length=1)]


def read_gates(path: Path) -> tuple[Gate, ...]:
    """Return the gates of a file; raise UserError with the file, the field and the problem."""
    table = read_toml(path)
    try:
        gates = _File.model_validate(table).gate
    except ValidationError as error:
        remedy = "docs/gates.md lists all fields."
        raise UserError(str(path), pydantic_problem(error), remedy) from None
    names = [gate.name for gate in gates]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(str(path), f"two gates are named '{twice[0]}'", "Rename one of them.")
    return gates

"""A suite: what is asked of a model, as data. One TOML file a suite, validated and hashed."""

from __future__ import annotations

import hashlib
from importlib.resources import as_file
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from layton_bench.errors import UserError, pydantic_problem
from layton_bench.images import RoundingRule
from layton_bench.machine import read_toml

SuiteKind = Literal["reconstruction", "generation"]


class Suite(BaseModel):
    """What is asked: data, preprocessing, rounding, metrics."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    """Name, ``<dataset><count?>-<size>``."""
    version: Annotated[int, Field(ge=1)] = 1
    """Raised whenever the same model would get another value."""
    kind: SuiteKind
    """Whether a model reconstructs images or draws prompts."""
    summary: str
    """One line for lists."""
    dataset: str
    """Name of the data set."""
    reference: str
    """Short name of the reference set in signatures (``in1k-val``)."""
    num_samples: Annotated[int, Field(ge=1)] | None = None
    """Samples of the complete suite; None takes the whole data set."""
    size_px: Annotated[int, Field(ge=8)] | None = None
    """Side of the square images; None leaves each at its own size."""
    protocol: str
    """Preprocessing protocol, ``name@version``."""
    rounding: RoundingRule = "round"
    """How float reconstructions become uint8."""
    images_per_prompt: Annotated[int, Field(ge=1)] = 1
    """Pictures drawn for each prompt of a generation suite."""
    metrics: tuple[str, ...]
    """Metric names, in the order of columns."""

    def digest(self) -> str:
        """SHA-256 over everything that decides a value; the list of metrics and texts do not."""
        return hashlib.sha256(
            self.model_dump_json(exclude={"metrics", "summary"}).encode()
        ).hexdigest()


def load_suite(path: Traversable | Path) -> Suite:
    """Read and validate a suite's TOML file; raises UserError naming the file and the field."""
    name, remedy = f"suite file {path}", "Fix these fields; see docs/suites.md."
    with as_file(path) as file:
        table = read_toml(file, name=name)
    try:
        return Suite.model_validate(table)
    except ValidationError as error:
        raise UserError(name, pydantic_problem(error), remedy) from None

"""A suite: what is asked of a model, as data. One TOML file a suite, validated and hashed."""

from __future__ import annotations

import hashlib
import tomllib
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from layton_bench.errors import UserError
from layton_bench.images import RoundingRule

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
    try:
        return Suite.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise UserError(f"suite file {path}", "there is no such file", "Check the path.") from None
    except OSError as error:
        raise UserError(
            f"suite file {path}", f"cannot be read: {error.strerror}", "Check the path."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"suite file {path}", f"not valid TOML: {error}", "Mend it.") from None
    except ValidationError as error:
        raise UserError(
            f"suite file {path}", _first_problems(error), "Mend these fields; see docs/suites.md."
        ) from None


def _first_problems(error: ValidationError) -> str:
    """Field and message of each problem, on one line."""
    problems = (f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
    return "; ".join(problems)

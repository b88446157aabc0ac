"""Versions of record.json, and the step from each to the next.

| version | what is new |
|---|---|
| 1 | the first |
| 2 | ``throughput``, ``model.environment`` |

The version is raised whenever an older layton-bench could not read what is written, and it refuses
unknown fields: so with every new field too. A record keeps its version on disk until it is written
again. Its digests are checked before any step, so a step never works on an edited record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

Raw = dict[str, Any]
Step = Callable[[Raw], Raw]

SCHEMA_VERSION: Final = 2


def _to_2(raw: Raw) -> Raw:
    """Everything that version 1 lacks has a default."""
    return raw


STEPS: Mapping[int, Step] = {1: _to_2}
"""Version → the step to the next one; a step may change what it is given."""


def can_migrate(
    found: object, *, steps: Mapping[int, Step] = STEPS, current: int = SCHEMA_VERSION
) -> bool:
    """Whether a record of version ``found`` is of the current version or can be brought to it."""
    if type(found) is not int or not found <= current:  # True is no version
        return False
    return all(version in steps for version in range(found, current))


def migrate(raw: Raw, *, steps: Mapping[int, Step] = STEPS, current: int = SCHEMA_VERSION) -> Raw:
    """A record of an older version as the current one has it; ``can_migrate`` must hold."""
    for version in range(raw["schema_version"], current):
        raw = {**steps[version](raw), "schema_version": version + 1}
    return raw

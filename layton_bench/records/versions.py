"""Versions of record.json, and the conversion from each version to the next.

| version | what is new |
|---|---|
| 1 | the first |
| 2 | ``throughput``, ``model.environment`` |
| 3 | ``inputs``, ``model.own_weights``, ``code`` of a metric, ``prompted_by``; samples' digests |

Raise the version with every new field, because an older layton-bench refuses unknown fields. A
record on disk keeps its version until it is written again. The digests of a record are checked
before it is converted, so a step never works on an edited record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

Raw = dict[str, Any]
Step = Callable[[Raw], Raw]

SCHEMA_VERSION: Final = 3


def _unchanged(raw: Raw) -> Raw:
    """Change nothing: all fields that the older version lacks have defaults."""
    return raw


STEPS: Mapping[int, Step] = {1: _unchanged, 2: _unchanged}
"""Version → function that converts to the next version. It may change its argument."""


def can_migrate(
    found: object, *, steps: Mapping[int, Step] = STEPS, current: int = SCHEMA_VERSION
) -> bool:
    """Whether a record of version ``found`` is current or can be converted."""
    if type(found) is not int or not found <= current:  # True is no version
        return False
    return all(version in steps for version in range(found, current))


def migrate(raw: Raw, *, steps: Mapping[int, Step] = STEPS, current: int = SCHEMA_VERSION) -> Raw:
    """Convert a record to the current version. ``can_migrate`` must be true."""
    for version in range(raw["schema_version"], current):
        raw = {**steps[version](raw), "schema_version": version + 1}
    return raw

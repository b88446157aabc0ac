"""The one definition of "comparable": what two runs must share for their values to be compared.

Two values are comparable if their runs have the same basis, and their metrics the same signature.
"""

from __future__ import annotations

from typing import NamedTuple

from layton_bench.records.record import RunRecord


class Basis(NamedTuple):
    """What the values of a run are made from, apart from its model.

    Attributes:
        suite: name of the suite.
        suite_digest: digest of everything in the suite that affects values.
        data: fingerprint of the contents of the selected samples.
        failed: keys of the samples that failed, sorted.
        effective: number of samples in the values.
    """

    suite: str
    suite_digest: str
    data: str
    failed: tuple[str, ...]
    effective: int


def basis(record: RunRecord) -> Basis:
    """Return the basis of a run. Runs with equal bases are comparable."""
    return Basis(
        suite=record.suite.name,
        suite_digest=record.suite_digest,
        data=record.data.fingerprint,
        failed=tuple(sorted(failure.key for failure in record.completeness.failed)),
        effective=record.completeness.effective,
    )


def why_not_comparable(first: RunRecord, second: RunRecord) -> str | None:
    """Return in words why two runs are not comparable; None if they are."""
    for name, a, b in zip(_NAMES, basis(first), basis(second), strict=True):
        if a != b:
            return f"they differ in {name}: {_shown(a)} and {_shown(b)}"
    return None


def mixed_settings(first: RunRecord, second: RunRecord) -> str | None:
    """Return in words why a difference has more than one cause; None if it has one or none.

    Two runs of one model may differ in one kind of setting: options, dtype, seed or weights. Two
    models must agree in dtype, in seed, and in the options that either run has changed.
    """
    a, b = first.model, second.model
    found = [] if a.name == b.name else [f"model ({a.name} and {b.name})"]
    shared = a.options.keys() & b.options.keys()
    if a.name != b.name:  # each model has its own defaults
        shared &= {*a.changed_options, *b.changed_options}
    options = [
        f"{name} ({a.options[name]} and {b.options[name]})"
        for name in sorted(shared)
        if a.options[name] != b.options[name]
    ]
    if options:
        found.append(", ".join(options))
    if a.dtype != b.dtype:
        found.append(f"dtype ({a.dtype} and {b.dtype})")
    if first.seed != second.seed:
        found.append(f"seed ({first.seed} and {second.seed})")
    if a.name == b.name and a.weights != b.weights:
        found.append("weights")
    return f"they differ in {' and in '.join(found)}" if len(found) > 1 else None


_NAMES = ("suite", "suite digest", "data contents", "failed samples", "number of samples")


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    is_digest = isinstance(value, str) and len(value) == 64
    return str(value)[:12] if is_digest else str(value)

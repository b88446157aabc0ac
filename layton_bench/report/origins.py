"""The provenance of each run, as pairs of name and text."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from layton_bench.records import RunRecord, left_out, marks, speed


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A run on the provenance page."""

    number: int
    name: str
    suite: str
    facts: tuple[tuple[str, str], ...]
    left_out: tuple[str, ...]
    signatures: tuple[tuple[str, str], ...]


def view_origin(number: int, name: str, record: RunRecord) -> Origin:
    """Return everything that affects a run's results."""
    return Origin(
        number=number,
        name=name,
        suite=record.suite.name,
        facts=tuple((name, text) for name, text in _facts(record) if text),
        left_out=tuple(left_out(record)),
        signatures=tuple((n, r.signature) for n, r in record.metrics.items()),
    )


def _facts(record: RunRecord) -> Iterator[tuple[str, str]]:
    done, origin, info = record.completeness, record.provenance, record.model
    yield "run", record.run_id
    yield "started", record.started
    yield "state", "; ".join(marks(record)) or "complete"
    yield "samples", f"{done.effective:,} of {done.expected:,}"
    yield "command", shlex.join(record.command)
    yield "suite", f"{record.suite.name} v{record.suite.version}, {record.suite_digest}"
    yield "protocol", f"{record.suite.protocol}, rounding {record.suite.rounding}"
    yield "data", f"{record.data.name}, {record.data.fingerprint}"
    yield "seed", str(record.seed)
    yield "model", info.name
    yield "options", ", ".join(f"{name}={value}" for name, value in info.options.items())
    yield "dtype", info.dtype
    yield "weights", ", ".join(f"{name} {digest}" for name, digest in info.weights.items())
    yield "licence", info.card.licence
    yield "source", info.card.source
    yield "device", f"{origin.device_name} ({origin.device}), {origin.threads} threads"
    yield "system", f"{origin.system}, {origin.processor}"
    yield "time", f"{record.timing.total_seconds:.1f} s in total"
    yield "speed", "; ".join(line.strip() for line in speed(record))
    environment = (f"{name} {found}" for name, found in info.environment.items())
    yield "model's environment", ", ".join(environment)
    yield "commit", _commit(record)
    yield "Python", origin.python
    yield "packages", ", ".join(f"{name} {found}" for name, found in origin.packages.items())
    yield "codecs", ", ".join(f"{name} {found}" for name, found in origin.codecs.items())
    yield "not applicable", ", ".join(record.not_applicable)


def _commit(record: RunRecord) -> str:
    origin = record.provenance
    if origin.git_commit is None:
        return ""
    return origin.git_commit + (", with uncommitted changes" if origin.git_dirty else "")

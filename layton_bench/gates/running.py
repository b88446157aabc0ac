"""Make the run that a gate judges."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from layton_bench.errors import UserError
from layton_bench.gates.file import Gate
from layton_bench.records import StoredRun
from layton_bench.registry import Plugins
from layton_bench.run import RunOptions, run


@lru_cache
def _plugins(extra: tuple[str, ...]) -> Plugins:
    return Plugins(extra)


def run_gate(gate: Gate, results: Path, folder: Path) -> StoredRun | None:
    """Return a run of the gate's model. A run in ``results`` with the same inputs is reused.

    Args:
        gate: the gate; a throughput gate has no run.
        results: folder of the runs.
        folder: folder of the gates' file. Paths in the gate are relative to it.

    Raises:
        UserError: the run is impossible, or samples failed.
    """
    if gate.throughput is not None:
        return None
    metrics = tuple(dict.fromkeys([*gate.bounds, *gate.not_worse]))
    options = RunOptions(
        out=results,
        limit=gate.limit,
        data_root=None if gate.data_root is None else folder / gate.data_root,
        metrics=metrics,
        overwrite="only-missing",
    )
    outcome = run(_plugins(gate.plugins), gate.suite, gate.model, options, settings=gate.settings)
    record = outcome.run.record
    if record.completeness.failed:
        first = record.completeness.failed[0]
        raise UserError(
            f"model '{gate.model}'",
            f"{len(record.completeness.failed)} samples failed,"
            f" first '{first.key}': {first.reason}",
            "A gate judges complete runs: fix the model or the data.",
        )
    return outcome.run

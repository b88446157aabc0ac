"""Benchmark runs while training: the harness's own command on the exported model.

layton does not import the harness. It runs the command as a user would, and reads the JSON.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from layton.training.recipe import EvaluationRecipe

__all__ = ["evaluate"]

_LOG = logging.getLogger(__name__)


def evaluate(plan: EvaluationRecipe, folder: Path) -> dict[str, float]:
    """Run a suite on an exported model; metric → value.

    A failed run is reported. Training continues without its values.

    Args:
        plan: the suite and its data.
        folder: an exported model; the harness finds it through LAYTON_MODELS.
    """
    command = [sys.executable, "-m", "layton_bench", "run", "--suite", plan.suite, "--json"]
    command += ["--model", folder.name, "--out", str(folder.parent / "evaluation")]
    command += ["--overwrite", "always"]
    if plan.data_root is not None:
        command += ["--data-root", str(plan.data_root)]
    if plan.limit is not None:
        command += ["--limit", str(plan.limit)]
    environment = os.environ | {"LAYTON_MODELS": str(folder.parent)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        _LOG.warning("evaluation failed (exit %d): %s", done.returncode, done.stderr[-2000:])
        return {}
    return _values(done.stdout)


def _values(output: str) -> dict[str, float]:
    """Metric → value of the one record in the command's JSON, where there is a value."""
    (record,) = json.loads(output)
    return {
        name: float(metric["value"])
        for name, metric in record["metrics"].items()
        if metric["value"] is not None
    }

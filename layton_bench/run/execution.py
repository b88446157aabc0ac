"""One run, from names to a record: plan, identify, reuse or set up, evaluate, record."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from layton_bench.errors import CtrlC, UserError
from layton_bench.machine import Reporter, Silent
from layton_bench.records import (
    RunRecord,
    StorageError,
    StoredRun,
    check_writable,
    copy_images,
    store,
)
from layton_bench.registry import Plugins
from layton_bench.run.engine.gallery import Gallery, image_spool, ranking_metric
from layton_bench.run.engine.loop import Evaluation
from layton_bench.run.identity import identify
from layton_bench.run.plan import Plan, RunOptions, make_plan
from layton_bench.run.recording import record_of
from layton_bench.run.reuse import find_todo, merge_into
from layton_bench.run.setup import evaluate_plan, set_up

if TYPE_CHECKING:
    import pandas as pd

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A run in the results folder.

    Attributes:
        run: its record and folder.
        is_reused: whether it existed before.
        lacking: what was asked for and an existing run does not have.
        is_stopped: whether Ctrl-C or SIGTERM asked to stop; the run may be complete all the same.
    """

    run: StoredRun
    is_reused: bool = False
    lacking: tuple[str, ...] = ()
    is_stopped: bool = False


def run(
    plugins: Plugins,
    suite_name: str,
    model_name: str,
    options: RunOptions,
    *,
    settings: Sequence[str] = (),
    reporter: Reporter | None = None,
) -> Outcome:
    """Run a model on a suite and store the record: ``make_plan``, then ``execute``."""
    plan = make_plan(plugins, suite_name, model_name, options, settings=settings)
    return execute(plugins, plan, reporter or Silent())


def execute(plugins: Plugins, plan: Plan, reporter: Reporter) -> Outcome:
    """Evaluate a plan, unless its record exists already, and store the record.

    Raises:
        UserError: there are no samples, or none of them could be used; the results folder cannot
            be written, …
        CtrlC: Ctrl-C was pressed before the first batch was done.
    """
    out = plan.options.out
    check_writable(out)
    identity = identify(plan, reporter)
    todo = find_todo(plugins, plan, identity)
    if todo.existing is not None and not todo.wanted:
        return Outcome(run=todo.existing, is_reused=True, lacking=todo.lacking)

    setup = set_up(plugins, plan, identity, todo.wanted)
    keeps_all = plan.options.keep_images and todo.existing is None
    with image_spool(out, is_wanted=keeps_all) as all_in:
        gallery = Gallery(*ranking_metric(setup.metrics, plan.metrics), all_in=all_in)
        done = evaluate_plan(
            plan, setup.candidates, setup.metrics, setup.clock, gallery=gallery, reporter=reporter
        )
        _refuse_nothing(done)
        setup.features.save()

        made = record_of(plan, identity, todo.wanted, setup, done)
        record, samples = made.record, made.samples
        if todo.existing is not None and not done.interrupted:
            record, samples = merge_into(todo.existing, record, samples, plan.metrics)
            stored = store(out, record, samples, partial(copy_images, todo.existing))
        else:
            stored = _store(out, record, samples, gallery)
    return Outcome(run=stored, is_stopped=made.is_stopped)


def _store(out: Path, record: RunRecord, samples: pd.DataFrame, gallery: Gallery) -> StoredRun:
    """Store a run; if the disk is too full for the pictures, store it without them."""
    try:
        return store(out, record, samples, gallery.save)
    except StorageError as error:
        gallery.drop()
        stored = store(out, record, samples, lambda _: ())
        _log.warning("the run is stored without its pictures: %s", error.reason)
        return stored


def _refuse_nothing(done: Evaluation) -> None:
    """A pass without one usable sample is no run."""
    if done.keys:
        return
    if done.interrupted:
        raise CtrlC
    first = done.failures[0]
    raise UserError(
        "the run",
        f"none of {len(done.failures)} samples could be used"
        f" ('{first.key}', {first.stage}: {first.reason})",
        "Check the data and the model.",
    )

"""A conversation with a child: handshake, requests, and restarts."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from layton_bench.errors import ModelOutputError, UserError
from layton_bench.models.base import LoadContext, ModelCard
from layton_bench.models.external.arrays import ArrayFolder
from layton_bench.models.external.process import ChildLostError, ChildProcess
from layton_bench.models.external.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layton_bench.models.external.declaration import TimeLimits

PROTOCOL: Final = 1

_MAX_FAILED_STARTS: Final = 3
"""Number in a row after which the remaining samples fail without another try."""

_HEARTBEATS: Final = 4
"""Heartbeats that a child sends within the longest allowed silence."""

_log = logging.getLogger(__name__)


class Session:
    """A child that answers one request at a time, and is restarted if it is lost.

    Args:
        card: the declared card. The child's own card must agree.
        command: program and arguments.
        environment: the child's environment variables.
        limits: how long to wait.
        cwd: the child's working directory.
        context: device, dtype, options and weights.

    Raises:
        UserError: the child does not start, or is another model.

    Attributes:
        environment: versions in the child's environment, as it reports them.
    """

    def __init__(
        self,
        card: ModelCard,
        command: Sequence[str],
        environment: Mapping[str, str],
        limits: TimeLimits,
        *,
        cwd: Path,
        context: LoadContext,
    ) -> None:
        self.environment: dict[str, str] = {}
        self._card, self._limits = card, limits
        self._command, self._variables, self._cwd = command, environment, cwd
        self._folder = Path(tempfile.mkdtemp(prefix="layton-bench-external-"))
        remove = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self.arrays = ArrayFolder(self._folder)
        self._hello = {
            "type": "hello",
            "protocol": PROTOCOL,
            "model": card.name,
            "device": context.device,
            "dtype": context.dtype,
            "options": dict(context.options),
            "weights": {name: str(context.weights(name)) for name in card.weights},
            "folder": str(self._folder),
            "heartbeat_seconds": limits.silence_seconds / _HEARTBEATS,
        }
        self._child: ChildProcess | None = None
        self._number = self._failed_starts = 0
        try:
            self._child = self._started()
        except ChildLostError as error:
            remove()
            raise UserError(
                f"external model '{card.name}'", str(error), "docs/external.md has the protocol."
            ) from None

    @contextmanager
    def ask(
        self, kind: str, arrays: Mapping[str, NDArray[Any]], **members: object
    ) -> Iterator[Mapping[str, Any]]:
        """Send a request; yields the child's answer, whose files are removed when the block ends.

        Args:
            kind: ``encode``, ``decode`` or ``generate``.
            arrays: member of the message → array, which is sent as a file.
            **members: other members of the message.

        Raises:
            ModelOutputError: the child failed, was lost, or cannot be started again.
            MemoryError: the child ran out of memory.
        """
        self._number += 1
        files = {name: self.arrays.put(f"{self._number}-{name}", a) for name, a in arrays.items()}
        try:
            yield self._answer({"type": kind, "id": self._number, **members, **files})
        finally:
            self.arrays.clear()

    def _answer(self, request: Mapping[str, object]) -> Mapping[str, Any]:
        try:
            child = self._child = self._child or self._restarted()
            child.send(json.dumps(request).encode())
            reply = self._next_message(
                child, seconds=self._limits.batch_seconds, silence=self._limits.silence_seconds
            )
            if reply["type"] not in ("done", "failed") or reply.get("id") != self._number:
                raise child.lost(
                    f"it answered {request['type']} {self._number} with {_brief(reply)}"
                )
        except ChildLostError as error:
            self._child = None
            raise ModelOutputError(f"external model: {error}") from None
        except BaseException as error:  # Ctrl-C: its answer must not be read as the next one's
            if self._child is not None:
                self._child.lost(type(error).__name__)
                self._child = None
            raise
        if reply["type"] == "failed":
            reason = printable(str(reply.get("reason", "it gives no reason")))
            raise (MemoryError if reply.get("out_of_memory") is True else ModelOutputError)(reason)
        return reply

    def _restarted(self) -> ChildProcess:
        if self._failed_starts >= _MAX_FAILED_STARTS:
            raise ChildLostError(f"it did not start {self._failed_starts} times in a row")
        _log.warning("restarting external model '%s'", self._card.name)
        try:
            child = self._started()
        except ChildLostError:
            self._failed_starts += 1
            raise
        self._failed_starts = 0
        return child

    def _started(self) -> ChildProcess:
        """Start a child and check its first message; raises ChildLostError."""
        child = ChildProcess(
            self._command, cwd=self._cwd, environment=self._variables, folder=self._folder
        )
        try:
            child.send(json.dumps(self._hello).encode())
            seconds = self._limits.start_seconds
            ready = self._next_message(child, seconds=seconds, silence=seconds)
            reason = self._refusal(ready)
            if reason:
                raise child.lost(reason)
        except ChildLostError:
            raise
        except BaseException as error:  # Ctrl-C while it loads
            child.lost(type(error).__name__)
            raise
        told = ready.get("environment")
        pairs = told.items() if isinstance(told, dict) else ()
        self.environment = {printable(str(name)): printable(str(v)) for name, v in pairs}
        return child

    def _refusal(self, ready: Mapping[str, Any]) -> str:
        """Return why the first message is not that of the declared model; "" if it is."""
        if ready["type"] == "failed":
            return f"it failed to load: {printable(str(ready.get('reason')))}"
        if ready["type"] != "ready":
            return f"it answered hello with {_brief(ready)}"
        if ready.get("protocol") != PROTOCOL:
            theirs = printable(str(ready.get("protocol")))
            return f"it speaks protocol {theirs}, this layton-bench speaks {PROTOCOL}"
        told, declared = ready.get("card"), asdict(self._card)
        if not isinstance(told, dict) or not {"name", "kind"} <= told.keys():
            return "its first message has no card with name and kind"
        for name, value in told.items():
            if name not in declared:
                return f"its card has an unknown member '{printable(str(name))}'"
            held = list(declared[name]) if isinstance(declared[name], tuple) else declared[name]
            if value != held:
                shown = printable(json.dumps(value))
                return f"its card says {name} {shown}, the declaration says {json.dumps(held)}"
        return ""

    def _next_message(
        self, child: ChildProcess, *, seconds: float, silence: float
    ) -> Mapping[str, Any]:
        """Return its next message that is not a heartbeat; raises ChildLostError."""
        heard = time.monotonic()
        end = heard + seconds
        while True:
            line = child.receive(min(end, heard + silence) - time.monotonic())
            now = time.monotonic()
            if line is None and now >= end:
                raise child.lost(f"it did not answer within {seconds:g} s")
            if line is None:
                raise child.lost(f"it sent nothing for {silence:g} s")
            message = _parsed(line)
            if message is None:
                shown = printable(line.decode(errors="replace"))
                raise child.lost(f"it wrote a line that is not a message: '{shown}'")
            heard = now
            if message["type"] != "alive":
                return message
            if now >= end:
                raise child.lost(f"it did not answer within {seconds:g} s")


def _parsed(line: bytes) -> dict[str, Any] | None:
    """Return the message in a line, or None if it is not an object with a type."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if isinstance(message, dict) and isinstance(message.get("type"), str):
        return message
    return None


def _brief(message: Mapping[str, Any]) -> str:
    return printable(json.dumps(message))[:200]

"""Installed weights: pull, add, verify, find.

Installed weights are in ``<root>/<name>/``. The root is ``LAYTON_BENCH_WEIGHTS``, or
``$HF_HOME/layton-bench/weights``, or the user's data directory. If no digest is published, the
digest of the first file that is installed is kept, and later files must match it. Only ``pull``
downloads. Missing weights are never replaced by others.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from layton_bench.errors import (
    MissingWeightsError,
    UnknownNameError,
    UserError,
    guarded_for_user,
)
from layton_bench.machine import writing_whole
from layton_bench.weights.addresses import (
    MIRROR_VARIABLE,
    address_of,
    find_in_hub_cache,
    hub_token,
    is_offline,
    unpublished,
)
from layton_bench.weights.checkpoint import is_safetensors, pickle_to_safetensors
from layton_bench.weights.checks import checked_digest
from layton_bench.weights.digests import joined_digest
from layton_bench.weights.download import Progress, download
from layton_bench.weights.entries import WeightsEntry, WeightsFile
from layton_bench.weights.manifest import Manifest

ROOT_VARIABLE = "LAYTON_BENCH_WEIGHTS"


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsStatus:
    """Whether an entry is installed on this machine.

    Attributes:
        entry: the entry.
        is_installed: whether all its files are installed.
        is_own: whether one of them is the user's own, not known to be the published one.
        problem: what is wrong with it; "" for nothing.
    """

    entry: WeightsEntry
    is_installed: bool
    is_own: bool = False
    problem: str = ""


class WeightsStore:
    """Installed weights of the registered entries.

    Args:
        entries: the registry.
        root: folder of installed weights; by default ``weights_root()``.
    """

    def __init__(self, entries: Mapping[str, WeightsEntry], root: Path | None = None) -> None:
        self._entries = entries
        self.root = root if root is not None else weights_root()

    def entry(self, name: str) -> WeightsEntry:
        """Return the entry of that name; raises UnknownNameError with near names."""
        try:
            return self._entries[name]
        except KeyError:
            raise UnknownNameError("weight", name, self._entries, listing="weights list") from None

    def is_installed(self, name: str) -> bool:
        """Return whether every file is installed, with the size that was verified."""
        if name not in self._entries:
            return False
        manifest = self._manifest(name)
        return all(manifest.has(file.path) for file in self._entries[name].files)

    def find(self, name: str) -> Path:
        """Return the path of an entry's file, or of the folder of its several files.

        Raises:
            UnknownNameError: not in the registry.
            MissingWeightsError: not installed; the message has the command that installs it.
        """
        entry = self.entry(name)
        if not self.is_installed(name):
            if not all(file.url for file in entry.files) and MIRROR_VARIABLE not in os.environ:
                raise unpublished(entry)  # `weights pull` could only say the same
            raise MissingWeightsError(
                f"weights '{name}'", "not found", f"run layton-bench weights pull {name}"
            )
        folder = self.root / name
        return folder / entry.files[0].path if len(entry.files) == 1 else folder

    def with_needs(self, names: Iterable[str]) -> list[str]:
        """Return the entries and all that they need, each once."""
        found: dict[str, None] = {}

        def visit(name: str) -> None:
            if name not in found:
                found[name] = None
                for other in self.entry(name).needs:
                    visit(other)

        for name in names:
            visit(name)
        return list(found)

    def is_own(self, name: str) -> bool:
        """Return whether a file of an entry is the user's own.

        That is a file that ``add`` installed, unless its published digest is known and matches.
        """
        manifest = self._manifest(name)
        return any(manifest.is_own(file.path) for file in self.entry(name).files)

    def digest(self, name: str) -> str:
        """Return the SHA-256 of the weights, as ``digest_of`` defines it.

        Raises:
            MissingWeightsError: not installed, or changed since.
        """
        self.find(name)
        digests = self._manifest(name).digests()
        return next(iter(digests.values())) if len(digests) == 1 else joined_digest(digests)

    def pull(
        self, name: str, progress: Callable[[str, int, int | None], None] = lambda *_: None
    ) -> Path:
        """Download the files of an entry that are missing or the user's own, and install them.

        Args:
            name: the entry.
            progress: called with file, bytes so far and total.

        Raises:
            UserError: offline, the address fails, or the file is not the expected one.
        """
        entry = self.entry(name)
        manifest = self._manifest(name)
        with self._locked(name):
            for file in entry.files:
                if manifest.is_own(file.path) or not manifest.is_sound(file.path):
                    digest = self._fetch(entry, file, partial(progress, file.path))
                    manifest.enter(file.path, digest)
        return self.find(name)

    def add(
        self, name: str, source: Path, *, trust_pickle: bool = False, may_be_own: bool = False
    ) -> Path:
        """Install a file that the user has, or a folder with several files of an entry.

        Args:
            name: the entry.
            source: copied, never moved.
            may_be_own: take a file whose digest is not the published one; ``is_own`` tells.
            trust_pickle: run a pickle that holds more than tensors, once, and keep its tensors as
                safetensors. It can run any code: only for files from a trusted source.

        Raises:
            UserError: a file is missing, has another digest or format, or is an unsafe pickle.
        """
        entry = self.entry(name)
        with self._locked(name):
            for file in entry.files:
                given = source / file.path if source.is_dir() else source
                digest = _check_given(entry, file, given, may_be_own=may_be_own)
                if entry.check is not None and not trust_pickle:
                    with guarded_for_user(str(given), "it cannot be checked", "Check the file."):
                        entry.check(given)
                _install_copy(given, self.root / name / file.path, trust_pickle=trust_pickle)
                is_own = file.sha256 is None or not digest.startswith(file.sha256)
                self._manifest(name).enter(file.path, digest, is_own=is_own)
        return self.find(name)

    def verify(self, name: str) -> WeightsStatus:
        """Read every file of an entry again and compare its digest."""
        entry = self.entry(name)
        manifest = self._manifest(name)
        problem = ""
        for file in entry.files if manifest else ():
            if not (self.root / name / file.path).is_file():
                problem = f"{file.path} is missing"
            elif not manifest.is_sound(file.path):
                problem = f"{file.path} has changed since it was installed"
        return WeightsStatus(
            entry=entry, is_installed=bool(manifest) and not problem, is_own=self.is_own(name),
            problem=problem,
        )  # fmt: skip

    def statuses(self) -> tuple[WeightsStatus, ...]:
        """Return every entry, by name, and whether it is installed."""
        return tuple(
            WeightsStatus(
                entry=self._entries[name], is_installed=self.is_installed(name),
                is_own=self.is_own(name),
            )
            for name in sorted(self._entries)
        )  # fmt: skip

    def _manifest(self, name: str) -> Manifest:
        return Manifest(self.root, name)

    def _fetch(self, entry: WeightsEntry, file: WeightsFile, progress: Progress) -> str:
        """Install one file from the hub's cache or the network; returns its digest."""
        target = self.root / entry.name / file.path
        expected = self._manifest(entry.name).pin(file.path) or file.sha256
        if (cached := find_in_hub_cache(file)) is not None:
            with suppress(MissingWeightsError):  # not the expected file: ask the network
                digest = checked_digest(
                    cached, name=file.path, source=str(cached), sha256=expected, remedy=""
                )
                _install_copy(cached, target)
                return digest
        if is_offline():
            raise MissingWeightsError(
                f"weights '{entry.name}'",
                "not found, and the offline switch is on",
                f"run layton-bench weights add {entry.name} FILE, or pull with"
                " LAYTON_BENCH_OFFLINE and HF_HUB_OFFLINE unset",
            )
        url = address_of(entry, file)
        return download(
            url, target, sha256=expected, size_bytes=file.size_bytes, token=hub_token(url),
            progress=progress,
        )  # fmt: skip

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Let only one process change an entry."""
        from filelock import FileLock

        lock = FileLock(self.root / f"{name}.lock")
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except OSError as error:
            raise UserError(
                f"folder of weights {self.root}",
                f"it cannot be written ({error.strerror or error})",
                f"Set {ROOT_VARIABLE} to another folder.",
            ) from error
        try:
            yield
        finally:
            lock.release()


def weights_root() -> Path:
    """Return the folder of installed weights, from the environment or the user's data directory."""
    if given := os.environ.get(ROOT_VARIABLE):
        return Path(given)
    if hub_home := os.environ.get("HF_HOME"):
        return Path(hub_home) / "layton-bench" / "weights"
    from platformdirs import user_data_path

    return user_data_path("layton-bench") / "weights"


def _check_given(entry: WeightsEntry, file: WeightsFile, given: Path, *, may_be_own: bool) -> str:
    """Return the digest of a file to be added; raises UserError if it cannot be taken."""
    if not given.is_file():
        what = "one file" if len(entry.files) == 1 else f"a folder with {file.path}"
        raise UserError(str(given), "there is no such file", f"{entry.name} takes {what}.")
    return checked_digest(
        given, name=file.path, source=str(given), sha256=file.sha256,
        may_be_another=may_be_own,
        remedy=f"Get the file of {entry.name}{f' from {file.url}' if file.url else ''}.",
    )  # fmt: skip


def _install_copy(source: Path, target: Path, *, trust_pickle: bool = False) -> None:
    """Copy a file into place; a trusted pickle is converted to safetensors."""
    with writing_whole(target) as part:
        if trust_pickle and not is_safetensors(source):
            pickle_to_safetensors(source, part)
        else:
            shutil.copyfile(source, part)

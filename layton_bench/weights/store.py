"""The weights registry: name → address, SHA-256, size, licence; pull, add, verify, find.

Installed weights lie in ``<root>/<name>/``; root is ``LAYTON_BENCH_WEIGHTS``, else
``$HF_HOME/layton-bench/weights``, else the user's data directory. A digest that is not known
beforehand is recorded when a file first comes and held to from then on. Nothing is downloaded
but by ``pull``, and nothing ever stands in for weights that are missing.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from layton_bench.errors import MissingWeightsError, UnknownNameError, UserError
from layton_bench.machine import write_whole, writing_whole
from layton_bench.weights.checkpoint import is_safetensors, pickle_to_safetensors
from layton_bench.weights.download import (
    Progress,
    download,
    hub_endpoint,
    hub_token,
    is_offline,
    sha256_of,
)

ROOT_VARIABLE = "LAYTON_BENCH_WEIGHTS"
MIRROR_VARIABLE = "LAYTON_BENCH_MIRROR"
_MANIFEST = ".installed.json"
_NAME = re.compile(r"[a-z0-9][a-z0-9._+-]*")
_HUB_URL = re.compile(r"hub://(?P<repo>[^/]+/[^/]+)/(?P<revision>[^/]+)/(?P<path>.+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsFile:
    """One file of an entry.

    Attributes:
        path: name inside the entry's folder, with forward slashes.
        url: http(s) address, or ``hub://owner/repo/revision/path`` on the Hugging Face hub; empty
            where the weights have no public address and only ``add`` can install them.
        sha256: digest, or its first eight or more digits where the publisher gives only these in
            the file's name (torch hub does); None where none is published.
        size_bytes: None where not known.
    """

    path: str
    url: str
    sha256: str | None = None
    size_bytes: int | None = None

    def __post_init__(self) -> None:
        """Refuse a path that leaves the entry's folder."""
        parts = PurePosixPath(self.path).parts
        if not parts or self.path.startswith("/") or ".." in parts or "\\" in self.path:
            raise ValueError(f"not a path inside an entry: {self.path!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsEntry:
    """What is known of some weights without having them.

    Attributes:
        name: as metrics and models name them (``inception-fid``).
        files: one or more; of a single one ``find`` gives the file, of several their folder.
        licence: of the weights, SPDX where one exists.
        used_by: metrics and models that need them.
        summary: one line for ``weights list``.
    """

    name: str
    files: tuple[WeightsFile, ...]
    licence: str
    used_by: tuple[str, ...] = ()
    summary: str = ""

    def __post_init__(self) -> None:
        """Refuse a name that is no plain folder name, and an entry without files."""
        if not _NAME.fullmatch(self.name) or not self.files:
            raise ValueError(f"not a weights entry: {self.name!r} with {len(self.files)} files")

    @property
    def size_bytes(self) -> int | None:
        """Size of all files; None where one is not known."""
        sizes = [file.size_bytes for file in self.files]
        return None if None in sizes else sum(size or 0 for size in sizes)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsStatus:
    """An entry and what became of it on this machine: ``problem`` is "" where it is sound."""

    entry: WeightsEntry
    is_installed: bool
    problem: str = ""


class WeightsStore:
    """Installed weights of the registered entries.

    Args:
        entries: the registry.
        root: where installed weights lie; None takes ``weights_root()``.
    """

    def __init__(self, entries: Mapping[str, WeightsEntry], root: Path | None = None) -> None:
        self._entries = entries
        self.root = root if root is not None else weights_root()

    def entry(self, name: str) -> WeightsEntry:
        """The entry of that name; raises UnknownNameError with the nearest names."""
        try:
            return self._entries[name]
        except KeyError:
            raise UnknownNameError("weight", name, self._entries, listing="weights list") from None

    def is_installed(self, name: str) -> bool:
        """Whether every file is there, at the size it had when it was verified."""
        installed = self._manifest(name)
        return name in self._entries and all(
            file.path in installed
            and _size(self.root / name / file.path) == installed[file.path]["size"]
            for file in self._entries[name].files
        )

    def find(self, name: str) -> Path:
        """The file of an entry with one file, the folder of one with several.

        Raises:
            UnknownNameError: not in the registry.
            MissingWeightsError: not installed, with the command that installs it.
        """
        entry = self.entry(name)
        if not self.is_installed(name):
            raise MissingWeightsError(
                f"weights '{name}'", "not found", f"run layton-bench weights pull {name}"
            )
        folder = self.root / name
        return folder / entry.files[0].path if len(entry.files) == 1 else folder

    def digest(self, name: str) -> str:
        """SHA-256 of the weights: of the file, or of the sorted lines of several files' digests.

        A file whose size or time has changed since it was verified is read again.

        Raises:
            MissingWeightsError: not installed, or no longer what was installed.
        """
        self.find(name)
        manifest = self._manifest(name)
        digests = {path: self._checked(name, path, rec) for path, rec in manifest.items()}
        if len(digests) == 1:
            return next(iter(digests.values()))
        lines = "\n".join(f"{digests[path]}  {path}" for path in sorted(digests))
        return hashlib.sha256(lines.encode()).hexdigest()

    def pull(
        self, name: str, progress: Callable[[str, int, int | None], None] = lambda *_: None
    ) -> Path:
        """Download what is missing of an entry, verify it and install it.

        Args:
            name: the entry.
            progress: told file, bytes at hand and total.

        Raises:
            UserError: offline, the address fails, or what came is not what was expected.
        """
        entry = self.entry(name)
        with self._locked(name):
            for file in entry.files:
                if not self._is_sound(name, file.path):
                    digest = self._fetch(entry, file, partial(progress, file.path))
                    self._install(name, file.path, digest)
        return self.find(name)

    def add(self, name: str, source: Path, *, trust_pickle: bool = False) -> Path:
        """Install a file (or a folder with an entry's several files) the user has.

        Args:
            name: the entry.
            source: copied, never moved.
            trust_pickle: run a pickle that is more than tensors, once, and keep its tensors as
                safetensors. It can run any code: for files from a source you trust.

        Raises:
            UserError: a file is missing, has the wrong digest, or is an unsafe pickle.
        """
        entry = self.entry(name)
        with self._locked(name):
            for file in entry.files:
                given = source / file.path if source.is_dir() else source
                digest = self._expect(entry, file, given)
                _copy_atomically(given, self.root / name / file.path, trust_pickle=trust_pickle)
                self._install(name, file.path, digest)
        return self.find(name)

    def verify(self, name: str) -> WeightsStatus:
        """Read every file of an entry again and compare its digest."""
        entry = self.entry(name)
        manifest = self._manifest(name)
        problem = ""
        for file in entry.files if manifest else ():
            if not (self.root / name / file.path).is_file():
                problem = f"{file.path} is missing"
            elif not self._is_sound(name, file.path):
                problem = f"{file.path} is not what was installed"
        return WeightsStatus(
            entry=entry, is_installed=bool(manifest) and not problem, problem=problem
        )

    def statuses(self) -> tuple[WeightsStatus, ...]:
        """Every entry, by name, and whether it is installed."""
        names = sorted(self._entries)
        return tuple(
            WeightsStatus(entry=self._entries[n], is_installed=self.is_installed(n)) for n in names
        )

    def _fetch(self, entry: WeightsEntry, file: WeightsFile, progress: Progress) -> str:
        """Bring one file here, from the hub's own cache where it has it; returns its digest."""
        target = self.root / entry.name / file.path
        expected = self._pins(entry.name).get(file.path) or file.sha256
        if (cached := _in_hub_cache(file.url)) is not None:
            digest = sha256_of(cached)
            if expected is None or digest.startswith(expected):
                _copy_atomically(cached, target)
                return digest
        if is_offline():
            raise MissingWeightsError(
                f"weights '{entry.name}'",
                "not found, and the offline switch is on",
                f"run layton-bench weights add {entry.name} FILE, or pull with"
                " LAYTON_BENCH_OFFLINE and HF_HUB_OFFLINE unset",
            )
        url = _address(entry, file)
        return download(url, target, sha256=expected, token=hub_token(url), progress=progress)

    def _expect(self, entry: WeightsEntry, file: WeightsFile, given: Path) -> str:
        """Digest of a file to be added; raises UserError where it is not the one expected."""
        if not given.is_file():
            what = "one file" if len(entry.files) == 1 else f"a folder with {file.path}"
            raise UserError(str(given), "there is no such file", f"{entry.name} takes {what}.")
        digest = sha256_of(given)
        if file.sha256 is not None and not digest.startswith(file.sha256):
            raise MissingWeightsError(
                str(given),
                f"its SHA-256 is {digest}, that of {entry.name} begins with {file.sha256}",
                f"Get the file from {file.url}.",
            )
        return digest

    def _checked(self, name: str, path: str, record: Mapping[str, Any]) -> str:
        target = self.root / name / path
        stat = target.stat()
        digest: str = record["sha256"]
        if (stat.st_size, stat.st_mtime_ns) != (record["size"], record["mtime_ns"]) and (
            sha256_of(target) != digest
        ):
            raise MissingWeightsError(
                f"weights '{name}'",
                f"{path} has changed since it was installed",
                f"Delete {target} and run layton-bench weights pull {name}.",
            )
        return digest

    def _manifest(self, name: str) -> dict[str, dict[str, Any]]:
        return _read_json(self.root / name / _MANIFEST)

    def _pins(self, name: str) -> dict[str, str]:
        """Digests of what first came under that name, by file."""
        return _read_json(self.root / f"{name}.pins.json")

    def _install(self, name: str, path: str, source_sha256: str) -> None:
        """Enter a file in the manifest, the last step: without it the file does not count."""
        target = self.root / name / path
        stat = target.stat()
        record = {
            "sha256": sha256_of(target), "size": stat.st_size, "mtime_ns": stat.st_mtime_ns,
        }  # fmt: skip
        pins = self._pins(name) | {path: source_sha256}
        _write_json(self.root / f"{name}.pins.json", pins)
        _write_json(self.root / name / _MANIFEST, self._manifest(name) | {path: record})

    def _is_sound(self, name: str, path: str) -> bool:
        record = self._manifest(name).get(path)
        target = self.root / name / path
        if record is None or not target.is_file():
            return False
        return sha256_of(target) == str(record["sha256"])

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """One process at a time changes an entry."""
        from filelock import FileLock

        self.root.mkdir(parents=True, exist_ok=True)
        with FileLock(self.root / f"{name}.lock"):
            yield


def weights_root() -> Path:
    """Where installed weights lie, from the environment or the user's data directory."""
    if given := os.environ.get(ROOT_VARIABLE):
        return Path(given)
    if hub_home := os.environ.get("HF_HOME"):
        return Path(hub_home) / "layton-bench" / "weights"
    from platformdirs import user_data_path

    return user_data_path("layton-bench") / "weights"


def hub_file(
    repo: str, path: str, *, revision: str = "main", sha256: str | None = None,
    size_bytes: int | None = None, save_as: str = "",
) -> WeightsFile:  # fmt: skip
    """A file of a Hugging Face repository, kept under its own last name by default."""
    return WeightsFile(
        path=save_as or PurePosixPath(path).name, url=f"hub://{repo}/{revision}/{path}",
        sha256=sha256, size_bytes=size_bytes,
    )  # fmt: skip


def _address(entry: WeightsEntry, file: WeightsFile) -> str:
    """Where to ask: the user's mirror (laid out as an installed root is), the hub, or the url."""
    if mirror := os.environ.get(MIRROR_VARIABLE):
        return f"{mirror.rstrip('/')}/{entry.name}/{file.path}"
    if match := _HUB_URL.fullmatch(file.url):
        return f"{hub_endpoint()}/{match['repo']}/resolve/{match['revision']}/{match['path']}"
    if not file.url:
        raise MissingWeightsError(
            f"weights '{entry.name}'",
            f"{file.path} has no public address",
            f"run layton-bench weights add {entry.name} FILE",
        )
    return file.url


def _in_hub_cache(url: str) -> Path | None:
    """The file in the Hugging Face cache (below HF_HOME), if somebody fetched it before."""
    match = _HUB_URL.fullmatch(url)
    if match is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(match["repo"], match["path"], revision=match["revision"])
    return Path(found) if isinstance(found, str) else None


def _copy_atomically(source: Path, target: Path, *, trust_pickle: bool = False) -> None:
    """Copy beside the target and move into place; an unsafe pickle is converted or refused."""
    with writing_whole(target) as part:
        if trust_pickle and not is_safetensors(source):
            pickle_to_safetensors(source, part)
        else:
            shutil.copyfile(source, part)


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _read_json(path: Path) -> dict[str, Any]:
    """The object in a file; empty where there is none or it is damaged."""
    try:
        loaded = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_whole(path, json.dumps(content, indent=1, sort_keys=True) + "\n")

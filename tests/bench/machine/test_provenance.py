import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from layton_bench.machine import provenance
from layton_bench.machine.provenance import collect


def git(folder: Path, *words: str) -> str:
    author = ["-c", "user.name=n", "-c", "user.email=e@x"]
    done = subprocess.run(
        ["git", "-C", str(folder), *author, *words], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def test_versions_and_machine_are_those_of_this_process() -> None:
    found = collect("cpu")
    assert found.python == platform.python_version()
    assert found.packages["torch"] == version("torch")
    assert found.packages["numpy"] == version("numpy")
    assert found.device == "cpu"
    assert found.device_name == found.processor != ""
    assert found.threads == torch.get_num_threads()
    assert set(found.codecs) <= {
        "libjpeg_turbo", "jpg_2000", "webp", "avif", "zlib", "littlecms2",
    }  # fmt: skip
    assert found.codecs["webp"][0].isdigit()


def test_packages_that_are_not_installed_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "_PACKAGES", ("torch", "no-such-package"))
    assert list(collect("cpu").packages) == ["torch"]


def test_the_commit_and_whether_anything_changed(checkout: Path) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    assert provenance._git_state(checkout) == (commit, False)
    (checkout / "untracked").write_text("does not count")
    assert provenance._git_state(checkout) == (commit, False)
    (checkout / "file").write_text("two")
    assert provenance._git_state(checkout) == (commit, True)


def test_reading_the_state_runs_nothing_of_the_checkout(checkout: Path) -> None:
    ran = checkout / "ran"
    hook = checkout / "monitor"
    hook.write_text(f"#!/bin/sh\ntouch {ran}\n")
    hook.chmod(0o755)
    git(checkout, "config", "core.fsmonitor", str(hook))
    provenance._git_state(checkout)
    assert not ran.exists()


def test_outside_a_checkout_there_is_no_commit(tmp_path: Path) -> None:
    assert provenance._git_state(tmp_path) == (None, None)


def test_without_git_there_is_no_commit(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert provenance._git_state(checkout) == (None, None)


def test_a_checkout_without_a_commit_has_none(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    assert provenance._git_state(tmp_path) == (None, None)


def test_a_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU behind {device}")
    assert collect("cuda:1").device_name == "GPU behind cuda:1"


def test_other_systems_name_their_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance.sys, "platform", "darwin")
    monkeypatch.setattr(platform, "processor", lambda: "arm")
    assert collect("cpu").processor == "arm"

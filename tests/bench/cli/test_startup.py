"""What a start of the command line imports."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from processes import environment

HEAVY = {"torch", "pandas", "transformers", "diffusers", "scipy", "matplotlib", "cv2", "skimage"}
CODE = """
import json, sys
{}
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def modules_after(code: str, folder: Path) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(code)], cwd=folder, env=environment(),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_importing_the_package_imports_no_room(tmp_path: Path) -> None:
    before = modules_after("import lazy_loader, importlib.metadata", tmp_path)
    after = modules_after("import layton_bench; layton_bench.__version__", tmp_path)
    ours = {name for name in after if name.split(".")[0].startswith("layton")}
    assert ours == {"layton_bench"}
    assert len(after - before) < 60  # what reading the version takes


def test_help_imports_the_faces_of_rooms_alone(tmp_path: Path) -> None:
    code = "from layton_bench.cli import invoke; invoke(['run', '--help'])"
    loaded = modules_after(code, tmp_path)
    inner = {name for name in loaded if name.startswith("layton_bench.") and name.count(".") > 1}
    needed = ("layton_bench.cli.", "layton_bench.machine.", "layton_bench.tasks.geneval")
    assert {name for name in inner if not name.startswith(needed)} == set()
    assert not {"numpy", "PIL"} & loaded


@pytest.mark.parametrize(
    "words", ["--help", "run --help", "list models", "list plugins", "list suites", "list runs"]
)
def test_help_and_lists_import_nothing_heavy(tmp_path: Path, words: str) -> None:
    loaded = modules_after(
        f"from layton_bench.cli import invoke; invoke({words.split()})", tmp_path
    )
    assert not HEAVY & loaded
    assert len(loaded) < 1000

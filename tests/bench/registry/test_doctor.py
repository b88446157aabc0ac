import sys
from importlib.abc import MetaPathFinder
from pathlib import Path

import pytest
import torch
from lab import Lab, Site

from layton_bench.registry import doctor
from layton_bench.registry.doctor import Finding, examine
from layton_bench.registry.plugins import Plugins

PLUGIN = """
    from pathlib import Path

    from layton_bench import (
        DatasetSpec, MetricSpec, ModelCard, ModelSpec, UserError, WeightsEntry, hookimpl, hub_file
    )

    def lack():
        raise UserError("pipeline a/b", "it is not here", "Run `hf download a/b`.")

    def fail(root):
        raise RuntimeError("no shelf")

    @hookimpl
    def layton_bench_register_models(register):
        card = ModelCard(
            name="weighty", kind="tokenizer", family="f", summary="s", weights=("the-weights",),
            aliases=("w",),
        )
        register(ModelSpec(card=card, load=lambda context: None))
        for name, files in (("filed", lambda: [Path("a"), Path("b")]), ("lacking", lack)):
            card = ModelCard(name=name, kind="generator", family="f", summary="s")
            register(ModelSpec(card=card, load=lambda context: None, files=files))

    @hookimpl
    def layton_bench_register_metrics(register):
        common = {"label": "L", "direction": "lower", "summary": "s", "make": print}
        needs = {"weights": ("the-weights",), "requires": {"numpy": "x"}}
        register(MetricSpec(name="seen", **needs, **common))
        register(MetricSpec(name="unseen", requires={"no_such_package": "extra"}, **common))

    @hookimpl
    def layton_bench_register_weights(register):
        register(WeightsEntry(name="the-weights", files=(hub_file("a/b", "c"),), licence="MIT"))

    @hookimpl
    def layton_bench_register_datasets(register):
        register(DatasetSpec(name="broken", summary="s", num_items=None, open=fail))
"""


def found(root: Path | None = None) -> dict[tuple[str, str], Finding]:
    return {(f.area, f.name): f for f in examine(Plugins(), root)}


def test_models_made_of_files_of_their_own_are_found_or_not(site: Site) -> None:
    site.plugin("doctored", PLUGIN)
    models = {name: f for (area, name), f in found().items() if area == "models"}
    assert (models["filed"].is_found, models["filed"].detail) == (True, "2 files")
    assert not models["lacking"].is_found
    assert models["lacking"].detail == "pipeline a/b: it is not here. Run `hf download a/b`."
    assert "weighty" not in models


def test_the_machine_is_described() -> None:
    here = found()
    assert here["machine", "torch"].detail == (
        f"{torch.__version__}, {torch.get_num_threads()} threads"
    )
    assert here["machine", "layton-bench"].is_found


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [
        (False, False, (False, "none that torch can use; models run on the CPU")),
        (True, False, (True, "a GPU")),
        (False, True, (True, "Metal")),
    ],
)
def test_gpus_are_looked_for(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, expected: tuple[bool, str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    gpu = found()["machine", "GPU"]
    assert (gpu.is_found, gpu.detail) == expected


def test_embedded_data_is_found_and_what_it_enables() -> None:
    photos = found()["data sets", "photos"]
    assert (photos.is_found, photos.detail) == (True, "10 images")
    assert "photos-256, photos-512" in photos.enables


def test_missing_data_says_where_it_is_expected(tmp_path: Path) -> None:
    coco = found(tmp_path)["data sets", "coco-val2017"]
    assert not coco.is_found
    assert str(tmp_path / "val2017") in coco.detail
    drawn = "coco-gen-1024, coco-gen-256"
    assert coco.enables == f"suites {drawn}, coco5k-1024, coco5k-256, coco5k-512"


def test_part_of_a_data_set_is_told_as_a_part(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    (lab.pictures.parent / "mjhq").symlink_to(lab.pictures)
    assert found(lab.pictures.parent)["data sets", "mjhq"].detail == "5 of 30,000 images"


def test_weights_and_packages_name_who_needs_them(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAYTON_BENCH_WEIGHTS", str(tmp_path / "weights"))
    site.plugin("needy", PLUGIN)
    here = found()
    weights = here["weights", "the-weights"]
    assert (weights.is_found, weights.detail, weights.enables) == (
        False, "layton-bench weights pull the-weights", "metric seen, model weighty",
    )  # fmt: skip
    package = here["packages", "no_such_package"]
    assert (package.is_found, package.detail, package.enables) == (
        False, "pip install 'layton-bench[extra]'", "metric unseen",
    )  # fmt: skip
    assert here["packages", "numpy"].detail == "installed"


def test_installed_weights_are_found(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAYTON_BENCH_WEIGHTS", str(tmp_path / "weights"))
    site.plugin("needy", PLUGIN)
    (tmp_path / "c").write_bytes(b"weights")
    doctor.WeightsStore(Plugins().weights.entries).add("the-weights", tmp_path / "c")
    weights = found()["weights", "the-weights"]
    assert weights.is_found
    path, _, note = weights.detail.partition(" (")
    assert Path(path).read_bytes() == b"weights" and note == "own weights)"


def test_a_plugin_whose_data_set_cannot_be_opened_does_not_end_it(site: Site) -> None:
    site.plugin("needy", PLUGIN)
    broken = found()["data sets", "broken"]
    assert not broken.is_found
    assert "data set 'broken' of needy of dist-needy: it cannot be opened (RuntimeError: no" in (
        broken.detail
    )


def test_plugins_are_listed_with_their_faults(site: Site) -> None:
    site.plugin("bad_one", "import no_such_module_here")
    site.module("named_one", PLUGIN)
    here = {(f.area, f.name): f for f in examine(Plugins(["named_one"]), None)}
    assert "ModuleNotFoundError" in here["plugins", "bad_one"].detail
    assert not here["plugins", "bad_one"].is_found
    assert here["plugins", "named_one"].detail == "named by you"
    assert here["plugins", "builtin"].detail.startswith("layton-bench ")
    assert "no_such_module_here" not in sys.modules


@pytest.mark.parametrize(
    "fault", [ImportError("libGL.so.1: cannot open shared object file"), SystemExit(1)]
)
def test_opencv_that_cannot_be_imported_is_found_out(
    monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    assert found()["machine", "OpenCV"].is_found

    class Broken(MetaPathFinder):
        def find_spec(self, name: str, *_: object) -> None:
            if name == "cv2":
                raise fault

    monkeypatch.delitem(sys.modules, "cv2")
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    opencv = found()["machine", "OpenCV"]
    assert not opencv.is_found
    assert str(fault) in opencv.detail and "opencv-python-headless" in opencv.detail
    assert opencv.enables == "faster PSNR, SSIM and MS-SSIM"

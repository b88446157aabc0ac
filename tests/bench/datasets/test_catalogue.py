import json
import subprocess
import sys

import pytest

from layton_bench.datasets.catalogue import DATASETS
from layton_bench.errors import MissingDataError

BY_NAME = {spec.name: spec for spec in DATASETS}


def test_what_there_is():
    assert {name: spec.num_items for name, spec in BY_NAME.items()} == {
        "photos": 10,
        "imagenet-val": 50_000,
        "coco-val2017": 5_000,
        "mjhq": 30_000,
        "dpg-prompts": 1_065,
        "flux5k": 5_000,
    }
    assert len(BY_NAME["photos"].open(None).items()) == 10


@pytest.mark.parametrize("name", sorted(set(BY_NAME) - {"photos"}))
def test_missing_data_names_the_path_and_the_way_to_get_it(name, tmp_path):
    with pytest.raises(MissingDataError) as caught:
        BY_NAME[name].open(tmp_path)
    assert caught.value.thing.startswith(str(tmp_path))
    assert "--data-root" in caught.value.remedy
    with pytest.raises(MissingDataError, match="no data root was given") as caught:
        BY_NAME[name].open(None)
    assert "--data-root" in caught.value.remedy


def test_a_folder_by_its_name_or_itself(tmp_path):
    folder = tmp_path / "flux5k"
    folder.mkdir()
    (folder / "0.png").write_bytes(b"x")
    for root in (tmp_path, folder):
        dataset = BY_NAME["flux5k"].open(root)
        assert dataset.name == "flux5k"
        assert [item.key for item in dataset.items()] == ["0"]


def test_mjhq_takes_its_prompts_along(tmp_path):
    folder = tmp_path / "mjhq"
    (folder / "mjhq30k_imgs" / "people").mkdir(parents=True)
    (folder / "mjhq30k_imgs" / "people" / "ab12.jpg").write_bytes(b"x")
    assert BY_NAME["mjhq"].open(tmp_path).items()[0].captions == ()
    (folder / "meta_data.json").write_text(json.dumps({"ab12": {"prompt": "a man"}}))
    (item,) = BY_NAME["mjhq"].open(tmp_path).items()
    assert (item.key, item.captions) == ("mjhq30k_imgs/people/ab12", ("a man",))


@pytest.mark.parametrize("below", ["dpg_bench", "ELLA/dpg_bench", ""])
def test_dpg_bench_as_its_repository_has_it(tmp_path, below):
    folder = tmp_path / below
    (folder / "prompts").mkdir(parents=True)
    (folder / "prompts" / "10.txt").write_text("a long prompt")
    (folder / "prompts" / "9.txt").write_text("another")
    spec = BY_NAME["dpg-prompts"]
    items = spec.open(tmp_path).items()
    assert [(item.key, item.captions) for item in items] == [
        ("9", ("another",)),
        ("10", ("a long prompt",)),
    ]
    assert not spec.has_images
    (folder / "prompts").rename(folder / "elsewhere")
    (folder / "dpg_bench.csv").write_text("item_id,text,question\nb1,a cup,?\nb1,a cup,?\n")
    (item,) = spec.open(tmp_path).items()
    assert (item.key, item.captions) == ("b1", ("a cup",))


def test_data_sets_import_no_torch():
    code = (
        "import sys;"
        "from layton_bench.datasets import catalogue, loading, protocols;"
        "print([m for m in ('torch', 'pyarrow', 'scipy', 'skimage', 'pandas') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"

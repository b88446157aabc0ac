import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lab import file_bytes, picture

from layton_bench.datasets.fingerprints import fingerprint
from layton_bench.datasets.layouts.imagenet import class_indices, key_of, open_imagenet_val
from layton_bench.errors import MissingDataError

# stem, wnid, class index in alphabetical order of wnid
SAMPLES = (
    ("ILSVRC2012_val_00000001", "n01751748", 65),
    ("ILSVRC2012_val_00000002", "n09193705", 970),
    ("ILSVRC2012_val_00000003", "n02105855", 230),
    ("ILSVRC2012_val_00000293", "n01440764", 0),
)
FILES = {stem: file_bytes(picture(i, (24, 20)), "JPEG") for i, (stem, _, _) in enumerate(SAMPLES)}


def by_wnid(root: Path) -> None:
    for stem, wnid, _ in SAMPLES:
        (root / wnid).mkdir(parents=True, exist_ok=True)
        (root / wnid / f"{stem}.JPEG").write_bytes(FILES[stem])


def flat(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for stem, _, _ in SAMPLES:
        (root / f"{stem}.JPEG").write_bytes(FILES[stem])


def pairs_of_wnids(root: Path) -> None:
    flat(root / "val")
    lines = [f"{stem}.JPEG {wnid}" for stem, wnid, _ in SAMPLES]
    (root / "val.txt").write_text("\n".join(lines))


def pairs_of_indices(root: Path) -> None:
    flat(root / "val")
    lines = [f"{stem}.JPEG {index}" for stem, _, index in SAMPLES]
    (root / "val" / "val.txt").write_text("\n".join(lines) + "\n\n")


def kaggle(root: Path) -> None:
    flat(root / "ILSVRC" / "Data" / "CLS-LOC" / "val")
    lines = [f"{stem},{wnid} 1 2 3 4 {wnid} 5 6 7 8" for stem, wnid, _ in SAMPLES]
    (root / "ILSVRC" / "Data" / "LOC_val_solution.csv").write_text(
        "\n".join(["ImageId,PredictionString", *lines])
    )


def labels_by_number() -> list[str]:
    lines = ["n01440764"] * 293
    for stem, wnid, _ in SAMPLES:
        lines[int(stem[-8:]) - 1] = wnid
    return lines


def synset_labels(root: Path) -> None:
    flat(root / "imagenet" / "val")
    name = "imagenet_2012_validation_synset_labels.txt"
    (root / "imagenet" / name).write_text("\n".join(labels_by_number()))


def devkit(root: Path) -> None:
    io_module = pytest.importorskip("scipy.io")
    flat(root / "ILSVRC2012_img_val")
    folder = root / "ILSVRC2012_devkit_t12" / "data"
    folder.mkdir(parents=True)
    # the devkit numbers its synsets in an order of its own
    numbers = {wnid: 1000 - index for wnid, index in class_indices().items()}
    kind = [("ILSVRC2012_ID", object), ("WNID", object)]
    synsets = np.array([(number, wnid) for wnid, number in numbers.items()], dtype=kind)
    io_module.savemat(folder / "meta.mat", {"synsets": synsets})
    lines = [str(numbers[wnid]) for wnid in labels_by_number()]
    (folder / "ILSVRC2012_validation_ground_truth.txt").write_text("\n".join(lines))


def official_archive(root: Path) -> None:
    root.mkdir(parents=True)
    write_tar(root / "ILSVRC2012_img_val.tar", {f"{s}.JPEG": FILES[s] for s in reversed(FILES)})
    lines = [f"{stem}.JPEG {wnid}" for stem, wnid, _ in SAMPLES]
    (root / "val.txt").write_text("\n".join(lines))


def shards(root: Path) -> None:
    root.mkdir(parents=True)
    for number, (stem, _, index) in enumerate(SAMPLES):
        members = {f"{stem}.jpg": FILES[stem], f"{stem}.cls": str(index).encode()}
        write_tar(root / f"imagenet1k-validation-{number}.tar", members)


def hugging_face(root: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    (root / "data").mkdir(parents=True)
    images = [{"bytes": FILES[s], "path": f"{s}_{wnid}.JPEG"} for s, wnid, _ in SAMPLES]
    for number, part in enumerate((slice(0, 2), slice(2, 4))):
        table = pa.table({"image": images[part], "label": [i for _, _, i in SAMPLES[part]]})
        pq.write_table(table, root / "data" / f"validation-0000{number}-of-00002.parquet")


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


LAYOUTS: tuple[Callable[[Path], None], ...] = (
    lambda root: by_wnid(root / "val"),
    by_wnid,
    pairs_of_wnids,
    pairs_of_indices,
    kaggle,
    synset_labels,
    devkit,
    official_archive,
    shards,
    hugging_face,
)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda f: f.__name__)
def test_every_layout_gives_the_same_items_contents_and_fingerprint(tmp_path, layout):
    by_wnid(tmp_path / "plain")
    plain = open_imagenet_val(tmp_path / "plain")
    layout(tmp_path / "root")
    dataset = open_imagenet_val(tmp_path / "root")
    found = [(item.key, item.label) for item in dataset.items()]
    assert found == [(stem, index) for stem, _, index in SAMPLES]
    assert [dataset.read(item) for item in dataset.items()] == list(FILES.values())
    assert dataset.name == "imagenet-val"
    assert dataset.notes == ()
    assert fingerprint(dataset, dataset.items()) == fingerprint(plain, plain.items())


def test_flat_files_without_labels_have_none_and_a_note(tmp_path):
    flat(tmp_path / "val")
    dataset = open_imagenet_val(tmp_path)
    assert [item.label for item in dataset.items()] == [None] * 4
    expected = "no class labels: there is no label file beside the images or above"
    assert dataset.notes == (expected,)


def test_labels_that_are_not_understood_are_a_note(tmp_path):
    flat(tmp_path / "val")
    (tmp_path / "val" / "val.txt").write_text("rubbish")
    dataset = open_imagenet_val(tmp_path)
    assert [item.label for item in dataset.items()] == [None] * 4
    assert dataset.notes == (
        "labels are not used: val.txt: line 1 cannot be understood: 'rubbish'",
    )


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".JPG"])
def test_flat_files_with_another_suffix(tmp_path, suffix):
    flat(tmp_path / "val")
    for path in (tmp_path / "val").iterdir():
        path.rename(path.with_suffix(suffix))
    found = [item.key for item in open_imagenet_val(tmp_path).items()]
    assert found == [stem for stem, _, _ in SAMPLES]


def test_a_parquet_file_without_labels_is_named(tmp_path):
    (tmp_path / "data").mkdir()
    table = pa.table({"image": pa.array([b"x"])})
    pq.write_table(table, tmp_path / "data" / "validation-00000.parquet")
    with pytest.raises(MissingDataError, match=r"validation-00000\.parquet: no column of class"):
        open_imagenet_val(tmp_path)


def test_same_name_in_two_classes(tmp_path):
    for wnid in ("n01440764", "n02123045"):
        (tmp_path / wnid).mkdir()
        (tmp_path / wnid / "cat.JPEG").write_bytes(b"x")
    (tmp_path / "n02123045" / "other.JPEG").write_bytes(b"x")
    dataset = open_imagenet_val(tmp_path)
    assert [(item.key, item.label) for item in dataset.items()] == [
        ("n01440764/cat", 0),
        ("n02123045/cat", 281),
        ("other", 281),
    ]
    assert dataset.notes == ("several files are named cat: each keeps its wnid",)


def test_other_data_sets_are_not_taken_for_imagenet(tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    write_tar(tmp_path / "coco-val2017.tar", {"000000000139.jpg": b"x"})
    table = pa.table({"image": [b"x"], "caption": ["a cat"]})
    pq.write_table(table, tmp_path / "val-00000.parquet")
    with pytest.raises(MissingDataError):
        open_imagenet_val(tmp_path)


def test_no_data(tmp_path):
    with pytest.raises(MissingDataError) as caught:
        open_imagenet_val(tmp_path)
    assert caught.value.thing == str(tmp_path / "val/n01440764/ILSVRC2012_val_00000293.JPEG")
    assert "ILSVRC2012_img_val.tar" in caught.value.remedy
    with pytest.raises(MissingDataError, match="no data root was given"):
        open_imagenet_val(None)


def test_class_indices_are_those_everybody_uses():
    indices = class_indices()
    assert len(indices) == 1000
    assert list(indices) == sorted(indices)
    # tench, tabby cat, golden retriever, toilet tissue
    known = {"n01440764": 0, "n02123045": 281, "n02099601": 207, "n15075141": 999}
    assert {wnid: indices[wnid] for wnid in known} == known


def test_keys():
    assert key_of("n01440764/ILSVRC2012_val_00000293.JPEG") == "ILSVRC2012_val_00000293"
    assert key_of("ILSVRC2012_val_00000293_n01440764.JPEG") == "ILSVRC2012_val_00000293"
    assert key_of("n02097047_miniature_schnauzer.JPEG") == "n02097047_miniature_schnauzer"


def test_real_imagenet_files(shared):
    dataset = open_imagenet_val(shared / "data" / "imagenet-mini")
    assert len(dataset.items()) == 100
    assert len({item.label for item in dataset.items()}) > 50
    assert all(dataset.read(item) for item in dataset.items())

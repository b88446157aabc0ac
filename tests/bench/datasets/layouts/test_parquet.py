import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lab import file_bytes, picture

from layton_bench.datasets.layouts.any import open_images
from layton_bench.datasets.layouts.parquet import open_parquet
from layton_bench.errors import ImageError, MissingDataError

IMAGES = [file_bytes(picture(seed, (16, 12)), "JPEG") for seed in range(7)]


def write(path: Path, row_group_size: int = 3, **columns: list) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=row_group_size)
    return path


def test_hugging_face_image_column(tmp_path):
    images = [{"bytes": d, "path": f"x/img{i}.jpg"} for i, d in enumerate(IMAGES)]
    path = write(tmp_path / "a.parquet", image=images, label=[*range(6), -1])
    dataset = pickle.loads(pickle.dumps(open_parquet([path], name="p")))
    assert [(i.key, i.label) for i in dataset.items()] == [
        *((f"img{i}", i) for i in range(6)),
        ("img6", None),
    ]
    assert [dataset.read(item) for item in reversed(dataset.items())] == IMAGES[::-1]
    assert dataset.source(dataset.items()[0]) == path
    assert dataset.reads_in_order is True


def test_threads_read_the_same(tmp_path):
    path = write(tmp_path / "a.parquet", image=IMAGES)
    dataset = open_parquet([path], name="p")
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(dataset.read, dataset.items() * 5)) == IMAGES * 5


def test_bytes_in_a_plain_column_and_keys_by_number(tmp_path):
    paths = [
        write(tmp_path / "a.parquet", jpg=IMAGES[:4], caption=["a", "b", "c", None]),
        write(tmp_path / "b.parquet", png=IMAGES[4:], captions=[["d", "e"], [], ["f"]]),
    ]
    dataset = open_parquet(paths, name="p")
    assert [item.key for item in dataset.items()] == [f"{i:08d}" for i in range(7)]
    captions = [item.captions for item in dataset.items()]
    assert captions == [("a",), ("b",), ("c",), (), ("d", "e"), (), ("f",)]
    assert [dataset.read(item) for item in dataset.items()] == IMAGES


def test_captions_as_objects(tmp_path):
    sentences = [[{"raw": "a cat"}, {"raw": "the cat"}]]
    path = write(tmp_path / "a.parquet", image=IMAGES[:1], sentences=sentences)
    assert open_parquet([path], name="p").items()[0].captions == ("a cat", "the cat")


def test_rows_of_the_same_name_go_by_their_number(tmp_path):
    images = [{"bytes": IMAGES[0], "path": p} for p in ("a.jpg", "b.jpg", "c/a.jpg", "../d.jpg")]
    dataset = open_parquet([write(tmp_path / "a.parquet", image=images)], name="p")
    assert [item.key for item in dataset.items()] == ["00000000", "b", "00000002", "d"]
    assert dataset.notes == ("several rows are named a: they go by their number",)


def test_a_row_without_bytes_is_a_failed_item(tmp_path):
    images = [{"bytes": None, "path": "/etc/passwd"}, {"bytes": IMAGES[1], "path": "b.jpg"}]
    dataset = open_parquet([write(tmp_path / "a.parquet", image=images)], name="p")
    with pytest.raises(ImageError, match=r"^the row holds no bytes \(its path, if any, is not fol"):
        dataset.read(dataset.items()[0])
    assert dataset.read(dataset.items()[1]) == IMAGES[1]


def test_what_is_no_parquet_file_of_images(tmp_path):
    with pytest.raises(MissingDataError, match="there is no such file"):
        open_parquet([tmp_path / "none.parquet"], name="p")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1" + b"\0" * 100)
    with pytest.raises(MissingDataError, match="it cannot be read as parquet") as caught:
        open_parquet([tmp_path / "bad.parquet"], name="p")
    assert caught.value.thing == str(tmp_path / "bad.parquet")
    path = write(tmp_path / "text.parquet", image=["http://x/a.jpg"], text=["a"])
    with pytest.raises(MissingDataError, match=r"it has image \(string\), text \(string\)"):
        open_parquet([path], name="p")
    path = write(tmp_path / "none.parquet", image=pa.array([], pa.binary()))
    with pytest.raises(MissingDataError, match="it has no rows"):
        open_parquet([path], name="p")


def test_a_file_damaged_inside_gives_failed_items(tmp_path):
    path = write(tmp_path / "a.parquet", image=IMAGES)
    dataset = open_parquet([path], name="p")
    whole = path.read_bytes()
    path.write_bytes(b"PAR1" + bytes(len(whole) // 2) + whole[len(whole) // 2 + 4 :])
    with pytest.raises(ImageError, match="row group 0 cannot be read"):
        dataset.read(dataset.items()[0])
    path.unlink()
    with pytest.raises(ImageError, match="cannot be read"):
        dataset.read(dataset.items()[0])


def test_at_most_two_row_groups_are_held(tmp_path):
    path = write(tmp_path / "a.parquet", row_group_size=1, image=IMAGES)
    dataset = open_parquet([path], name="p")
    for item in dataset.items():
        dataset.read(item)
    assert len(dataset._held) == 2


def test_a_folder_of_parquet_files(tmp_path):
    write(tmp_path / "b.parquet", image=IMAGES[:2])
    dataset = open_images(tmp_path, name="mine")
    assert [dataset.read(item) for item in dataset.items()] == IMAGES[:2]
    assert dataset.name == "mine"


def test_captions_made_of_anything(tmp_path):
    texts = [["a boat", None, " "], None, ["\ufeffa ball", "a tree"]]
    path = write(tmp_path / "a.parquet", image=IMAGES[:3], captions=texts)
    found = [item.captions for item in open_parquet([path], name="p").items()]
    assert found == [("a boat",), (), ("a ball", "a tree")]


def test_a_folder_in_place_of_a_file(tmp_path):
    (tmp_path / "a.parquet").mkdir()
    with pytest.raises(MissingDataError, match="it is not a regular file"):
        open_parquet([tmp_path / "a.parquet"], name="p")

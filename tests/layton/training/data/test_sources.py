"""What the sources read, and what they name: the relatives of the data sets' own rules."""

import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

from layton.training.data.sources import open_source
from layton.training.errors import DataError
from layton.training.recipe import SourceRecipe

GREY = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)


def png(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def clear_over_black():
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:4] = (10, 20, 30, 255)
    return Image.fromarray(pixels)


def folder_of(path, files):
    path.mkdir()
    for name, data in files.items():
        (path / name).write_bytes(data)
    return SourceRecipe(path=path, kind="images")


def shard_of(path, files):
    path.mkdir()
    with tarfile.open(path / "a.tar", "w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return SourceRecipe(path=path, kind="shards")


def rows_of(path, files):
    datasets = pytest.importorskip("datasets")
    column = [{"bytes": data, "path": None} for data in files.values()]
    features = datasets.Features({"image": datasets.Image()})
    datasets.Dataset.from_dict({"image": column}, features=features).save_to_disk(str(path))
    return SourceRecipe(path=path, kind="dataset")


@pytest.mark.parametrize("make", [folder_of, shard_of, rows_of])
def test_16_bits_and_transparency_are_read_as_everywhere(tmp_path, make):
    files = {"0.png": png(Image.fromarray(GREY)), "1.png": png(clear_over_black())}
    source = open_source(make(tmp_path / "source", files))
    grey, clear = (np.asarray(source.load(index).image) for index in range(2))
    assert (grey == np.rint(GREY / 257)[..., None]).all()
    assert (clear[:4] == (10, 20, 30)).all()
    assert (clear[4:] == 255).all()


@pytest.mark.parametrize("make", [folder_of, shard_of, rows_of])
def test_half_a_jpeg_is_named(tmp_path, make):
    buffer = io.BytesIO()
    Image.fromarray(GREY).convert("RGB").resize((99, 99)).save(buffer, "JPEG", quality=95)
    half = buffer.getvalue()[: buffer.tell() * 3 // 4] + b"\xff\xd9"
    source = open_source(make(tmp_path / "source", {"0.jpg": half}))
    with pytest.raises(DataError, match="truncated"):
        source.load(0)


def test_captions_of_a_folder(tmp_path):
    names = ("caf\u00e9.png", "b.png", "c.png", "d.png")
    recipe = folder_of(tmp_path / "source", dict.fromkeys(names, png(Image.fromarray(GREY))))
    lines = [
        {"file_name": "cafe\u0301.png", "text": "a cup\u2028of tea"},
        {"file_name": "b.png", "text": None},
        {"file_name": "c.png", "text": [None, " ", "first", "second"]},
    ]
    texts = [json.dumps(line, ensure_ascii=False) for line in lines]
    (tmp_path / "source" / "metadata.jsonl").write_text("\ufeff" + "\n\n".join(texts) + "\n")
    source = open_source(recipe)
    found = [source.load(i).caption for i in range(4)]  # b, c, café, d
    assert found == ["", "first", "a cup\u2028of tea", ""]


def test_captions_of_a_shard(tmp_path):
    data = png(Image.fromarray(GREY))
    files = {"0.png": data, "0.txt": b"\xef\xbb\xbfa house\n", "1.png": data, "1.txt": b"caf\xe9"}
    source = open_source(shard_of(tmp_path / "source", files))
    assert [source.load(i).caption for i in range(2)] == ["a house", "caf\ufffd"]


def test_a_damaged_shard_is_named(tmp_path):
    recipe = shard_of(tmp_path / "source", {"0.png": png(Image.fromarray(GREY))})
    path = recipe.path / "a.tar"
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(DataError, match=r"a\.tar: cannot be read"):
        open_source(recipe)

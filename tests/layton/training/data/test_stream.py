"""The stream of training samples: its order, its cuts, and every kind of source."""

import io
import json
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_training import draw_images

from layton.training.data.sources import open_source
from layton.training.data.stream import Stream, collate, crop, make_loader, opened
from layton.training.errors import DataError
from layton.training.recipe import DataRecipe, RunRecipe, SourceRecipe, Stage


def data(*sources, **fields):
    return DataRecipe(sources=tuple(SourceRecipe(**source) for source in sources), **fields)


def same(a, b):
    assert a.keys() == b.keys()
    return all(torch.equal(a[k], b[k]) if torch.is_tensor(a[k]) else a[k] == b[k] for k in a)


def as_uint8(image):
    return ((image + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy()


def test_a_position_always_gives_the_same_sample(tmp_path):
    recipe = data({"path": draw_images(tmp_path / "images")}, min_area=0.4, color_jitter=0.2)
    one, two, other = Stream(recipe, seed=3), Stream(recipe, seed=3), Stream(recipe, seed=4)
    for position in (0, 5, 6, 1000):
        assert same(one[position, 16], two[position, 16])
    assert not all(same(one[i, 16], other[i, 16]) for i in range(6))
    # the second epoch shows each picture again, cut anew and with another seed for its noise
    seeds = {int(one[i, 16]["seeds"]) for i in range(12)}
    assert len(seeds) == 12


def test_an_epoch_shows_every_sample_as_often_as_the_recipe_repeats_it(tmp_path):
    few = draw_images(tmp_path / "few", count=2)
    more = draw_images(tmp_path / "more", count=3)
    stream = Stream(data({"path": few, "repeat": 4}, {"path": more}), seed=0)
    assert stream.epoch_size == 11
    wanted = [s.caption for p, n in ((few, 4), (more, 1)) for s in samples(p) for _ in range(n)]
    orders = []
    for epoch in range(3):
        seen = [stream[epoch * 11 + i, 8]["captions"] for i in range(11)]
        assert sorted(seen) == sorted(wanted)
        orders.append(tuple(seen))
    assert len(set(orders)) == 3


def samples(path, **fields):
    source = open_source(SourceRecipe(path=path, **fields))
    return [source.load(i) for i in range(len(source))]


def test_the_plain_cut_is_the_centre_square():
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    recipe = data({"path": "unused"}, flip=False)
    cut = crop(Image.fromarray(pixels), 4, recipe, np.random.default_rng(1))
    assert np.array_equal(as_uint8(cut), pixels[:, 1:5])
    assert cut.dtype == torch.float32
    assert float(cut.min()) == pytest.approx(pixels[:, 1:5].min() / 127.5 - 1, abs=1e-6)


def test_a_resized_image_is_cut_by_a_window_of_the_stages_size():
    # a slope of 2 grey levels a pixel of the resized image
    slope = np.broadcast_to(np.arange(64, dtype=np.uint8)[None, :, None] * 2, (64, 64, 3))
    recipe = data({"path": "unused"}, resize_px=64, flip=False)
    lefts = set()
    for seed in range(8):
        rng = np.random.default_rng(seed)
        cut = as_uint8(crop(Image.fromarray(slope), 16, recipe, rng)).astype(int)
        again = np.random.default_rng(seed)
        again.uniform(1.0, 1.0)
        left = (64 - 16) * again.random(2)[0]
        expected = 2 * (left + np.arange(16))
        assert np.abs(cut[:, 2:-2, 0] - expected[2:-2]).max() <= 1  # bicubic bends at the borders
        lefts.add(int(left))
    assert len(lefts) > 4
    # an image of the stage's size or smaller is taken whole
    whole = crop(Image.fromarray(slope), 64, recipe, np.random.default_rng(0))
    assert np.array_equal(as_uint8(whole), slope)


def test_random_areas_are_squares_of_at_least_the_given_share():
    y, x = np.mgrid[:60, :60].astype(np.uint8)
    image = Image.fromarray(np.stack([4 * x, 4 * y, 0 * x], -1))
    recipe = data({"path": "unused"}, min_area=0.25, flip=False)
    widths = []
    for seed in range(40):
        cut = as_uint8(crop(image, 20, recipe, np.random.default_rng(seed))).astype(float)
        across = (cut[10, 17, 0] - cut[10, 2, 0]) / 4 / 15 * 20
        down = (cut[17, 10, 1] - cut[2, 10, 1]) / 4 / 15 * 20
        assert abs(across - down) <= 0.7  # a grey level is a quarter of a pixel
        widths.append(across)
    assert 29 <= min(widths) < 36
    assert 54 < max(widths) <= 61


def test_half_of_the_positions_are_mirrored_and_nothing_else_changes(tmp_path):
    folder = draw_images(tmp_path / "images")
    plain = Stream(data({"path": folder}, min_area=0.5, flip=False), seed=0)
    mirrored = Stream(data({"path": folder}, min_area=0.5), seed=0)
    count = 0
    for position in range(60):
        a, b = plain[position, 12]["images"], mirrored[position, 12]["images"]
        if not torch.equal(a, b):
            assert torch.equal(a.flip(2), b)
            count += 1
    assert 18 <= count <= 42


def test_jitter_of_a_grey_picture_keeps_it_grey_and_in_range(tmp_path):
    ramp = np.broadcast_to(np.arange(0, 256, 8, dtype=np.uint8)[None, :, None], (32, 32, 3))
    recipe = data({"path": "unused"}, color_jitter=0.5)
    plain = crop(Image.fromarray(ramp), 32, data({"path": "x"}), np.random.default_rng(2))
    cut = crop(Image.fromarray(ramp), 32, recipe, np.random.default_rng(2))
    assert not torch.allclose(plain, cut, atol=0.05)
    assert torch.allclose(cut[0], cut[1], atol=1e-5)
    assert torch.allclose(cut[0], cut[2], atol=1e-5)
    assert float(cut.abs().max()) <= 1.0


def write_shards(folder, images, *, shards=2):
    folder.mkdir()
    paths = sorted(images.glob("*.png"))
    captions = {
        line["file_name"]: line["text"]
        for line in map(json.loads, (images / "metadata.jsonl").read_text().splitlines())
    }
    size = -(-len(paths) // shards)
    for number in range(shards):
        with tarfile.open(folder / f"part-{number:06d}.tar", "w") as tar:
            for path in paths[number * size : (number + 1) * size]:
                add(tar, path.name, path.read_bytes())
                add(tar, path.stem + ".txt", captions[path.name].encode())
                add(tar, path.stem + ".json", b"{}")
    return folder


def add(tar, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def write_dataset(folder, images):
    import datasets

    rows = samples(images)
    features = datasets.Features({"image": datasets.Image(), "text": datasets.Value("string")})
    columns = {"image": [s.image for s in rows], "text": [s.caption for s in rows]}
    datasets.Dataset.from_dict(columns, features=features).save_to_disk(str(folder))
    return folder


def test_folder_shards_and_data_set_give_the_same_samples(tmp_path):
    images = draw_images(tmp_path / "images")
    folder = Stream(data({"path": images}, min_area=0.5), seed=1)
    shards = write_shards(tmp_path / "shards", images)
    dataset = write_dataset(tmp_path / "set", images)
    for source in (
        {"path": shards, "kind": "shards"},
        {"path": dataset, "kind": "dataset"},
    ):
        stream = Stream(data(source, min_area=0.5), seed=1)
        assert stream.epoch_size == 6
        assert all(same(stream[i, 16], folder[i, 16]) for i in range(7))
    assert folder[0, 16]["captions"].startswith("a ")


def test_one_shard_file_is_a_source_too(tmp_path):
    shards = write_shards(tmp_path / "shards", draw_images(tmp_path / "images"))
    (first, second) = sorted(shards.glob("*.tar"))
    captions = [s.caption for path in (first, second) for s in samples(path, kind="shards")]
    assert captions == [s.caption for s in samples(shards, kind="shards")]


def loader(stream, *, workers, steps=2, accumulate=1):
    recipe = RunRecipe(
        output="unused",
        stages=({"steps": 9, "batch_size": 4, "size_px": 8},),
        data=stream._recipe.model_copy(update={"num_workers": workers}),
        accumulate=accumulate,
    )
    return make_loader(
        stream, recipe, Stage(steps=9, batch_size=4, size_px=8), first_position=6, num_steps=steps
    )


def test_batches_are_the_positions_in_order_whatever_reads_them(tmp_path):
    stream = Stream(data({"path": draw_images(tmp_path / "images")}), seed=0)
    direct = [collate([stream[i, 8] for i in range(6 + 4 * n, 10 + 4 * n)]) for n in range(2)]
    for workers in (0, 1):
        batches = [opened(batch) for batch in loader(stream, workers=workers)]
        assert len(batches) == 2
        assert all(same(a, b) for a, b in zip(batches, direct, strict=True))
    halves = list(loader(stream, workers=0, accumulate=2))
    assert len(halves) == 4
    assert torch.equal(torch.cat([half["seeds"] for half in halves[:2]]), direct[0]["seeds"])


def bad_folder(folder):
    (draw_images(folder) / "002.png").write_bytes(b"no picture")
    return {"path": folder}, "002.png"


def bad_shard(folder):
    folder.mkdir()
    with tarfile.open(folder / "torn.tar", "w") as tar:
        add(tar, "a.png", b"no picture")
    return {"path": folder, "kind": "shards"}, "torn.tar"


def bad_dataset(folder):
    import datasets

    column = [{"bytes": b"no picture", "path": None}]
    features = datasets.Features({"image": datasets.Image()})
    datasets.Dataset.from_dict({"image": column}, features=features).save_to_disk(str(folder))
    return {"path": folder, "kind": "dataset"}, "row 0"


@pytest.mark.parametrize("make", [bad_folder, bad_shard, bad_dataset])
def test_a_picture_that_cannot_be_read_is_named(make, tmp_path):
    source, name = make(tmp_path / "bad")
    stream = Stream(data(source), seed=0)
    with pytest.raises(DataError, match=f"{name}.*cannot be read"):
        for position in range(stream.epoch_size):
            stream[position, 8]


def test_a_bad_picture_is_named_from_a_reading_process_too(tmp_path):
    source, name = bad_folder(tmp_path / "bad")
    with pytest.raises(DataError, match=name) as caught:
        for batch in loader(Stream(data(source), seed=0), workers=1):
            opened(batch)
    assert caught.value.thing.endswith(name)


@pytest.mark.parametrize(
    ("make", "fields", "message"),
    [
        (lambda p: None, {}, "no such file"),
        (lambda p: p.mkdir(), {}, "holds no images"),
        (lambda p: p.mkdir(), {"kind": "shards"}, "holds no shards"),
        (lambda p: p.mkdir(), {"kind": "extracted"}, "no extracted parts"),
        (lambda p: p.mkdir(), {"kind": "dataset"}, "cannot be opened"),
        (lambda p: None, {"kind": "dataset"}, "cannot be opened"),
        (lambda p: p.write_bytes(b"x" * 2000), {"kind": "shards"}, "plain tar"),
    ],
)
def test_a_source_without_samples_says_so(make, fields, message, tmp_path):
    path = tmp_path / "source"
    make(path)
    with pytest.raises(DataError, match=f"source.*(?s:.*){message}"):
        Stream(data({"path": path, **fields}), seed=0)


def test_a_missing_column_is_named_with_those_there_are(tmp_path):
    path = write_dataset(tmp_path / "set", draw_images(tmp_path / "images", count=1))
    with pytest.raises(DataError, match=r"no column 'picture', only image, text"):
        Stream(data({"path": path, "kind": "dataset", "image_column": "picture"}), seed=0)


@pytest.mark.parametrize("line", ["{", '{"text": "no name"}', "[]"])
def test_a_broken_line_of_captions_is_named(line, tmp_path):
    folder = draw_images(tmp_path / "images", count=1)
    (folder / "metadata.jsonl").write_text(line)
    with pytest.raises(DataError, match=r"metadata\.jsonl:1"):
        Stream(data({"path": folder}), seed=0)


def test_images_and_extracted_tensors_do_not_mix():
    image = {"seeds": torch.tensor(1), "captions": "", "images": torch.zeros(3, 8, 8)}
    codes = {"seeds": torch.tensor(2), "captions": "", "codes": torch.zeros(4)}
    with pytest.raises(DataError, match="one kind of source"):
        collate([image, codes])

import json
import pickle

import pytest
from lab import file_bytes, picture

from layton_bench.datasets.layouts.coco import open_coco_val2017
from layton_bench.errors import ImageError, MissingDataError

IMAGES = [
    {"id": 285, "file_name": "000000000285.jpg"},
    {"id": 139, "file_name": "000000000139.jpg"},
    {"id": 632, "file_name": "000000000632.jpg"},
]
ANNOTATIONS = [
    {"id": 9, "image_id": 139, "caption": "third"},
    {"id": 2, "image_id": 139, "caption": "first"},
    {"id": 5, "image_id": 139, "caption": "second"},
    {"id": 1, "image_id": 285, "caption": "a bear"},
]


def make(root, images=IMAGES, annotations=ANNOTATIONS, *, captions=True):
    folder = root / "val2017"
    folder.mkdir(parents=True)
    for image in images[:2]:
        (folder / image["file_name"]).write_bytes(
            file_bytes(picture(int(image["id"]), (16, 16)), "JPEG")
        )
    if captions:
        (root / "annotations").mkdir()
        path = root / "annotations" / "captions_val2017.json"
        path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return root


def test_items_are_in_order_of_image_id_and_captions_of_annotation_id(tmp_path):
    dataset = open_coco_val2017(make(tmp_path))
    first, second, third = dataset.items()
    assert dataset.name == "coco-val2017"
    assert first.key == "000000000139"
    assert first.captions == ("first", "second", "third")
    assert (second.key, second.captions) == ("000000000285", ("a bear",))
    assert (third.key, third.captions) == ("000000000632", ())
    assert pickle.loads(pickle.dumps(dataset)).read(first).startswith(b"\xff\xd8")


def test_a_file_that_is_missing_is_a_failed_item_not_an_absent_one(tmp_path):
    dataset = open_coco_val2017(make(tmp_path))
    with pytest.raises(ImageError, match=r"^no such file: 000000000632\.jpg$"):
        dataset.read(dataset.items()[2])


@pytest.mark.parametrize("place", ["coco", "coco2017", "COCO"])
def test_the_folder_is_found_below_the_root(tmp_path, place):
    make(tmp_path / place)
    assert len(open_coco_val2017(tmp_path).items()) == 3


def test_the_folder_itself_may_be_given(tmp_path):
    make(tmp_path)
    assert open_coco_val2017(tmp_path / "val2017").items()[0].captions[0] == "first"


def test_images_in_a_folder_of_their_own(tmp_path):
    make(tmp_path / "images", captions=False)
    annotations = tmp_path / "annotations"
    annotations.mkdir()
    content = {"images": IMAGES, "annotations": ANNOTATIONS}
    (annotations / "captions_val2017.json").write_text(json.dumps(content))
    assert open_coco_val2017(tmp_path).items()[0].captions == ("first", "second", "third")


def test_without_captions_the_images_are_taken_and_a_note_says_so(tmp_path):
    dataset = open_coco_val2017(make(tmp_path, captions=False))
    assert [item.key for item in dataset.items()] == ["000000000139", "000000000285"]
    expected = "no captions: there is no annotations/captions_val2017.json beside val2017"
    assert dataset.notes == (expected,)


def test_no_data(tmp_path):
    with pytest.raises(MissingDataError) as caught:
        open_coco_val2017(tmp_path)
    assert caught.value.thing == str(tmp_path / "val2017" / "000000000139.jpg")
    assert "http://images.cocodataset.org/zips/val2017.zip" in caught.value.remedy
    with pytest.raises(MissingDataError, match="no data root was given"):
        open_coco_val2017(None)
    (tmp_path / "val2017").mkdir()
    with pytest.raises(MissingDataError, match="there is no image below it"):
        open_coco_val2017(tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "not valid JSON"),
        ("[]", "is not COCO's captions file: TypeError"),
        ('{"images": []}', "is not COCO's captions file: KeyError: 'annotations'"),
        ('{"images": [{"id": 1}], "annotations": []}', "KeyError: 'file_name'"),
        ('{"images": 3, "annotations": 3}', "TypeError"),
        ("[" * 100_000, "it is nested too deeply"),
    ],
)
def test_a_damaged_captions_file_is_a_note(tmp_path, content, reason):
    make(tmp_path)
    (tmp_path / "annotations" / "captions_val2017.json").write_text(content)
    dataset = open_coco_val2017(tmp_path)
    assert [item.key for item in dataset.items()] == ["000000000139", "000000000285"]
    (note,) = dataset.notes
    assert note.startswith("no captions: annotations/captions_val2017.json")
    assert reason in note


def test_a_byte_order_mark(tmp_path):
    make(tmp_path)
    path = tmp_path / "annotations" / "captions_val2017.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert open_coco_val2017(tmp_path).items()[0].captions == ("first", "second", "third")


@pytest.mark.parametrize("kinds", [(str, int), (int, str), (str, str)])
def test_ids_may_be_texts(tmp_path, kinds):
    of_images, of_annotations = kinds
    images = [{**i, "id": of_images(i["id"])} for i in IMAGES]
    annotations = [
        {**a, "id": str(a["id"]), "image_id": of_annotations(a["image_id"])} for a in ANNOTATIONS
    ]
    images += [{"id": of_images(1000), "file_name": "000000001000.jpg"}]
    first, second, *others = open_coco_val2017(make(tmp_path, images, annotations)).items()
    assert (first.key, first.captions) == ("000000000139", ("first", "second", "third"))
    assert second.captions == ("a bear",)
    assert [item.key for item in others] == ["000000000632", "000000001000"]  # by value


def test_captions_made_of_anything(tmp_path):
    texts = (None, "  ", ["a hill", None, "a tree"], {"raw": "a house"}, 3, "\ufeffa ball")
    annotations = [
        {"id": number, "image_id": 139, "caption": text} for number, text in enumerate(texts)
    ]
    dataset = open_coco_val2017(make(tmp_path, annotations=annotations))
    assert dataset.items()[0].captions == ("a hill", "a tree", "a house", "a ball")


def test_a_name_in_the_other_spelling_of_unicode_is_found(tmp_path):
    composed, parts = "caf\u00e9.jpg", "cafe\u0301.jpg"
    for number, (listed, stored) in enumerate(((composed, parts), (parts, composed))):
        root = make(tmp_path / str(number), [{"id": 1, "file_name": listed}], [])
        (root / "val2017" / listed).rename(root / "val2017" / stored)
        (item,) = open_coco_val2017(root).items()
        assert item.key == "caf\u00e9"
        assert open_coco_val2017(root).read(item).startswith(b"\xff\xd8")


def test_a_captions_file_cannot_point_out_of_the_folder(tmp_path):
    images = [{"id": 1, "file_name": "../../secret/000000000001.jpg"}]
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "000000000001.jpg").write_bytes(b"secret")
    root = make(tmp_path / "coco", captions=False)
    (root / "annotations").mkdir()
    content = {"images": images, "annotations": []}
    (root / "annotations" / "captions_val2017.json").write_text(json.dumps(content))
    dataset = open_coco_val2017(root)
    (item,) = dataset.items()
    assert item.locator == "000000000001.jpg"
    with pytest.raises(ImageError, match="no such file"):
        dataset.read(item)


def test_real_coco_files(shared):
    dataset = open_coco_val2017(shared / "data" / "coco-mini")
    assert len(dataset.items()) == 79
    first = dataset.items()[0]
    assert first.key == "000000000139"
    assert len(first.captions) == 5
    assert all(5 <= len(item.captions) <= 7 for item in dataset.items())
    assert all(dataset.read(item).startswith(b"\xff\xd8") for item in dataset.items())

"""Colours by CLIP: the crop, its preparation, the text features, and a tiny model's real path."""

import numpy as np
import pytest
import torch
from geneval_models import save_tiny_clip
from PIL import Image

from layton_bench.errors import MissingWeightsError
from layton_bench.tasks.geneval.colors import ClipColors, Crop, masked_crop, prepared
from layton_bench.tasks.geneval.judging import COLORS, Instance


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip")
    save_tiny_clip(path)
    return path


@pytest.fixture(scope="module")
def colors(folder):
    return ClipColors.load(folder)


def crops(count):
    rng = np.random.default_rng(0)
    return [
        Crop(
            "cup" if i % 2 else "dog", Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8))
        )
        for i in range(count)
    ]


def test_a_crop_is_the_box_with_all_but_the_mask_grey():
    image = np.arange(10 * 12 * 3, dtype=np.uint8).reshape(10, 12, 3)
    mask = np.zeros((10, 12), bool)
    mask[3:5, 2:6] = True
    mask[3, 2] = False
    box = np.array([2, 3, 6, 5], np.float32)
    crop = np.asarray(masked_crop(image, Instance(box, np.float32(1), mask)))
    assert crop.shape == (2, 4, 3)
    assert crop[0, 0].tolist() == [153, 153, 153]
    assert np.array_equal(crop[1], image[4, 2:6])


def test_a_crop_without_a_mask_is_the_box():
    image = np.arange(10 * 12 * 3, dtype=np.uint8).reshape(10, 12, 3)
    box = np.array([1.5, 2.5, 4.4, 6.6], np.float32)
    crop = np.asarray(masked_crop(image, Instance(box, np.float32(1))))
    # half to even: 1.5 → 2, 2.5 → 2
    assert np.array_equal(crop, image[2:7, 2:4])


def test_preparation_equals_that_of_transformers():
    from transformers import CLIPImageProcessor

    pictures = [crop.picture for crop in crops(2)]
    pictures[1] = pictures[1].resize((61, 37))
    processor = CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    for picture in pictures:
        theirs = processor(images=picture, return_tensors="pt").pixel_values[0]
        # Pillow rounds after each of its two passes: one grey level of 255, over std 0.26
        torch.testing.assert_close(prepared(picture, 32), theirs, atol=0.016, rtol=0)


def test_colors_equal_a_plain_computation(colors):
    """Each crop alone, with the model's own forward for its similarities."""
    asked = crops(6)
    expected = []
    for crop in asked:
        features = []
        for color in COLORS:
            texts = [
                f"a photo of a {color} {crop.name}",
                f"a photo of a {color}-colored {crop.name}",
                f"a photo of a {color} object",
            ]
            tokens = colors.tokenizer(texts, padding=True, return_tensors="pt")
            with torch.no_grad():
                output = colors.model(pixel_values=prepared(crop.picture, 32)[None], **tokens)
            mean = output.text_embeds.mean(dim=0)
            features.append(mean / mean.norm())
        similarity = torch.stack(features) @ output.image_embeds[0]
        expected.append(COLORS[int(similarity.argmax())])
    assert colors(asked) == expected


def test_text_features_are_of_unit_length_and_kept(colors):
    colors(crops(2))
    features = colors._texts("cup")
    assert features is colors._texts("cup")
    assert features.shape == (10, 16)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(10))
    assert not torch.allclose(features[0], features[1])


def test_batches_do_not_change_colors(colors, monkeypatch):
    asked = crops(9)
    whole = colors(asked)
    monkeypatch.setattr("layton_bench.tasks.geneval.colors._BATCH", 2)
    assert colors(asked) == whole
    assert colors([]) == []


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(MissingWeightsError, match="weights pull clip-vit-l-14"):
        ClipColors.load(tmp_path)


def test_a_model_without_a_tokenizer_is_refused(folder, tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(MissingWeightsError, match=r"missing: vocab\.json, merges\.txt"):
        ClipColors.load(tmp_path)

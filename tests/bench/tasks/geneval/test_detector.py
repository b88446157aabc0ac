"""Mask2Former as a detector: outputs read by hand-made logits, and a tiny model from its folder."""

import numpy as np
import pytest
import torch
from geneval_models import tiny_mask2former
from PIL import Image

from layton_bench.errors import MissingWeightsError
from layton_bench.tasks.geneval.detector import (
    Mask2FormerDetector,
    best_pairs,
    box_of,
    mask_scores,
    resized,
    upsampled,
)

NAMES = tuple(f"class {i}" for i in range(80))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("mask2former")
    tiny_mask2former().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def detector(folder):
    loaded = Mask2FormerDetector.load(folder, NAMES)
    return Mask2FormerDetector(loaded.model, NAMES, shorter_px=96, longer_px=160)


def pictures(*sizes):
    rng = np.random.default_rng(0)
    blocks = [rng.integers(0, 256, (4, 5, 3), dtype=np.uint8) for _ in sizes]
    return [
        np.asarray(Image.fromarray(b).resize(size, Image.Resampling.BICUBIC))
        for b, size in zip(blocks, sizes, strict=True)
    ]


def as_rows(found):
    return sorted(
        (name, *np.round(i.box, 4).tolist(), round(float(i.score), 4))
        for name, instances in found.items()
        for i in instances
    )


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((512, 512), (800, 800)),
        ((1024, 1024), (800, 800)),
        ((480, 640), (800, 1067)),
        ((640, 480), (1067, 800)),
        # 1000 × 400 would become 2000 × 800: the longer side decides, 533.2
        ((1000, 400), (1333, 533)),
    ],
)
def test_resized(size, expected):
    assert resized(*size, 800, 1333) == expected


def test_boxes_end_one_past_the_mask():
    mask = np.zeros((10, 12), bool)
    mask[2:5, 3:9] = True
    assert box_of(mask).tolist() == [3, 2, 9, 5]
    assert box_of(np.zeros((4, 4), bool)).tolist() == [0, 0, 0, 0]


def test_scores_are_mean_probabilities_inside():
    logits = torch.full((2, 4, 4), -5.0)
    logits[0, :2] = 3.0
    inside = torch.tensor(3.0).sigmoid()
    torch.testing.assert_close(mask_scores(logits), torch.stack([inside, torch.tensor(0.0)]))


def test_a_query_may_be_two_classes():
    # one query torn between classes 3 and 7, one that is sure of class 1, one of nothing
    logits = torch.full((3, 11), -20.0)
    logits[0, 3] = logits[0, 7] = 4.0
    logits[1, 1] = 9.0
    logits[2, 10] = 9.0
    pairs = best_pairs(logits, 0.3)
    assert sorted(zip(pairs.queries.tolist(), pairs.labels.tolist(), strict=True)) == [
        (0, 3),
        (0, 7),
        (1, 1),
    ]
    torch.testing.assert_close(pairs.scores.sort().values, torch.tensor([0.5, 0.5, 1.0]))


def test_padding_is_cut_before_the_mask_is_brought_to_the_picture():
    # input 40 × 56 was padded to 64 × 64; the network's grid is 16 × 16
    logits = torch.full((1, 16, 16), -1.0)
    logits[:, :, :7] = 1.0
    mask = upsampled(logits, (40, 56), (20, 28))[0] > 0
    # seven of 16 columns are 28 of 64 input pixels, 14 of 28 picture pixels
    assert box_of(mask.numpy()).tolist() == [0, 0, 14, 20]


def test_scores_equal_those_of_transformers():
    """Independent path: the library's own reading, where its fixed 384 px grid is the picture."""
    from transformers import Mask2FormerImageProcessor
    from transformers.models.mask2former.modeling_mask2former import (
        Mask2FormerForUniversalSegmentationOutput,
    )

    generator = torch.Generator().manual_seed(1)
    output = Mask2FormerForUniversalSegmentationOutput(
        class_queries_logits=torch.randn(1, 20, 81, generator=generator) * 4,
        masks_queries_logits=torch.randn(1, 20, 96, 96, generator=generator),
    )
    (theirs,) = Mask2FormerImageProcessor().post_process_instance_segmentation(
        output, threshold=0.3, target_sizes=[(384, 384)], return_binary_maps=True
    )
    pairs = best_pairs(output.class_queries_logits[0], 0.3)
    masks = upsampled(output.masks_queries_logits[0][pairs.queries], (384, 384), (384, 384))
    scores = pairs.scores * mask_scores(masks)
    mine = [
        (label, round(score, 5), int((mask > 0).sum()))
        for label, score, mask in zip(pairs.labels.tolist(), scores.tolist(), masks, strict=True)
        if score > 0.3
    ]
    expected = [
        (info["label_id"], round(info["score"], 5), int(mask.sum()))
        for info, mask in zip(theirs["segments_info"], theirs["segmentation"], strict=True)
    ]
    assert len(mine) > 3
    assert sorted(mine) == sorted(expected)


def test_a_tiny_model_from_its_folder(detector):
    (image,) = pictures((60, 45))
    (found,) = detector([image], min_score=0.1)
    instances = [i for group in found.values() for i in group]
    assert instances
    assert set(found) <= set(NAMES)
    for instance in instances:
        assert instance.mask.shape == (45, 60)
        assert instance.score > np.float32(0.1)
        np.testing.assert_array_equal(instance.box, box_of(instance.mask))


def test_a_picture_does_not_depend_on_its_batch(detector):
    images = pictures((60, 45), (60, 45), (40, 64))
    together = [as_rows(found) for found in detector(images, min_score=0.1)]
    alone = [as_rows(detector([image], min_score=0.1)[0]) for image in images]
    assert together == alone
    assert together[0] != together[1]


def test_a_threshold_only_leaves_out(detector):
    images = pictures((60, 45))
    (low,) = detector(images, min_score=0.05)
    (high,) = detector(images, min_score=0.2)
    kept = [row for row in as_rows(low) if row[-1] > 0.2]
    assert kept == as_rows(high)
    assert len(as_rows(low)) > len(kept)


def test_another_models_folder_is_refused(tmp_path):
    tiny_mask2former(num_labels=5).save_pretrained(tmp_path)
    with pytest.raises(MissingWeightsError, match="5 classes instead of 80"):
        Mask2FormerDetector.load(tmp_path, NAMES)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(MissingWeightsError, match="weights pull"):
        Mask2FormerDetector.load(tmp_path, NAMES)


def test_a_file_without_all_parameters_is_refused(folder, tmp_path):
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    del tensors["class_predictor.bias"]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    with pytest.raises(
        MissingWeightsError, match="1 parameters are missing, for example class_predictor"
    ):
        Mask2FormerDetector.load(tmp_path, NAMES)

"""Resizes against torchvision and Pillow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_towers import tensor

from layton_bench.metrics.backbones.pillow import crop_then_resize, resize_then_crop, squash


def as_pillow(image: torch.Tensor) -> Image.Image:
    return Image.fromarray(image.permute(1, 2, 0).numpy())


@pytest.mark.parametrize("size", [(192, 208), (64, 40), (224, 224), (30, 90)])
def test_resizes_are_those_of_torchvision_and_pillow(size: tuple[int, int]) -> None:
    from torchvision.transforms import v2

    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8, generator=generator)
    bicubic = v2.InterpolationMode.BICUBIC
    wanted_squash = [v2.Resize((56, 56), bicubic)(as_pillow(i)) for i in images]
    own = v2.Compose([v2.Resize(56, bicubic), v2.CenterCrop(56)])
    wanted_own = [own(as_pillow(i)) for i in images]
    square = v2.CenterCrop(min(size))
    wanted_square = [
        square(as_pillow(i)).resize((56, 56), Image.Resampling.BICUBIC) for i in images
    ]
    for resize, wanted in (
        (squash, wanted_squash), (resize_then_crop, wanted_own), (crop_then_resize, wanted_square),
    ):  # fmt: skip
        found = resize(images, 56)
        assert found.dtype == torch.uint8 and found.shape == (2, 3, 56, 56)
        assert torch.equal(found, torch.stack([tensor(np.array(w)) for w in wanted]))

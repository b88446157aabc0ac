"""The transformer encoder: positions by hand, any grid, and inside a whole tokenizer."""

import dataclasses
import math

import pytest
import torch

from layton import ImageError, Tokenizer, ViTConfig
from layton.tokenizer.vit import ViTEncoder, sincos_positions

TINY = ViTConfig(patch_size=4, width=16, depth=2, num_heads=2, z_channels=6, codebook_size=16)


def test_positions_by_hand():
    table = sincos_positions(2, 3, 8)
    assert table.shape == (6, 8)
    row, column = 1, 2
    expected = [math.sin(1), math.sin(0.01), math.cos(1), math.cos(0.01)]
    expected += [math.sin(2), math.sin(0.02), math.cos(2), math.cos(0.02)]
    assert table[row * 3 + column].tolist() == pytest.approx(expected)


def test_any_grid_of_whole_patches():
    torch.manual_seed(0)
    encoder = ViTEncoder(TINY).eval()
    assert encoder(torch.zeros(2, 3, 8, 12)).shape == (2, 6, 2, 3)
    with pytest.raises(ImageError, match="10×8 px is not a multiple of 4"):
        encoder(torch.zeros(1, 3, 10, 8))


def test_positions_and_neighbours_matter():
    torch.manual_seed(0)
    encoder = ViTEncoder(TINY).eval()
    images = torch.rand(1, 3, 8, 8)
    swapped = torch.cat([images[..., 4:], images[..., :4]], -1)
    unswapped = encoder(swapped).flip(3)
    assert (encoder(images) - unswapped).abs().max() > 1e-3  # not a bag of patches
    changed = images.clone()
    changed[..., :4, :4] += 0.5
    assert (encoder(images) - encoder(changed))[..., 1, 1].abs().max() > 1e-5


def test_layers_start_differently():
    encoder = ViTEncoder(TINY)
    first, second = encoder.blocks[0], encoder.blocks[1]
    assert not torch.equal(first.linear1.weight, second.linear1.weight)


def test_in_a_whole_tokenizer(tiny_config, tmp_path):
    config = dataclasses.replace(tiny_config, encoder=dataclasses.replace(TINY, codebook_dim=4))
    tokenizer = Tokenizer(config).eval()
    codes = tokenizer.encode(torch.rand(1, 3, 64, 64))
    assert codes.shape == (1, 16)
    assert tokenizer.decode(codes).shape == (1, 3, 64, 64)
    tokenizer.save_pretrained(tmp_path)
    loaded = Tokenizer.from_pretrained(tmp_path)
    assert loaded.config == config
    assert torch.equal(
        loaded.encode(torch.ones(1, 3, 64, 64)), tokenizer.encode(torch.ones(1, 3, 64, 64))
    )

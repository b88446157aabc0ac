"""Weights that need no file: numbers drawn from each parameter's own name."""

import json
import zlib

import numpy as np
import torch
from places import GOLDEN


def drawn_for(key, shape):
    """Numbers for the parameter of that name: normal, scaled by 1/sqrt(fan in), norms around 1.

    numpy's RandomState stream never changes, so other code with the same keys gets the same model.
    """
    drawn = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(tuple(shape))
    if len(shape) > 1:
        drawn /= np.sqrt(np.prod(shape[1:]))
    else:
        drawn = 0.1 * drawn + (1 if key.endswith("weight") else 0)
    return torch.from_numpy(drawn).float()


def fill_by_name(module):
    """Give every parameter the numbers of its name; eval mode."""
    for key, tensor in module.named_parameters():
        tensor.data.copy_(drawn_for(key, tensor.shape))
    return module.eval()


def golden_images():
    """Two noisy images (2, 3, 16, 16), one dark, one bright, in [-1, 1]."""
    noise = np.random.RandomState(7).uniform(-0.5, 0.5, (2, 3, 16, 16))
    return torch.from_numpy(noise + np.array([-0.5, 0.5]).reshape(2, 1, 1, 1)).float()


def golden_numbers(name):
    """Codes and sampled pixels of that small model, computed with the official code."""
    path = GOLDEN / "tokenizers.json"
    return json.loads(path.read_text())[name]


def sampled(images):
    """The pixels the golden file keeps, as a flat list."""
    return images[..., ::7, ::5].flatten().tolist()

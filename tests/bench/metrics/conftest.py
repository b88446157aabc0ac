"""Pictures for networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pixel_cases import photo


@pytest.fixture(scope="session")
def images() -> torch.Tensor:
    """Two photographs, uint8 RGB (2, 3, H, W)."""
    pictures = [photo(name) for name in ("coffee", "chelsea")]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)

"""Nearest code against a brute-force search; look-up, usage window and revival by hand."""

import pytest
import torch
import torch.nn.functional as F

from layton.errors import CodesError, ConfigError
from layton.tokenizer.quantizer import Quantizer, nearest_codes


@pytest.mark.parametrize("unit_norm", [False, True])
def test_nearest_equals_brute_force_in_double(unit_norm):
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(200, 5, generator=generator)
    codebook = torch.randn(33, 5, generator=generator)
    if unit_norm:
        codebook = F.normalize(codebook, dim=1)
    brute = (z.double()[:, None] - codebook.double()[None]).square().sum(-1).argmin(1)
    assert torch.equal(nearest_codes(z, codebook, unit_norm=unit_norm), brute)


def test_score_buffer_stays_below_the_bound(monkeypatch):
    seen = []
    matmul = torch.Tensor.__matmul__
    monkeypatch.setattr(
        torch.Tensor, "__matmul__", lambda a, b: seen.append(out := matmul(a, b)) or out
    )
    generator = torch.Generator().manual_seed(1)
    z, codebook = torch.randn(100, 3, generator=generator), torch.eye(3).repeat(10, 1)
    codes = nearest_codes(z, codebook, unit_norm=True, max_bytes=1000)
    assert max(t.numel() * 4 for t in seen) <= 1000
    assert sum(t.shape[0] for t in seen) == 100
    assert torch.equal(codes, nearest_codes(z, codebook, unit_norm=True))


def test_unnormalised_codebook_compares_distances_not_angles():
    quantizer = Quantizer(2, 1, l2_normalize=False)
    quantizer.embedding.weight.data = torch.tensor([[1.0], [10.0]])
    # 4 points the same way as both rows but lies nearer to 1
    assert quantizer.encode(torch.tensor([[[[4.0, 6.0]]]])).tolist() == [[[0, 1]]]


def test_lookup_is_normalised_and_checked():
    quantizer = Quantizer(2, 2)
    quantizer.embedding.weight.data = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    assert torch.allclose(
        quantizer.lookup(torch.tensor([[[0, 1]]])), torch.tensor([[[[0.6, 0.0]], [[0.8, 1.0]]]])
    )
    with pytest.raises(CodesError, match=r"-1 … 0"):
        quantizer.lookup(torch.tensor([[[0, -1]]]))
    with pytest.raises(CodesError, match="float32"):
        quantizer.lookup(torch.tensor([[[0.0]]]))


def test_usage_window_and_revival():
    quantizer = Quantizer(4, 2, window=3).train()
    quantizer.embedding.weight.data = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
    assert quantizer.usage() == 0
    quantizer(torch.tensor([[[[1.0, 1.0]], [[0.0, 0.0]]]]))  # code 0 twice
    quantizer(torch.tensor([[[[0.0, -1.0]], [[1.0, 0.0]]]]))  # codes 1 and 2
    assert quantizer.codebook_used.tolist() == [0, 1, 2]
    assert quantizer.usage() == 0.75
    assert quantizer.dead_codes().tolist() == [False, False, False, True]
    moved = quantizer.revive(
        torch.tensor([[[[3.0]], [[4.0]]]]), generator=torch.Generator().manual_seed(0)
    )
    assert moved == 1
    assert torch.allclose(quantizer.embedding.weight[3], torch.tensor([0.6, 0.8]))
    quantizer.eval()(torch.tensor([[[[0.6]], [[0.8]]]]))
    assert quantizer.codebook_used.tolist() == [0, 1, 2]


def test_both_losses_reach_their_side():
    torch.manual_seed(0)
    quantizer = Quantizer(8, 3)
    z = torch.randn(1, 3, 2, 2, requires_grad=True)
    result = quantizer(z)
    (result.vectors - result.z.detach()).square().sum().backward()
    assert quantizer.embedding.weight.grad.abs().sum() > 0
    assert z.grad is None
    (result.z - result.vectors.detach()).square().sum().backward()
    assert z.grad.abs().sum() > 0


def test_no_window_means_no_buffer_and_no_usage():
    torch.manual_seed(0)
    quantizer = Quantizer(8, 3, window=0).train()
    assert list(quantizer.state_dict()) == ["embedding.weight"]
    assert quantizer(torch.randn(1, 3, 2, 2)).codes.shape == (1, 2, 2)
    with pytest.raises(ConfigError, match="no window"):
        quantizer.usage()

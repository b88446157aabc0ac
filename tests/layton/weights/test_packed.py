"""Packed linear layers: the same products, bit for bit whatever stands beside a row."""

import pytest
import torch
from torch import nn

from layton.weights.packed import PackedLinear, can_pack, pack_linears

DTYPES = [torch.float32, torch.bfloat16]


def packed_layer(dtype, *, bias=False, out=96, into=64):
    torch.manual_seed(0)
    linear = nn.Linear(into, out, bias=bias).to(dtype)
    if not can_pack(linear.weight):
        pytest.skip(f"this machine cannot pack {dtype}")
    return linear, PackedLinear(linear)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_products_are_those_of_the_layer(dtype, bias):
    linear, packed = packed_layer(dtype, bias=bias)
    for shape in [(1, 64), (5, 64), (2, 3, 64), (64,)]:
        x = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype)
        wanted = linear.double()(x.double())
        out = packed(x)
        assert out.shape == wanted.shape
        assert out.dtype == dtype
        tolerance = 1e-6 if dtype == torch.float32 else 2**-8
        assert (out - wanted).abs().max() <= tolerance * max(1, wanted.abs().max())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("out", "into"), [(96, 64), (768, 256), (40, 48)])
def test_a_row_has_the_same_bits_in_any_company(dtype, out, into):
    _, packed = packed_layer(dtype, out=out, into=into)
    x = torch.randn(130, into, generator=torch.Generator().manual_seed(2)).to(dtype)
    whole = packed(x)
    for count in (1, 2, 3, 7, 16, 33, 64):
        assert torch.equal(packed(x[:count]), whole[:count])
        assert torch.equal(packed(x[-count:]), whole[-count:])


def test_a_model_is_packed_in_place():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.Sequential(nn.ReLU(), nn.Linear(8, 4)))
    if not can_pack(model[0].weight):
        pytest.skip("this machine cannot pack float32")
    x = torch.randn(3, 8)
    wanted = model(x)
    assert pack_linears(model) == 2
    assert torch.allclose(model(x), wanted, atol=1e-6)
    assert not list(model.parameters())
    assert pack_linears(model) == 0


def test_what_cannot_be_packed_stays():
    model = nn.Sequential(nn.Linear(4, 4).to(torch.float64))
    assert pack_linears(model) == 0
    assert type(model[0]) is nn.Linear
    assert not can_pack(torch.empty(2, 2, device="meta"))

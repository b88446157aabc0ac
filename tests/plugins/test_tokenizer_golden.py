"""Small models of every architecture against numbers of the official code, no files needed."""

import numpy as np
import pytest
import torch
from named_weights import fill_by_name, golden_images, golden_numbers, sampled

from layton.tokenizer.config import VQConfig
from layton.tokenizer.vq_model import VQModel
from layton_bench_titok.model import TiTok
from layton_bench_titok.variants import PixelConfig, TiTokConfig, ViTConfig
from layton_bench_vqgan.model import VQGAN
from layton_bench_vqgan.variants import VQGANConfig

TOLERANCE = 2e-5  # two float32 implementations differ by about 1e-6; the file keeps six digits

VQGAN_SIZES = {
    "channels": 32,
    "ch_mult": (1, 2, 1),
    "num_res_blocks": 1,
    "attn_resolutions": (16,),
    "resolution": 32,
    "codebook_size": 40,
    "codebook_dim": 5,
}
TITOK_SIZES = {
    "encoder": ViTConfig(width=12, layers=2, heads=2),
    "decoder": ViTConfig(width=16, layers=2, heads=2),
    "num_tokens": 5,
    "codebook_dim": 3,
    "size_px": 16,
    "encoder_patch_px": 4,
    "decoder_patch_px": 4,
}
TITOK = {
    "titok-two-stage": {
        "codebook_size": 40,
        "l2_normalize": True,
        "decoder_patch_px": 2,
        "pixel": PixelConfig(
            channels=32, ch_mult=(1, 2), num_res_blocks=1, z_channels=6, codebook_size=24
        ),
    },
    "titok-vq": {"codebook_size": 40},
    "titok-vae": {},
    "tatitok": {"codebook_size": 40, "text_length": 4, "text_dim": 6},
}


def titok(name):
    return fill_by_name(TiTok(TiTokConfig(**(TITOK_SIZES | TITOK[name]))))


def text_features():
    drawn = np.random.RandomState(11).standard_normal((2, 4, 6))
    return torch.from_numpy(drawn).float()


@torch.no_grad()
@pytest.mark.parametrize(("name", "gumbel"), [("vqgan", False), ("vqgan-gumbel", True)])
def test_vqgan_away_from_its_nominal_size(name, gumbel):
    z_channels = 5 if gumbel else 6
    config = VQGANConfig(**VQGAN_SIZES, z_channels=z_channels, is_gumbel=gumbel)
    model = fill_by_name(VQGAN(config))
    codes = model.encode(golden_images())
    assert codes.flatten(1).tolist() == golden_numbers(name)["codes"]
    image = sampled(model.decode(codes))
    assert image == pytest.approx(golden_numbers(name)["image"], abs=TOLERANCE)


@torch.no_grad()
def test_llamagen():
    config = VQConfig(
        channels=32,
        encoder_ch_mult=(1, 2),
        decoder_ch_mult=(1, 2),
        num_res_blocks=1,
        z_channels=6,
        codebook_size=40,
    )
    model = fill_by_name(VQModel(config))
    codes = model.encode(golden_images())
    assert codes.flatten(1).tolist() == golden_numbers("llamagen")["codes"]
    image = sampled(model.decode(codes))
    assert image == pytest.approx(golden_numbers("llamagen")["image"], abs=TOLERANCE)


@torch.no_grad()
@pytest.mark.parametrize("name", ["titok-two-stage", "titok-vq", "tatitok"])
def test_titok_codes(name):
    model = titok(name)
    codes = model.encode((golden_images() + 1) / 2)
    assert codes.tolist() == golden_numbers(name)["codes"]
    image = sampled(model.decode(codes, text_features() if name == "tatitok" else None))
    assert image == pytest.approx(golden_numbers(name)["image"], abs=TOLERANCE)


@torch.no_grad()
def test_titok_continuous_tokens():
    model = titok("titok-vae")
    mean, _ = model.posterior((golden_images() + 1) / 2)
    expected = golden_numbers("titok-vae")
    assert mean.flatten().tolist() == pytest.approx(expected["mean"], abs=TOLERANCE)
    assert sampled(model.decode_vectors(mean)) == pytest.approx(expected["image"], abs=TOLERANCE)

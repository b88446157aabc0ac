"""Encode and decode: shapes, ranges, seeds, batch mates, bad input, saving and precision."""

import subprocess
import sys

import pytest
import torch

from layton import CodesError, ConfigError, ImageError, Tokenizer


def images(count: int = 2, side: int = 64) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(3)) * 2 - 1


def test_round_trip_shapes_and_ranges(tiny_tokenizer):
    codes = tiny_tokenizer.encode(images())
    assert codes.shape == (2, 16)
    assert codes.dtype == torch.int64
    decoded = tiny_tokenizer.decode(codes, generator=[1, 2])
    assert decoded.shape == (2, 3, 64, 64)
    assert decoded.dtype == torch.float32
    assert decoded.abs().max() <= 1
    assert decoded.std() > 0.05


@pytest.mark.parametrize(("encode_px", "tokens"), [(12, 9), (16, 16), (20, 25)])
def test_other_encoder_sizes_give_other_token_counts_and_the_same_image_size(
    tiny_tokenizer, encode_px, tokens
):
    codes = tiny_tokenizer.encode(images(), encode_px=encode_px)
    assert codes.shape == (2, tokens)
    assert tiny_tokenizer.decode(codes).shape == (2, 3, 64, 64)


def test_an_image_already_resized_is_encoded_as_it_is(tiny_tokenizer):
    small = torch.nn.functional.interpolate(images(), (16, 16), mode="bicubic", antialias=True)
    assert torch.equal(tiny_tokenizer.encode(small.clamp(-1, 1)), tiny_tokenizer.encode(images()))


def test_decoding_depends_on_the_seed_and_not_on_batch_mates(tiny_tokenizer):
    codes = tiny_tokenizer.encode(images(3))
    together = tiny_tokenizer.decode(codes, generator=[7, 8, 9])
    alone = tiny_tokenizer.decode(codes[1:2], generator=[8])
    assert (together[1:2] - alone).abs().max() < 1e-5
    reversed_order = tiny_tokenizer.decode(codes.flip(0), generator=[9, 8, 7]).flip(0)
    assert (together - reversed_order).abs().max() < 1e-5
    assert torch.equal(together, tiny_tokenizer.decode(codes, generator=[7, 8, 9]))
    assert (tiny_tokenizer.decode(codes[1:2], generator=[10]) - alone).abs().max() > 1e-3
    # one int seeds every image alike; generators go on where they stand
    assert torch.equal(alone, tiny_tokenizer.decode(codes[1:2], generator=8))
    generator = torch.Generator().manual_seed(8)
    assert torch.equal(alone, tiny_tokenizer.decode(codes[1:2], generator=[generator]))
    again = tiny_tokenizer.decode(codes[1:2], generator=[generator])
    assert (again - alone).abs().max() > 1e-3


def test_one_generator_draws_for_the_whole_batch_in_the_official_order(tiny_tokenizer):
    codes = tiny_tokenizer.encode(images())
    drawn = torch.Generator().manual_seed(5)
    expected = tiny_tokenizer.decode_latents(
        codes, draw_noise=lambda: torch.randn(2, 4, 8, 8, generator=drawn)
    )
    decoded = tiny_tokenizer.decode(codes, generator=torch.Generator().manual_seed(5))
    assert torch.equal(decoded, tiny_tokenizer.latents_to_images(expected))


def test_global_random_state_is_neither_read_nor_set(tiny_tokenizer):
    codes = tiny_tokenizer.encode(images(1))
    torch.manual_seed(1)
    first = tiny_tokenizer.decode(codes, generator=3)
    state = torch.random.get_rng_state()
    torch.manual_seed(2)
    assert torch.equal(first, tiny_tokenizer.decode(codes, generator=3))
    torch.manual_seed(1)
    assert torch.equal(state, torch.random.get_rng_state())


def test_steps_and_sizes(tiny_tokenizer):
    codes = tiny_tokenizer.encode(images(1))
    one, two = (tiny_tokenizer.decode(codes, steps=steps) for steps in (1, 2))
    assert (one - two).abs().max() > 1e-3
    assert torch.equal(two, tiny_tokenizer.decode(codes))
    assert tiny_tokenizer.timesteps(1) == (999,)
    with pytest.raises(ConfigError, match="72 is not a multiple of 32"):
        tiny_tokenizer.decode(codes, size_px=72)
    with pytest.raises(ConfigError, match="9 is not 1 … 8"):
        tiny_tokenizer.decode(codes, steps=9)


def test_large_images_go_through_the_vae_in_tiles(tiny_tokenizer):
    codes = tiny_tokenizer.encode(images(1))
    tiles = []
    tiny_tokenizer.vae.decoder.register_forward_pre_hook(lambda _, x: tiles.append(x[0].shape[2:]))
    assert tiny_tokenizer.decode(codes).shape == (1, 3, 64, 64)
    assert tiles == [(8, 8)]
    large = tiny_tokenizer.decode(codes, size_px=128)
    # 16 latents in steps of 6, so that tiles overlap by a quarter; none is larger than an image
    assert [max(tile) for tile in tiles[1:]] == [8] * 8 + [4]  # what is left in the corner
    # tiles are blended: what one tile alone decides is as decoded alone
    latents = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    corner = tiny_tokenizer.latents_to_images(latents[..., :8, :8])[..., :48, :48]
    whole = tiny_tokenizer.latents_to_images(latents)
    assert large.shape == whole.shape == (1, 3, 128, 128)
    assert (whole[..., :48, :48] - corner).abs().max() < 1e-5


def test_bad_images_are_named(tiny_tokenizer):
    with pytest.raises(ImageError, match="48×64 px; this model takes 64×64 or 16×16"):
        tiny_tokenizer.encode(torch.zeros(1, 3, 48, 64))
    with pytest.raises(ImageError, match="uint8"):
        tiny_tokenizer.encode(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    with pytest.raises(ImageError, match="0 … 255"):
        tiny_tokenizer.encode(torch.arange(256.0).view(1, 1, 16, 16).expand(1, 3, 16, 16))
    with pytest.raises(ImageError, match="nan"):
        tiny_tokenizer.encode(torch.full((1, 3, 64, 64), float("nan")))
    with pytest.raises(ConfigError, match="17 is not among"):
        tiny_tokenizer.encode(images(), encode_px=17)


def test_bad_codes_are_named(tiny_tokenizer):
    with pytest.raises(CodesError, match=r"\(1, 15\), expected \(B, N\) with N of \[9, 16, 25\]"):
        tiny_tokenizer.decode(torch.zeros(1, 15, dtype=torch.long))
    with pytest.raises(CodesError, match="0 … 32, the codebook has 0 … 31"):
        tiny_tokenizer.decode(torch.tensor([[32, *[0] * 15]]))
    with pytest.raises(CodesError, match="float32"):
        tiny_tokenizer.decode(torch.zeros(1, 16))
    with pytest.raises(ConfigError, match="3 seeds for 1 images"):
        tiny_tokenizer.decode(torch.zeros(1, 16, dtype=torch.long), generator=[1, 2, 3])


def test_an_empty_batch_is_an_empty_batch(tiny_tokenizer):
    codes = tiny_tokenizer.encode(torch.zeros(0, 3, 64, 64))
    assert codes.shape == (0, 16)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_saved_folder_gives_the_same_model(tiny_tokenizer, tmp_path, dtype):
    tiny_tokenizer.save_pretrained(tmp_path / "model", dtype=dtype)
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
    loaded = Tokenizer.from_pretrained(tmp_path / "model")
    assert loaded.config == tiny_tokenizer.config
    codes = tiny_tokenizer.encode(images())
    difference = loaded.decode(codes) - tiny_tokenizer.decode(codes)
    if dtype == torch.float32:
        mine, theirs = tiny_tokenizer.state_dict(), loaded.state_dict()
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[key], theirs[key]) for key in mine)
        assert torch.equal(loaded.encode(images()), codes)
        assert difference.abs().max() < 1e-5  # the same numbers at other addresses
    else:
        assert difference.abs().max() < 0.05


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_codes_exact_and_images_close(tiny_tokenizer, tmp_path, dtype):
    tiny_tokenizer.save_pretrained(tmp_path)
    half = Tokenizer.from_pretrained(tmp_path, dtype=dtype).optimize_for_inference()
    assert half.decoder.unet.conv_in.weight.dtype == dtype
    # SDXL's VAE overflows in float16
    assert half.vae.dtype == (torch.float32 if dtype == torch.float16 else dtype)
    codes = half.encode(images())
    assert torch.equal(codes, tiny_tokenizer.encode(images()))
    difference = half.decode(codes) - tiny_tokenizer.decode(codes)
    assert difference.square().mean().sqrt() < (0.05 if dtype == torch.bfloat16 else 0.01)


def test_importing_layton_loads_no_torch():
    code = "import sys, layton, layton.tokenizer.config; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

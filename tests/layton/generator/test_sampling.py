"""Sampling: the official filter, hand-computed cases, and draws that follow their distribution."""

import itertools
import math

import pytest
import torch
from safetensors.torch import load_file

from layton.errors import ConfigError
from layton.generator.config import Guidance, Sampling
from layton.generator.sampling import (
    choose,
    filter_logits,
    guide,
    gumbel_noise,
    philox,
    seed_keys,
)

COMBINATIONS = {
    "topk7": {"top_k": 7},
    "topp80": {"top_p": 0.8},
    "topk12_topp60": {"top_k": 12, "top_p": 0.6},
    "topk_over": {"top_k": 1000},
    "topp_tiny": {"top_p": 1e-6},
}


@pytest.mark.parametrize("name", COMBINATIONS)
def test_filters_equal_the_official_code(shared, name):
    golden = load_file(shared / "parity/golden/sampling_filter.safetensors")
    filtered = filter_logits(golden["in.logits"] / 0.7, **COMBINATIONS[name])
    assert torch.equal(filtered > -math.inf, golden[f"out.kept_{name}"])
    assert (filtered.softmax(-1) - golden[f"out.probs_{name}"]).abs().max() < 1e-6


def kept(probabilities, **options):
    logits = torch.tensor([probabilities]).log()
    before = logits.clone()
    filtered = filter_logits(logits, **options)
    assert torch.equal(logits, before)  # the argument is left alone
    return (filtered[0] > -math.inf).tolist()


def test_filters_by_hand():
    p = [0.1, 0.4, 0.2, 0.3]
    assert kept(p) == [True] * 4
    assert kept(p, top_k=2) == [False, True, False, True]
    assert kept([0.25] * 4, top_k=2) == [True] * 4  # ties with the second largest stay
    assert kept(p, top_p=0.65) == [False, True, False, True]  # 0.4, then 0.7 crosses
    assert kept(p, top_p=0.75) == [False, True, True, True]
    # of the two kept by top-k, 0.4 holds 4/7 = 0.571
    assert kept(p, top_k=2, top_p=0.57) == [False, True, False, False]
    assert kept(p, top_k=2, top_p=0.58) == [False, True, False, True]


def test_guidance_by_hand():
    cond, uncond = torch.tensor([[3.0, 1.0]]), torch.tensor([[1.0, 2.0]])
    assert guide(cond, uncond, 2.5).tolist() == [[6.0, -0.5]]
    assert guide(cond, uncond, 1.0).tolist() == cond.tolist()


def test_schedules():
    assert Guidance().weights(3) == [1.0] * 3
    assert Guidance(scale=2.0).weights(3) == [2.0] * 3
    assert Guidance(scale=2.0, start=1, stop=3).weights(4) == [1.0, 2.0, 2.0, 1.0]
    # RAR: (w − 1) · (1 − cos(π (i/N)^p)) / 2 + 1; at i/N = ½ and p = 1 half way, at p = 2 cos(π/4)
    assert Guidance(scale=5.0, power=1.0).weights(2) == pytest.approx([1.0, 3.0])
    quarter = 1 + 4 * (1 - math.cos(math.pi / 4)) / 2
    assert Guidance(scale=5.0, power=2.0).weights(2) == pytest.approx([1.0, quarter])


@pytest.mark.parametrize(
    "build",
    [
        lambda: Guidance(scale=-1.0),
        lambda: Guidance(scale=math.nan),
        lambda: Guidance(start=4, stop=3),
        lambda: Guidance(power=0.0),
        lambda: Sampling(temperature=-0.1),
        lambda: Sampling(top_k=-1),
        lambda: Sampling(top_p=0.0),
        lambda: Sampling(top_p=1.5),
    ],
)
def test_settings_out_of_range_are_refused(build):
    with pytest.raises(ConfigError):
        build()


def test_philox_known_answers():
    # Random123's known-answer vectors of philox4x32-10
    answers = {
        (0,) * 6: "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
        (0xFFFFFFFF,) * 6: "408f276d 41c83b0e a20bc7c6 6d5451fd",
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344, 0xA4093822, 0x299F31D0): (
            "d16cfe09 94fdcceb 5001e420 24126ea1"
        ),
    }
    for words, answer in answers.items():
        tensors = [torch.tensor([word]) for word in words]
        out = philox(tensors[:4], tensors[4:])
        assert " ".join(f"{int(word):08x}" for word in out) == answer


def test_noise_depends_on_seed_step_and_token_alone():
    seeds = [0, 7, 2**63 + 5]
    together = gumbel_noise(seed_keys(seeds), 3, 50)
    for row, seed in zip(together, seeds, strict=True):
        assert torch.equal(row, gumbel_noise(seed_keys([seed]), 3, 50)[0])
        assert torch.equal(row[:21], gumbel_noise(seed_keys([seed]), 3, 21)[0])
    different = [gumbel_noise(seed_keys([seed]), step, 50) for seed in seeds for step in (2, 3)]
    for a, b in itertools.combinations(different, 2):
        assert not torch.equal(a, b)
    # the high word of the seed counts
    assert not torch.equal(*gumbel_noise(seed_keys([1, 2**32 + 1]), 0, 8))


def test_noise_is_gumbel():
    noise = gumbel_noise(seed_keys(range(200)), 11, 5000).double().flatten()
    assert torch.isfinite(noise).all()
    # a million draws: mean γ ± 0.0013, variance π²/6 ± 0.004 (one standard error each)
    assert noise.mean() == pytest.approx(0.5772157, abs=5 * 0.0013)
    assert noise.var() == pytest.approx(math.pi**2 / 6, abs=5 * 0.004)
    # distribution function exp(−exp(−x)), Kolmogorov-Smirnov: 1.95/√n at 0.1 %
    steps = torch.arange(1, len(noise) + 1) / len(noise)
    distance = ((-(-noise.sort().values).exp()).exp() - steps).abs().max()
    assert distance < 1.95 / math.sqrt(len(noise))


def test_draws_follow_the_filtered_distribution():
    logits = torch.tensor([[0.1, 0.4, 0.2, 0.3]]).log().expand(40_000, 4)
    noise = gumbel_noise(seed_keys(range(40_000)), 0, 4)
    for sampling, wanted in {
        Sampling(): [0.1, 0.4, 0.2, 0.3],
        Sampling(top_k=2): [0, 4 / 7, 0, 3 / 7],
        Sampling(temperature=0.5): [1 / 30, 16 / 30, 4 / 30, 9 / 30],
    }.items():
        counts = choose(logits, sampling, noise).bincount(minlength=4) / 40_000
        # four standard errors of the largest share
        assert (counts - torch.tensor(wanted)).abs().max() < 4 * 0.5 / 200, sampling


def test_greedy_and_cold_draws_take_the_likeliest():
    logits = torch.randn(6, 30, generator=torch.Generator().manual_seed(0))
    assert torch.equal(choose(logits, Sampling(temperature=0.0)), logits.argmax(-1))
    noise = gumbel_noise(seed_keys(range(6)), 0, 30)
    for sampling in (Sampling(temperature=1e-4), Sampling(top_k=1), Sampling(top_p=1e-9)):
        assert torch.equal(choose(logits, sampling, noise), logits.argmax(-1))

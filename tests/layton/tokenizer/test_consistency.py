"""Schedule and samplers against diffusers' schedulers, and by hand."""

import pytest
import torch
from diffusers import DDIMScheduler, LCMScheduler

from layton.errors import ConfigError
from layton.tokenizer.config import NoiseConfig
from layton.tokenizer.consistency import (
    NoiseSchedule,
    boundary_scalings,
    consistency_timesteps,
    ddim_timesteps,
    sample_consistency,
    sample_ddim,
)

SDXL = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


@pytest.fixture
def schedule():
    return NoiseSchedule(NoiseConfig())


def predict(x_t, timestep):
    """Some fixed smooth function of both."""
    return torch.sin(x_t * 0.7 + timestep / 300)


def test_schedule_equals_diffusers(schedule):
    official = DDIMScheduler(**SDXL)
    assert torch.equal(schedule.alphas_cumprod, official.alphas_cumprod)
    x0, eps = torch.randn(3, 4, 2, 2), torch.randn(3, 4, 2, 2)
    timesteps = torch.tensor([999, 500, 0])
    x_t = schedule.add_noise(x0, eps, timesteps)
    assert torch.allclose(x_t, official.add_noise(x0, eps, timesteps), atol=1e-6)
    # √ᾱ_999 = 0.068 divides the rounding error
    assert torch.allclose(schedule.predict_x0(x_t, eps, timesteps), x0, atol=2e-5)
    for row, timestep in enumerate(timesteps.tolist()):
        single = schedule.add_noise(x0[row], eps[row], timestep)
        assert torch.allclose(single, x_t[row], atol=1e-6)


@pytest.mark.parametrize("steps", [1, 4, 25, 50])
def test_ddim_equals_diffusers(schedule, steps):
    official = DDIMScheduler(**SDXL)
    official.set_timesteps(steps)
    timesteps = ddim_timesteps(steps)
    assert timesteps == tuple(official.timesteps.tolist())
    x_t = expected = torch.randn(2, 4, 3, 3)
    for timestep in official.timesteps.tolist():
        expected = official.step(predict(expected, timestep), timestep, expected).prev_sample
    got = sample_ddim(predict, x_t, schedule=schedule, timesteps=timesteps)
    assert (got - expected).abs().max() < 1e-4


def test_consistency_timesteps_are_tlcms():
    # int(999 · (1 − k/8)) for k = 0 … 8
    assert consistency_timesteps(8) == (999, 874, 749, 624, 499, 374, 249, 124)
    assert consistency_timesteps(1) == (999,)
    assert consistency_timesteps(2) == (999, 499)
    assert consistency_timesteps(3) == (999, 499, 124)
    assert consistency_timesteps(4) == (999, 749, 499, 124)
    assert consistency_timesteps(2, 100) == (99, 49)
    with pytest.raises(ConfigError, match="0 is not 1 … 8"):
        consistency_timesteps(0)
    with pytest.raises(ConfigError, match="1001 is not 1 … 1000"):
        ddim_timesteps(1001)


def test_two_consistency_steps_by_hand(schedule):
    start, fresh = torch.randn(1, 1, 2, 2), torch.randn(1, 1, 2, 2)
    noises = iter([fresh])
    got = sample_consistency(
        predict, start, schedule=schedule, timesteps=(999, 499), draw_noise=lambda: next(noises)
    )
    a999, a499 = (schedule.alphas_cumprod[t] for t in (999, 499))
    x0 = (start - (1 - a999).sqrt() * predict(start, 999)) / a999.sqrt()
    assert x0.abs().max() > 1  # nothing clips it
    x_t = a499.sqrt() * x0 + (1 - a499).sqrt() * fresh
    expected = (x_t - (1 - a499).sqrt() * predict(x_t, 499)) / a499.sqrt()
    assert torch.allclose(got, expected)
    assert next(noises, None) is None


def test_a_perfect_predictor_returns_the_image_in_any_number_of_steps(schedule):
    x0 = torch.randn(2, 4, 3, 3)

    def perfect(x_t, timestep):
        signal, noise = schedule.rates(timestep)
        return (x_t - signal * x0) / noise

    for steps in (1, 2, 3, 8):
        got = sample_consistency(
            perfect,
            torch.randn_like(x0),
            schedule=schedule,
            timesteps=consistency_timesteps(steps),
            draw_noise=lambda: torch.randn_like(x0),
        )
        assert (got - x0).abs().max() < 1e-4


def test_boundary_scalings_equal_diffusers_and_start_at_the_identity():
    official = LCMScheduler()
    for timestep in (0, 1, 250, 999):
        expected = official.get_scalings_for_boundary_condition_discrete(timestep)
        got = boundary_scalings(torch.tensor(timestep))
        assert [float(v) for v in got] == pytest.approx([float(v) for v in expected], rel=1e-6)
    assert [float(v) for v in boundary_scalings(torch.tensor(0))] == [1.0, 0.0]

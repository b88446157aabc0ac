"""Noise schedule, conversions between x0, noise and v, and the two samplers; nothing is learned.

x_t = √ᾱ_t · x0 + √(1 − ᾱ_t) · eps. Latents are (B, C, h, w), scaled; timesteps are integers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from layton.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from layton.tokenizer.config import NoiseConfig

__all__ = [
    "NoiseSchedule",
    "boundary_scalings",
    "consistency_timesteps",
    "ddim_timesteps",
    "sample_consistency",
    "sample_ddim",
]

# which of nine evenly spaced timesteps TLCM calls the model at, by number of steps
_TLCM_STEPS = {
    1: (0,),
    2: (0, 4),
    3: (0, 4, 7),
    4: (0, 2, 4, 7),
    5: (0, 2, 4, 6, 7),
    6: (0, 2, 4, 5, 6, 7),
    7: (0, 2, 3, 4, 5, 6, 7),
    8: (0, 1, 2, 3, 4, 5, 6, 7),
}


class NoiseSchedule:
    """ᾱ_t of a "scaled linear" schedule and what follows from it.

    Attributes:
        alphas_cumprod: (num_train_timesteps,) float32 on the CPU.
        prediction: the decoder's output, "epsilon" or "v_prediction".
    """

    def __init__(self, config: NoiseConfig) -> None:
        start, end, count = config.beta_start, config.beta_end, config.num_train_timesteps
        # the device is named because models are built with the meta device as default
        betas = torch.linspace(start**0.5, end**0.5, count, device="cpu") ** 2
        self.alphas_cumprod = torch.cumprod(1.0 - betas, 0)
        self.prediction = config.prediction

    def __len__(self) -> int:
        return len(self.alphas_cumprod)

    def rates(self, timesteps: Tensor | int) -> tuple[Tensor, Tensor]:
        """(√ᾱ_t, √(1 − ᾱ_t)), float32; (B, 1, 1, 1) for a (B,) tensor, scalars for an int."""
        if isinstance(timesteps, int):
            alpha = self.alphas_cumprod[timesteps]
        else:
            alpha = self.alphas_cumprod.to(timesteps.device)[timesteps].view(-1, 1, 1, 1)
        return alpha.sqrt(), (1.0 - alpha).sqrt()

    def add_noise(self, x0: Tensor, eps: Tensor, timesteps: Tensor | int) -> Tensor:
        """x_t from x0 and unit noise, in x0's dtype."""
        signal, noise = self.rates(timesteps)
        return (signal * x0 + noise * eps).to(x0.dtype)

    def predict_x0(self, x_t: Tensor, output: Tensor, timesteps: Tensor | int) -> Tensor:
        """x0 from x_t and the decoder's output; not clipped, in x_t's dtype."""
        signal, noise = self.rates(timesteps)
        if self.prediction == "v_prediction":
            return (signal * x_t - noise * output).to(x_t.dtype)
        return ((x_t - noise * output) / signal).to(x_t.dtype)

    def predict_eps(self, x_t: Tensor, output: Tensor, timesteps: Tensor | int) -> Tensor:
        """The noise in x_t from the decoder's output, in x_t's dtype."""
        if self.prediction == "epsilon":
            return output
        signal, noise = self.rates(timesteps)
        return (noise * x_t + signal * output).to(x_t.dtype)

    def target(self, x0: Tensor, eps: Tensor, timesteps: Tensor | int) -> Tensor:
        """What the decoder should put out for x_t = √ᾱ_t · x0 + √(1 − ᾱ_t) · eps."""
        if self.prediction == "epsilon":
            return eps
        signal, noise = self.rates(timesteps)
        return (signal * eps - noise * x0).to(x0.dtype)


def boundary_scalings(
    timesteps: Tensor, *, sigma_data: float = 0.5, timestep_scaling: float = 10.0
) -> tuple[Tensor, Tensor]:
    """c_skip(t) and c_out(t) of a consistency function f = c_skip · x + c_out · x0.

    c_skip = σ²/((s·t)² + σ²), c_out = s·t/√((s·t)² + σ²), hence f(x, 0) = x (Luo et al., arXiv
    2310.04378). Shapes as `timesteps`, float32.
    """
    scaled = timesteps.float() * timestep_scaling
    total = scaled**2 + sigma_data**2
    return sigma_data**2 / total, scaled / total.sqrt()


def consistency_timesteps(steps: int, num_train_timesteps: int = 1000) -> tuple[int, ...]:
    """Timesteps of 1 … 8 consistency steps, highest first: 3 → (999, 499, 124).

    Raises:
        ConfigError: another number of steps.
    """
    if steps not in _TLCM_STEPS:
        raise ConfigError("steps", f"{steps} is not 1 … 8", "A consistency decoder needs few.")
    last = num_train_timesteps - 1
    return tuple(int(last - last * index / 8) for index in _TLCM_STEPS[steps])


def ddim_timesteps(steps: int, num_train_timesteps: int = 1000) -> tuple[int, ...]:
    """Timesteps of DDIM with leading spacing and offset 1, as SDXL's scheduler is configured.

    Raises:
        ConfigError: steps is not 1 … num_train_timesteps.
    """
    if not 1 <= steps <= num_train_timesteps:
        raise ConfigError("steps", f"{steps} is not 1 … {num_train_timesteps}")
    ratio = num_train_timesteps // steps
    return tuple(min(ratio * i + 1, num_train_timesteps - 1) for i in reversed(range(steps)))


def sample_consistency(
    predict: Callable[[Tensor, int], Tensor],
    x_t: Tensor,
    *,
    schedule: NoiseSchedule,
    timesteps: Sequence[int],
    draw_noise: Callable[[], Tensor],
) -> Tensor:
    """Predict x0, noise it to the next timestep, repeat; the last x0 is returned as it is.

    Args:
        predict: (latents, timestep) → the decoder's output.
        x_t: (B, C, h, w) unit Gaussian noise to start from.
        schedule: the noise schedule.
        timesteps: model calls, highest first.
        draw_noise: fresh unit noise shaped like x_t, called between steps, never after the last.
    """
    x0 = x_t
    for index, timestep in enumerate(timesteps):
        if index:
            x_t = schedule.add_noise(x0, draw_noise(), timestep)
        x0 = schedule.predict_x0(x_t, predict(x_t, timestep), timestep)
    return x0


def sample_ddim(
    predict: Callable[[Tensor, int], Tensor],
    x_t: Tensor,
    *,
    schedule: NoiseSchedule,
    timesteps: Sequence[int],
) -> Tensor:
    """Deterministic DDIM (eta 0): x_{t'} = √ᾱ_t' · x0 + √(1 − ᾱ_t') · eps.

    The last step ends at timestep 0 of the schedule (set_alpha_to_one=False), not at x0.
    """
    spacing = len(schedule) // len(timesteps)
    for timestep in timesteps:
        output = predict(x_t, timestep)
        x0 = schedule.predict_x0(x_t, output, timestep)
        eps = schedule.predict_eps(x_t, output, timestep)
        x_t = schedule.add_noise(x0, eps, max(timestep - spacing, 0))
    return x_t

"""Operation counts: by hand for a part, and the published sizes at full scale."""

import dataclasses

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from layton import named_model
from layton.flops import count_flops


def test_counts_of_a_small_tokenizer(tiny_config):
    flops = count_flops(tiny_config)
    # three 3×3 convolutions in → 4, 4 → 4 → 6 → 6 → 8 blocks, then 8 → 8, on 8 × 8 latents
    pairs = [(4, 4), (4, 4), (4, 6), (6, 6), (6, 8), (8, 8)]
    assert flops.condition == sum(2 * 9 * a * b * 64 for a, b in pairs)
    assert flops.decode == flops.condition + 2 * flops.step + flops.vae
    assert count_flops(tiny_config, steps=5).decode - flops.decode == 3 * flops.step
    before = count_flops(tiny_config, folded=False)
    assert before.encode == flops.encode
    assert before.step > flops.step
    assert before.vae > flops.vae


def test_sampler_and_batch_do_not_enter_the_step(tiny_config):
    one = dataclasses.replace(
        tiny_config, sampler=dataclasses.replace(tiny_config.sampler, steps=1)
    )
    assert count_flops(one).step == count_flops(tiny_config).step


@torch.no_grad()
def test_what_really_runs_on_a_cpu_is_counted_alike(tiny_tokenizer):
    tokenizer = tiny_tokenizer.optimize_for_inference()  # packed linear layers included
    expected = count_flops(tiny_tokenizer.config)
    codes = torch.zeros(1, 16, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        tokenizer.decode(codes)
    first = counter.get_total_flops()
    with FlopCounterMode(display=False) as counter:
        tokenizer.decode(codes)
    second = counter.get_total_flops()
    # time projections are worked out in the first call alone; torch's counter knows no operation
    # of its CPU attention kernel, a hundredth here
    assert second < first
    assert 0.98 < second / expected.decode < 1


def test_full_size():
    flops = count_flops(named_model("layton-t").config)
    assert flops.step / 1e12 == pytest.approx(8.76, abs=0.01)
    assert flops.vae / 1e12 == pytest.approx(8.92, abs=0.01)
    assert flops.decode == flops.condition + 3 * flops.step + flops.vae

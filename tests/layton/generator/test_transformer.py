"""The transformer: official logits, a textbook transformer, decoding as teacher forcing."""

import json
import math
from dataclasses import replace

import pytest
import torch
from gpt_models import (
    CLASS,
    HEAVY,
    KEYED,
    TEXT,
    golden_gpt,
    official_config,
    random_gpt,
    random_texts,
)

from layton.errors import ConfigError
from layton.generator.codes import CodeGenerator
from layton.generator.config import GENERATORS, GPTConfig, find_generator
from layton.generator.layers import prefix_bias, rotary_table, rotate
from layton.generator.text import left_pad
from layton.generator.transformer import GPT

GOLDEN = ["llamagen_gpt_c2i", "llamagen_gpt_t2i", "lactokgen_gpt"]
TOLERANCE = 1e-4  # two honest float32 implementations differ by about 1e-5


@pytest.mark.parametrize("name", GOLDEN)
@torch.no_grad()
def test_logits_equal_the_official_code(shared, name):
    model, tensors, _ = golden_gpt(shared, name)
    codes = tensors["in.tokens"][:, :-1]
    if model.config.condition == "class":
        logits = model(tensors["in.class_ids"], codes)
        assert (logits - tensors["out.logits"]).abs().max() < TOLERANCE
        return
    features, mask = tensors["in.cond_left_padded"], tensors["in.emb_masks"].bool()
    every = torch.ones(len(codes), dtype=torch.bool)
    for out, logits in {
        "out.logits": model(features, codes),
        "out.logits_masked": model(features, codes, mask=mask),
        "out.logits_masked_uncond": model(features, codes, mask=mask, dropped=every),
    }.items():
        assert (logits - tensors[out]).abs().max() < TOLERANCE, out


@pytest.mark.parametrize(
    ("manifest", "name"),
    [
        ("llamagen_gpt_b_c2i_256", "llamagen-c2i-b"),
        ("llamagen_gpt_b_c2i_384", "llamagen-c2i-b@384"),
        ("llamagen_gpt_l_c2i_256", "llamagen-c2i-l"),
        ("llamagen_gpt_l_c2i_384", "llamagen-c2i-l@384"),
        ("llamagen_gpt_xl_c2i_256", "llamagen-c2i-xl"),
        ("llamagen_gpt_xl_c2i_384", "llamagen-c2i-xl@384"),
        ("llamagen_gpt_xl_t2i_256", "llamagen-t2i-xl-256"),
        ("llamagen_gpt_xl_t2i_512", "llamagen-t2i-xl-512"),
        ("lactokgen_gpt_xl_t2i_256", "laytongen-t-star"),
    ],
)
def test_full_size_keys_are_the_published_ones(shared, manifest, name):
    published = json.loads((shared / f"parity/manifests/{manifest}.json").read_text())
    config = find_generator(name).gpt
    assert config == official_config(published["config"])
    with torch.device("meta"):
        model = GPT(config)
    shapes = {key: list(tensor.shape) for key, tensor in model.state_dict().items()}
    assert shapes == published["params"]


def test_published_sizes():
    # LlamaGen's README: 111M, 343M, 775M, 1.4B, 3.1B
    sizes = {"b": "1.11e+08", "l": "3.43e+08", "xl": "7.75e+08", "xxl": "1.4e+09", "3b": "3.1e+09"}
    for size, published in sizes.items():
        with torch.device("meta"):
            model = GPT(GENERATORS[f"llamagen-c2i-{size}"].gpt)
        digits = len(published) - len(".e+08") - 1
        assert f"{sum(p.numel() for p in model.parameters()):.{digits}e}" == published
    with pytest.raises(ConfigError, match="no such generator"):
        find_generator("llamagen-c2i-s")


IDS = ["class-gqa", "text", "heavy text", "keyed text"]


def textbook_logits(model, prefix, codes):
    """One sequence the plain way: every score, every position, weights by their names.

    prefix (T, D), codes (M,) → logits (M + 1, V). The prefix takes part with an all-zero rotary
    table, as in the published models, so that queries and keys are zero, or with keys that a layer
    makes of it; to an image token each of its positions counts as so many.
    """
    config, state = model.config, model.state_dict()
    length, width = len(prefix), config.head_dim
    x = torch.cat((prefix, state["tok_embeddings.weight"][codes]))
    total = len(x)
    half = width // 2
    frequency = [config.rope_base ** (-2 * i / half) for i in range(half // 2)]
    turn = torch.zeros(total, half, 2)
    for i in range(total - length):
        row, column = divmod(i, config.grid_side)
        angles = torch.tensor([row * f for f in frequency] + [column * f for f in frequency])
        turn[length + i] = torch.stack((angles.cos(), angles.sin()), -1)

    def norm(y, name):
        return y / (y.square().mean(-1, keepdim=True) + config.norm_eps).sqrt() * state[name]

    def turned(heads):  # (H, total, E)
        a, b = heads[..., 0::2], heads[..., 1::2]
        cos, sin = turn[..., 0], turn[..., 1]
        return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)

    causal = torch.ones(total, total, dtype=torch.bool).tril()
    sizes = [config.dim, config.kv_heads * width, config.kv_heads * width]
    for i in range(config.num_layers):
        at = f"layers.{i}."
        normed = norm(x, f"{at}attention_norm.weight")
        qkv = normed @ state[f"{at}attention.wqkv.weight"].T
        q, k, v = (t.unflatten(-1, (-1, width)).transpose(0, 1) for t in qkv.split(sizes, -1))
        k, v = (t.repeat_interleave(config.num_heads // config.kv_heads, 0) for t in (k, v))
        keys = turned(k)
        if config.prefix_keys:
            own = normed[:length] @ state[f"{at}attention.prefix_keys.weight"].T
            own = own.unflatten(-1, (-1, width)).transpose(0, 1)
            keys[:, :length] = own.repeat_interleave(config.num_heads // config.kv_heads, 0)
        scores = turned(q) @ keys.mT / math.sqrt(width)
        scores[:, length:, :length] += math.log(config.prefix_weight)
        out = scores.masked_fill(~causal, -math.inf).softmax(-1) @ v
        x = x + out.transpose(0, 1).flatten(1) @ state[f"{at}attention.wo.weight"].T
        y = norm(x, f"{at}ffn_norm.weight")
        gate = torch.nn.functional.silu(y @ state[f"{at}feed_forward.w1.weight"].T)
        hidden = gate * (y @ state[f"{at}feed_forward.w3.weight"].T)
        x = x + hidden @ state[f"{at}feed_forward.w2.weight"].T
    return norm(x, "norm.weight")[length - 1 :] @ state["output.weight"].T


@pytest.mark.parametrize("config", [CLASS, TEXT, HEAVY, KEYED], ids=IDS)
@torch.no_grad()
def test_forward_equals_a_textbook_transformer(config):
    model = random_gpt(config)
    codes = torch.randint(40, (3, 15), generator=torch.Generator().manual_seed(2))
    if config.condition == "class":
        classes = torch.tensor([0, 6, 3])
        logits = model(classes, codes)
        prefixes = list(model.cls_embedding(classes))
    else:
        texts = random_texts([1, 6, 4])
        features, mask = left_pad(texts)
        logits = model(features, codes, mask=mask)
        prefixes = [model.cls_embedding(text[None])[0] for text in texts]
    for row, prefix, own in zip(logits, prefixes, codes, strict=True):
        assert (row - textbook_logits(model, prefix, own)).abs().max() < TOLERANCE


@pytest.mark.parametrize("spare", [0, 3])
@torch.no_grad()
def test_steps_equal_teacher_forcing(spare):
    model = random_gpt(CLASS)
    classes = torch.tensor([5, 1])
    codes = torch.randint(40, (2, 15), generator=torch.Generator().manual_seed(3))
    wanted = model(classes, codes)
    prefix = model.prefill(model.cls_embedding(classes))
    cache = model.new_cache(2)
    cache.keys.fill_(7.0)  # what an earlier use may have left
    cache.values.fill_(7.0)
    cache.fill(prefix)
    steps = [prefix.logits]
    for i in range(15):
        seen = min(16, i + 1 + spare)
        steps.append(model.step(codes[:, i], torch.tensor([i]), cache, seen))
    assert (torch.stack(steps, 1) - wanted).abs().max() < TOLERANCE


def test_fresh_prefix_keys_are_those_of_the_published_models():
    features, mask = left_pad(random_texts([2, 4]))
    codes = torch.randint(40, (2, 15), generator=torch.Generator().manual_seed(4))
    heavy = random_gpt(replace(KEYED, prefix_keys=False))
    keyed = GPT(KEYED).eval()
    missing = keyed.load_state_dict(heavy.state_dict(), strict=False).missing_keys
    assert missing == [f"layers.{i}.attention.prefix_keys.weight" for i in range(2)]
    with torch.no_grad():
        wanted, found = (model(features, codes, mask=mask) for model in (heavy, keyed))
    assert (found - wanted).abs().max() < TOLERANCE


@torch.no_grad()
def test_dropped_conditions_are_the_null_condition():
    model = random_gpt(TEXT)
    codes = torch.zeros(2, 3, dtype=torch.int64)
    features, mask = left_pad(random_texts([2, 4]))
    dropped = torch.tensor([True, False])
    logits = model(features, codes, mask=mask, dropped=dropped)
    null, null_mask = left_pad([model.cls_embedding.null(2)])
    assert (logits[:1] - model(null, codes[:1], mask=null_mask)).abs().max() < TOLERANCE
    kept = model(features, codes, mask=mask)
    assert torch.equal(kept[1], logits[1])
    assert (kept[0] - logits[0]).abs().max() > 0.1

    classes = random_gpt(CLASS)
    dropped_logits = classes(torch.tensor([3]), codes[:1], dropped=torch.tensor([True]))
    assert torch.equal(dropped_logits, classes(torch.tensor([7]), codes[:1]))


@pytest.mark.parametrize("config", [TEXT, KEYED], ids=["text", "keyed text"])
def test_every_weight_learns(config):
    model = random_gpt(config).train()
    features, mask = left_pad(random_texts([2, 4]))
    codes = torch.randint(40, (2, 16), generator=torch.Generator().manual_seed(4))
    logits = model(features, codes[:, :-1], mask=mask)
    assert logits.shape == (2, 16, 40)
    torch.nn.functional.cross_entropy(logits.flatten(0, 1), codes.flatten()).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())


@pytest.mark.parametrize(
    ("dtype", "error"), [(torch.float32, 1e-6), (torch.float16, 1e-3), (torch.bfloat16, 1e-3)]
)
def test_the_prefix_keys_weigh_what_its_positions_do(dtype, error):
    counts = torch.arange(1.0, 121.0)
    weights = prefix_bias(counts).to(dtype).double().exp().sum(-1)
    assert (weights / counts - 1).abs().max() < error
    assert prefix_bias(counts[:1]).tolist() == [[0.0, -math.inf]]


def test_rotation_as_written_and_as_complex_product(monkeypatch):
    angles = rotary_table(TEXT)
    x = torch.randn(16, TEXT.head_dim, generator=torch.Generator().manual_seed(5))
    as_complex = rotate(x, angles)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert torch.allclose(rotate(x, angles), as_complex, atol=1e-6)
    # position (1, 2) of a 4×4 grid: pair 0 turns by the row, pair 4 by the column
    a, b = x[6, :2]
    assert as_complex[6, 0].item() == pytest.approx((a * math.cos(1) - b * math.sin(1)).item())
    a, b = x[6, 8:10]
    assert as_complex[6, 8].item() == pytest.approx((a * math.cos(2) - b * math.sin(2)).item())


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"num_tokens": 15}, "not a square"),
        ({"dim": 50}, "multiple of 4"),
        ({"num_kv_heads": 3}, "evenly"),
        ({"num_prefix_tokens": 2}, "exactly one"),
    ],
)
def test_sizes_that_cannot_be_built(change, problem):
    sizes = {"dim": 48, "num_layers": 1, "num_heads": 4, "num_tokens": 16} | change
    with pytest.raises(ConfigError, match=problem):
        GPT(GPTConfig(**sizes))


def test_bfloat16_stays_close():
    model = random_gpt(CLASS)
    codes = torch.zeros(1, 3, dtype=torch.int64)
    wanted = model(torch.tensor([2]), codes)
    half = model.to(torch.bfloat16)
    logits = half(torch.tensor([2]), codes)
    assert logits.dtype == torch.float32
    assert (logits - wanted).abs().max() < 0.05 * wanted.abs().max()
    assert CodeGenerator(half).generate(torch.tensor([2]), seeds=[0]).shape == (1, 16)

"""Drawing codes: official sequences, and images that depend on their condition and seed alone."""

import functools

import pytest
import torch
from gpt_models import CLASS, HEAVY, KEYED, TEXT, golden_gpt, random_gpt, random_texts
from torch.utils._python_dispatch import TorchDispatchMode

from layton.errors import PromptError
from layton.generator.codes import CodeGenerator
from layton.generator.config import Guidance, Sampling
from layton.generator.sampling import choose, guide, gumbel_noise, seed_keys
from layton.generator.transformer import GPT
from layton.weights.packed import pack_linears

GREEDY = Sampling(temperature=0.0)
WARM = Sampling(temperature=1.3, top_k=20, top_p=0.95)
SEEDS = [11, 12, 13, 14]


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize("name", ["llamagen_gpt_c2i", "llamagen_gpt_t2i", "lactokgen_gpt"])
def test_greedy_sequences_equal_the_official_loop(shared, name, packed):
    model, tensors, settings = golden_gpt(shared, name)
    if packed:
        pack_linears(model)
    guided = Guidance(scale=settings["cfg_scale"])
    # the official interval counts decode steps, and its bound is the last guided one
    interval = Guidance(scale=settings["cfg_scale"], stop=settings["cfg_interval"] + 2)
    draw = functools.partial(CodeGenerator(model).generate, seeds=[0, 0], sampling=GREEDY)
    conditions = tensors.get("in.class_ids")
    if conditions is None:
        rows = zip(tensors["in.cond_left_padded"], tensors["in.emb_masks"].bool(), strict=True)
        conditions = [features[mask] for features, mask in rows]
        unmasked = draw(list(tensors["in.cond_left_padded"]), guidance=guided)
        assert torch.equal(unmasked, tensors["out.greedy_cfg_nomask"])
    assert torch.equal(draw(conditions, guidance=guided), tensors["out.greedy_cfg"])
    assert torch.equal(draw(conditions), tensors["out.greedy_nocfg"])
    assert torch.equal(draw(conditions, guidance=interval), tensors["out.greedy_cfg_interval"])


def slow_codes(model, condition, seed, guidance, sampling):
    """One image by the definition: every step from the whole sequence, nothing kept."""
    null = torch.tensor([CLASS.num_classes]) if model.config.condition == "class" else None
    if null is None:
        null, condition = model.cls_embedding.null(len(condition))[None], condition[None]
    codes = torch.empty(1, 0, dtype=torch.int64)
    for step, weight in enumerate(guidance.weights(16)):
        cond, uncond = (model(c, codes)[:, -1] for c in (condition, null))
        noise = gumbel_noise(seed_keys([seed]), step, 40)
        codes = torch.cat((codes, choose(guide(cond, uncond, weight), sampling, noise)[None]), 1)
    return codes[0]


@pytest.mark.parametrize(
    "guidance",
    [
        Guidance(),
        Guidance(scale=3.0),
        Guidance(scale=3.0, start=4, stop=9),
        Guidance(scale=3.0, power=1.5),
    ],
    ids=["off", "constant", "interval", "power-cosine"],
)
@pytest.mark.parametrize(
    "config", [CLASS, TEXT, HEAVY, KEYED], ids=["class-gqa", "text", "heavy text", "keyed text"]
)
@torch.no_grad()
def test_codes_equal_the_definition(config, guidance):
    model = random_gpt(config)
    conditions = torch.tensor([0, 6, 3, 3]) if config is CLASS else random_texts([1, 6, 4, 4])
    codes = CodeGenerator(model).generate(conditions, seeds=SEEDS, guidance=guidance, sampling=WARM)
    for row, condition, seed in zip(codes, conditions, SEEDS, strict=True):
        own = condition[None] if config is CLASS else condition
        assert torch.equal(row, slow_codes(model, own, seed, guidance, WARM))
    assert len(codes[0].unique()) > 3


@pytest.mark.parametrize("config", [CLASS, TEXT, KEYED], ids=["class-gqa", "text", "keyed text"])
def test_an_image_depends_on_its_condition_and_seed_alone(config):
    model = random_gpt(config)
    pack_linears(model)
    generator = CodeGenerator(model)
    draw = functools.partial(
        generator.generate, guidance=Guidance(scale=2.0, stop=9), sampling=WARM
    )
    conditions = torch.tensor([0, 6, 3, 5]) if config is CLASS else random_texts([1, 6, 4, 4])
    together = draw(conditions, seeds=SEEDS)
    order = [2, 0, 3, 1]
    shuffled = draw(
        [conditions[i] for i in order] if config is not CLASS else conditions[order],
        seeds=[SEEDS[i] for i in order],
    )
    assert torch.equal(shuffled, together[order])
    for i, seed in enumerate(SEEDS):
        assert torch.equal(draw(conditions[i : i + 1], seeds=[seed])[0], together[i])
    assert torch.equal(draw(conditions[:3], seeds=SEEDS[:3]), together[:3])
    assert not torch.equal(draw(conditions, seeds=[0] * 4)[0], together[0])


def test_images_of_a_prompt_share_one_prefill(monkeypatch):
    model = random_gpt(TEXT)
    texts = random_texts([5, 2, 5])
    sizes = []
    prefill = GPT.prefill

    def counted(self, embedded, mask=None):
        sizes.append(tuple(embedded.shape[:2]))
        return prefill(self, embedded, mask)

    monkeypatch.setattr(GPT, "prefill", counted)
    generator = CodeGenerator(model)
    draw = functools.partial(generator.generate, guidance=Guidance(scale=2.0), sampling=WARM)
    owners = [0, 1, 0, 2, 0]
    seeds = [1, 2, 3, 4, 5]
    codes = draw(texts, seeds=seeds, condition_of=owners)
    # three texts and one unconditional prefix for each of two lengths, not two times five
    assert sizes == [(5, 5)]
    apart = [draw([texts[i]], seeds=[seed])[0] for i, seed in zip(owners, seeds, strict=True)]
    assert torch.equal(codes, torch.stack(apart))
    draw(texts[:1], seeds=[0], guidance=None)
    assert sizes[-1] == (1, 5)


def test_features_of_another_dtype_leave_the_null_text_alone():
    generator = CodeGenerator(random_gpt(TEXT))
    draw = functools.partial(generator.generate, seeds=[1, 2], guidance=Guidance(scale=3.0))
    half = [text.bfloat16() for text in random_texts([3, 5])]
    assert torch.equal(draw(half), draw([text.float() for text in half]))


class _Syncs(TorchDispatchMode):
    """Counts operators that make the host wait for a value."""

    WAITING = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal", "_unique")

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if any(word in func.name() for word in self.WAITING):
            self.names.append(func.name())
        return func(*args, **(kwargs or {}))


def test_the_host_never_waits_while_decoding():
    model = random_gpt(CLASS)
    generator = CodeGenerator(model)
    weights = Guidance(scale=2.0, stop=9).weights(16)
    with torch.inference_mode(), _Syncs() as syncs:
        prefix = generator._prefill(torch.tensor([1, 2]), [0, 1], is_guided=True)
        codes = torch.empty(2, 16, dtype=torch.int64)
        generator._decode(codes, prefix, seed_keys([3, 4]), weights, WARM)
        assert syncs.names == []
        bool(codes.sum())  # the counter does count
    assert syncs.names != []


def test_the_unconditional_half_ends_with_the_interval():
    rows = []

    class Counted(CodeGenerator):
        def __init__(self, model):
            super().__init__(model)
            self._step = self._counted

        def _counted(self, tokens, position, cache, num_seen):
            rows.append(len(tokens))
            return self.model.step(tokens, position, cache, num_seen)

    Counted(random_gpt(CLASS)).generate(
        torch.tensor([1, 2]), seeds=[0, 0], guidance=Guidance(scale=2.0, stop=7)
    )
    # token 0 comes from the prefill; the steps that make tokens 1 … 6 are guided
    assert rows == [4] * 6 + [2] * 9


@pytest.mark.parametrize("config", [CLASS, KEYED], ids=["class-gqa", "keyed text"])
def test_compiled_steps_draw_the_same(config, monkeypatch):
    graphs = []

    def eager(graph, _):
        graphs.append(graph)
        return graph.forward

    compile_as_is = torch.compile
    monkeypatch.setattr(
        torch,
        "compile",
        lambda step, *, mode, fullgraph, dynamic: compile_as_is(
            step, backend=eager, fullgraph=fullgraph, dynamic=dynamic
        ),
    )
    model = random_gpt(config)
    plain, compiled = CodeGenerator(model), CodeGenerator(model, compiled=True)
    conditions = torch.tensor([3, 0, 5]) if config is CLASS else random_texts([1, 6, 4])
    for count in (3, 1, 2, 3):
        arguments = {"seeds": SEEDS[:count], "guidance": Guidance(scale=2.0, stop=9)}
        wanted = plain.generate(conditions[:count], sampling=WARM, **arguments)
        found = compiled.generate(conditions[:count], sampling=WARM, **arguments)
        assert torch.equal(found, wanted)
    assert len(graphs) == 2  # two cache lengths; smaller batches are padded, no step recompiles


@pytest.mark.parametrize(
    ("counts", "rows"), [((3, 1, 2), [3, 3, 3]), ((1, 4, 2, 1, 5, 4), [1, 4, 4, 1, 5, 4])]
)
def test_a_compiled_batch_is_padded_to_the_next_size_seen(monkeypatch, counts, rows):
    monkeypatch.setattr(torch, "compile", lambda step, **options: step)
    generator = CodeGenerator(random_gpt(CLASS), compiled=True)
    seen = []
    for count in counts:
        codes = generator.generate(torch.tensor([3] * count), seeds=range(count))
        assert len(codes) == count
        seen.append(generator._cache.num_rows)
    assert seen == rows


def test_codes_can_be_trained_on():
    codes = CodeGenerator(random_gpt(CLASS)).generate(torch.tensor([1]), seeds=[0])
    embedding = torch.nn.Embedding(40, 2)
    embedding(codes).sum().backward()
    assert embedding.weight.grad is not None


@pytest.mark.parametrize(
    ("config", "conditions", "options", "message"),
    [
        (CLASS, torch.tensor([7]), {}, "class 7: is out of range"),
        (CLASS, torch.tensor([-1]), {}, "class -1: is out of range"),
        (CLASS, torch.tensor([1.0]), {}, "float32"),
        (CLASS, [torch.zeros(2, 20)], {}, "a class index"),
        (TEXT, torch.tensor([1]), {}, "text features"),
        (TEXT, [torch.zeros(0, 20)], {}, "0 text tokens"),
        (TEXT, [torch.zeros(7, 20)], {}, "7 text tokens"),
        (TEXT, [torch.zeros(3, 21)], {}, r"shape \(3, 21\)"),
        (CLASS, torch.tensor([1]), {"seeds": [1, 2]}, "2 for 1 images"),
        (CLASS, torch.tensor([1]), {"condition_of": [1]}, "there is no condition 1"),
        (CLASS, torch.tensor([], dtype=torch.int64), {"seeds": []}, "none given"),
    ],
)
def test_conditions_that_cannot_be_drawn(config, conditions, options, message):
    generator = CodeGenerator(random_gpt(config))
    with pytest.raises(PromptError, match=message):
        generator.generate(conditions, **({"seeds": [0]} | options))


def test_top_k_is_applied_to_guided_logits():
    model = random_gpt(CLASS)
    sampling = Sampling(top_k=1)
    generator = CodeGenerator(model)
    cold = generator.generate(
        torch.tensor([2]), seeds=[5], guidance=Guidance(scale=4.0), sampling=sampling
    )
    greedy = generator.generate(
        torch.tensor([2]), seeds=[6], guidance=Guidance(scale=4.0), sampling=GREEDY
    )
    assert torch.equal(cold, greedy)

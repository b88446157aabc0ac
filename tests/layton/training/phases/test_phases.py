"""The loss of each phase against the same numbers worked out from its formula."""

import math

import pytest
import torch
import torch.nn.functional as F
from tiny_training import ENCODER, GPT, draw_images, recipe

from layton.tokenizer.config import NoiseConfig
from layton.tokenizer.consistency import NoiseSchedule, boundary_scalings
from layton.tokenizer.quantizer import Quantizer
from layton.tokenizer.vq_folder import read_vq
from layton.training.codebook import EMACodebook
from layton.training.data.seeds import derive, sample_mask, sample_noise, sample_timesteps
from layton.training.phases.base import images_of
from layton.training.start import fit_components, leading_components

SEEDS = torch.tensor([11, 12, 13])
LATENTS = torch.randn(3, 4, 16, 16, generator=torch.Generator().manual_seed(0))
BATCH = {"seeds": SEEDS, "latents": LATENTS, "codes": torch.arange(48).view(3, 16) % 16}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Untrained exports up to a tokenizer."""
    root = tmp_path_factory.mktemp("phases")
    draw_images(root / "images", count=2)
    recipe("vq", root).build().export(root / "vq/model")
    recipe("vae", root).build().export(root / "vae/model")
    recipe("diffusion", root).build().export(root / "diffusion/model")
    for name in ("alignment", "distillation"):  # any tokenizer folder will do
        recipe("alignment", root).build().export(root / f"{name}/model")
    return root


class Linear:
    """A predictor w · x_t + t / 1000, whatever the codes are."""

    def __init__(self, phase, monkeypatch, weight=0.5):
        self.weight = torch.tensor(weight, requires_grad=True)
        self.calls = []
        monkeypatch.setattr(phase, "predictor", lambda embedding, size_px: self)

    def __call__(self, x_t, timesteps):
        when = torch.as_tensor(timesteps).float().reshape(-1, 1, 1, 1) / 1000
        self.calls.append((x_t, timesteps, torch.is_grad_enabled()))
        return self.weight * x_t + when


def alphas(prediction="epsilon"):
    # "scaled linear" betas, written out
    count = torch.arange(1000, dtype=torch.float64) / 999
    betas = (0.00085**0.5 + count * (0.012**0.5 - 0.00085**0.5)) ** 2
    return torch.cumprod(1 - betas, 0).float()


def test_draws_depend_on_seed_and_purpose_alone():
    noise = sample_noise(SEEDS, (2, 3), purpose="a")
    assert torch.equal(noise[1:2], sample_noise(SEEDS[1:2], (2, 3), purpose="a"))
    assert not torch.equal(noise, sample_noise(SEEDS, (2, 3), purpose="b"))
    many = torch.arange(4000)
    drawn = sample_noise(many, (4,), purpose="a")
    assert float(drawn.mean()) == pytest.approx(0.0, abs=0.03)
    assert float(drawn.std()) == pytest.approx(1.0, abs=0.03)
    times = sample_timesteps(many, 5, 9, purpose="t")
    assert set(times.tolist()) == {5, 6, 7, 8}
    assert torch.bincount(times)[5:].tolist() == pytest.approx([1000] * 4, rel=0.12)
    assert float(sample_mask(many, 0.3, purpose="m").float().mean()) == pytest.approx(0.3, abs=0.03)
    assert not sample_mask(many, 0.0, purpose="m").any()
    assert 0 <= derive(1, "x") < 2**63
    assert derive(1, "x") != derive("1x")


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_targets_are_the_noise_or_v(prediction):
    schedule = NoiseSchedule(NoiseConfig(prediction=prediction))
    x0, eps, t = (
        LATENTS,
        sample_noise(SEEDS, LATENTS.shape[1:], purpose="x"),
        torch.tensor([0, 500, 999]),
    )
    a = alphas()[t].view(3, 1, 1, 1)
    target = schedule.target(x0, eps, t)
    expected = eps if prediction == "epsilon" else a.sqrt() * eps - (1 - a).sqrt() * x0
    assert torch.allclose(target, expected, atol=1e-5)
    # and either target gives x0 and the noise back
    x_t = schedule.add_noise(x0, eps, t)
    assert torch.allclose(x_t, a.sqrt() * x0 + (1 - a).sqrt() * eps, atol=1e-5)
    assert torch.allclose(schedule.predict_x0(x_t, target, t), x0, atol=2e-3)
    assert torch.allclose(schedule.predict_eps(x_t, target, t), eps, atol=1e-4)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_alignment_is_the_squared_error_of_the_noise(root, monkeypatch, prediction):
    phase = recipe("alignment", root).build()
    phase.tokenizer.schedule = NoiseSchedule(NoiseConfig(prediction=prediction))
    linear = Linear(phase, monkeypatch)
    loss = phase(BATCH, 0).loss
    eps = sample_noise(SEEDS, LATENTS.shape[1:], purpose="noise")
    t = sample_timesteps(SEEDS, 0, 1000, purpose="timestep")
    a = alphas()[t].view(3, 1, 1, 1)
    x_t = a.sqrt() * LATENTS + (1 - a).sqrt() * eps
    output = 0.5 * x_t + t.view(3, 1, 1, 1) / 1000
    target = eps if prediction == "epsilon" else a.sqrt() * eps - (1 - a).sqrt() * LATENTS
    assert loss.item() == pytest.approx(float((output - target).square().mean()), rel=1e-5)
    assert len(linear.calls) == 1


def test_alignment_reads_the_codes(root):
    """The decoder's own loss changes with the codes once the zero convolutions do not hold 0."""
    phase = recipe("alignment", root).build().eval()
    other = {**BATCH, "codes": (BATCH["codes"] + 5) % 16}
    with torch.no_grad():
        assert float(phase(BATCH, 0).loss) == float(phase(other, 0).loss)
        copy = phase.tokenizer.decoder.controlnet
        for conv in (*copy.controlnet_down_blocks, copy.controlnet_cond_embedding.conv_out):
            conv.weight.fill_(0.1)
        assert float(phase(BATCH, 0).loss) != float(phase(other, 0).loss)


def test_diffusion_is_the_same_without_codes(root, monkeypatch):
    phase = recipe("diffusion", root, noise={"prediction": "epsilon"}).build()
    monkeypatch.setattr(phase, "_predict", lambda x_t, t: 0.25 * x_t)
    loss = phase(BATCH, 0).loss
    eps = sample_noise(SEEDS, LATENTS.shape[1:], purpose="noise")
    a = alphas()[sample_timesteps(SEEDS, 0, 1000, purpose="timestep")].view(3, 1, 1, 1)
    x_t = a.sqrt() * LATENTS + (1 - a).sqrt() * eps
    assert float(loss) == pytest.approx(float((0.25 * x_t - eps).square().mean()), rel=1e-5)


def test_distillation_compares_two_points_of_the_teachers_path(root, monkeypatch):
    """Teacher and student are one function here, so every term has its formula."""
    phase = recipe("distillation", root, teacher_steps=4, huber=0.1).build()
    phase.tokenizer.schedule = NoiseSchedule(NoiseConfig())
    linear = Linear(phase, monkeypatch)
    loss = phase(BATCH, 0).loss

    t = sample_timesteps(SEEDS, 1, 5, purpose="timestep") * 250 - 1
    s = (t - 250).clamp_min(0)
    a, b = (alphas()[x].view(3, 1, 1, 1) for x in (t, s))
    eps = sample_noise(SEEDS, LATENTS.shape[1:], purpose="noise")
    x_t = a.sqrt() * LATENTS + (1 - a).sqrt() * eps

    def predict(x, when):
        return 0.5 * x + when.view(3, 1, 1, 1) / 1000

    def consistent(x, when, alpha):
        x0 = (x - (1 - alpha).sqrt() * predict(x, when)) / alpha.sqrt()
        scaled = when.view(3, 1, 1, 1).float() * 10
        return 0.25 / (scaled**2 + 0.25) * x + scaled / (scaled**2 + 0.25).sqrt() * x0

    teacher = predict(x_t, t)
    x0 = (x_t - (1 - a).sqrt() * teacher) / a.sqrt()
    x_s = b.sqrt() * x0 + (1 - b).sqrt() * teacher  # DDIM to s
    distance = consistent(x_t, t, a) - consistent(x_s, s, b)
    expected = ((distance**2 + 0.01).sqrt() - 0.1).mean()
    assert loss.item() == pytest.approx(float(expected), rel=1e-4)
    # the student's own call alone has gradients; teacher and target have none
    assert [grad for _, _, grad in linear.calls] == [True, False, False]
    c_skip, c_out = boundary_scalings(torch.tensor([0]))
    assert (float(c_skip), float(c_out)) == (1.0, 0.0)


def test_consistency_back_propagates_through_the_last_step_alone(root, monkeypatch):
    fields = {"steps": 2, "unet": "frozen", "reconstruction": {"l1": 0.0, "l2": 1.0}}
    phase = recipe("consistency", root, **fields).build().eval()
    schedule = phase.tokenizer.schedule = NoiseSchedule(NoiseConfig())
    linear = Linear(phase, monkeypatch, weight=0.9)
    # the VAE as enlargement by 2 of three channels, so that pixels follow from latents
    factor = phase.tokenizer.config.vae.scaling_factor
    monkeypatch.setattr(phase.tokenizer.vae, "decode", lambda raw, return_dict: (enlarged(raw),))
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    outcome = phase({"seeds": SEEDS, "images": images, "codes": BATCH["codes"]}, 0)
    outcome.loss.backward()
    assert [(t, grad) for _, t, grad in linear.calls] == [(999, False), (499, True)]

    first, second = (sample_noise(SEEDS, (4, 16, 16), purpose=f"noise {n}") for n in (0, 1))
    a, b = alphas()[999], alphas()[499]
    x0 = (first - (1 - a).sqrt() * (0.9 * first + 0.999)) / a.sqrt()
    x_t = b.sqrt() * x0 + (1 - b).sqrt() * second
    weight = torch.tensor(0.9, requires_grad=True)
    z0 = (x_t - (1 - b).sqrt() * (weight * x_t + 0.499)) / b.sqrt()
    expected = (enlarged(z0 / factor) - images).square().mean()
    expected.backward()
    assert outcome.loss.item() == pytest.approx(expected.item(), rel=1e-4)
    assert linear.weight.grad.item() == pytest.approx(weight.grad.item(), rel=1e-4)
    bias = (enlarged(z0 / factor) - images).mean()
    assert float(outcome.parts["brightness"]) == pytest.approx(bias.item(), rel=1e-3)
    assert len(schedule) == 1000


def enlarged(raw):
    return F.interpolate(raw[:, :3], scale_factor=2)


def test_consistency_compares_the_same_window_of_latents_and_pixels(root, monkeypatch):
    fields = {"steps": 1, "unet": "frozen", "crop_px": 8, "reconstruction": {"l1": 1.0}}
    phase = recipe("consistency", root, **fields).build().eval()
    latents = torch.arange(256.0).view(1, 1, 16, 16).expand(3, 4, 16, 16)
    windows, targets = phase._cut(latents, enlarged(latents), {"seeds": SEEDS})
    assert windows.shape == (3, 4, 4, 4)
    assert torch.equal(enlarged(windows), targets)
    assert len({float(w[0, 0, 0]) for w in windows}) > 1  # each sample its own
    # and the loss is that of the windows
    Linear(phase, monkeypatch)
    monkeypatch.setattr(phase.tokenizer.vae, "decode", lambda raw, return_dict: (enlarged(raw),))
    batch = {"seeds": SEEDS, "images": torch.zeros(3, 3, 32, 32), "codes": BATCH["codes"]}
    z0 = phase._sample(batch, 16, size_px=32)
    window, _ = phase._cut(z0, batch["images"], batch)
    factor = phase.tokenizer.config.vae.scaling_factor
    expected = (window[:, :3] / factor).abs().mean()
    assert phase(batch, 0).loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_consistency_may_hold_on_to_the_latents(root, monkeypatch):
    fields = {"steps": 1, "unet": "frozen", "latent_weight": 3.0, "reconstruction": {"l1": 1.0}}
    phase = recipe("consistency", root, **fields).build().eval()
    Linear(phase, monkeypatch)
    batch = {**BATCH, "images": torch.zeros(3, 3, 32, 32)}
    outcome = phase(batch, 0)
    z0 = phase._sample(batch, 16, size_px=32)
    distance = (z0 - LATENTS).square().mean().item()
    assert float(outcome.parts["latent"]) == pytest.approx(distance, rel=1e-5)
    expected = float(outcome.parts["l1"]) + 3.0 * distance
    assert outcome.loss.item() == pytest.approx(expected, rel=1e-5)


def gpt_phase(root, **changes):
    phase = recipe("gpt", root, words=None, **changes).build().eval()
    with torch.no_grad():
        generator = torch.Generator().manual_seed(3)
        phase.gpt.output.weight.copy_(torch.randn(16, 16, generator=generator))
    return phase


def gpt_batch(feature=1.0):
    features = sample_noise(SEEDS, (6, GPT["text_dim"]), purpose="text") * feature
    return {
        "seeds": SEEDS,
        "codes": BATCH["codes"],
        "captions": ["", "", ""],
        "text_features": features,
        "text_lengths": torch.tensor([6, 3, 1]),
    }


def test_the_transformers_loss_is_the_cross_entropy_of_its_codes(root):
    phase, batch = gpt_phase(root, condition_dropout=0.0), gpt_batch()
    outcome = phase(batch, 0)
    total = 0.0
    for row in range(3):  # one sample by itself, its padding cut off
        length = int(batch["text_lengths"][row])
        text = batch["text_features"][row : row + 1, 6 - length :]
        codes = batch["codes"][row]
        logits = phase.gpt(text, codes[None, :-1])[0].detach().double()
        shares = (logits - logits.max(1, keepdim=True).values).exp()
        shares = shares / shares.sum(1, keepdim=True)
        total += sum(-math.log(float(shares[i, code])) for i, code in enumerate(codes.tolist()))
    assert outcome.loss.item() == pytest.approx(total / 48, rel=1e-5)
    bits = float(outcome.parts["bits_per_token"])
    assert bits == pytest.approx(total / 48 / math.log(2), rel=1e-5)


def test_dropped_conditions_say_nothing(root):
    kept, dropped = (gpt_phase(root, condition_dropout=p) for p in (0.0, 0.999999))
    with torch.no_grad():
        assert float(kept(gpt_batch(), 0).loss) != float(kept(gpt_batch(2.0), 0).loss)
        assert float(dropped(gpt_batch(), 0).loss) == float(dropped(gpt_batch(2.0), 0).loss)


def test_averaged_codes_follow_their_vectors():
    quantizer = Quantizer(3, 2, l2_normalize=False)
    with torch.no_grad():
        quantizer.embedding.weight.copy_(torch.tensor([[0.0, 0.0], [4.0, 0.0], [9.0, 9.0]]))
    quantizer.embedding.weight.requires_grad_(False)
    average = EMACodebook(quantizer, decay=0.75)
    z = torch.tensor([[1.0, 0.0], [0.0, 1.0], [5.0, 2.0]]).T.reshape(1, 2, 1, 3)
    average.update(quantizer(z))
    # N = ¼ · (2, 1, 0), m = ¼ · sums: the first update puts each code on its vectors' mean
    assert average.counts.tolist() == [0.5, 0.25, 0.0]
    assert quantizer.embedding.weight.tolist() == [[0.5, 0.5], [5.0, 2.0], [9.0, 9.0]]
    # one vector in each of the first two: N ← ¾ N + ¼, m ← ¾ m + ¼ z
    average.update(quantizer(torch.tensor([[0.0, 0.0], [5.0, 6.0]]).T.reshape(1, 2, 1, 2)))
    assert average.counts.tolist() == [0.625, 0.4375, 0.0]
    expected = torch.tensor([[0.3, 0.3], [5.0, (0.375 + 1.5) / 0.4375], [9.0, 9.0]])
    assert torch.allclose(quantizer.embedding.weight, expected, atol=1e-6)
    # a code put elsewhere starts there as if one vector had been assigned
    quantizer.embedding.weight[2] = torch.tensor([1.0, -1.0])
    average.restart(torch.tensor([False, False, True]))
    assert average.counts[2] == 0.25
    assert average.sums[2].tolist() == [0.25, -0.25]


def test_the_components_of_patches_are_uncorrelated_and_found_by_the_fit():
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    components = leading_components(images, 4, 5)
    assert components.shape == (64, 5)
    covariance = components.T @ components / 64
    assert torch.allclose(covariance, torch.eye(5), atol=1e-3)
    # features that hold the components exactly: the fit finds them but for its ridge
    mix = torch.randn(5, 7, generator=torch.Generator().manual_seed(1))
    weight, bias = fit_components(components @ mix + 3.0, components)
    found = (components @ mix + 3.0) @ weight.T + bias
    assert torch.allclose(found, components, atol=0.1)
    assert float((found - components).square().mean()) < 1e-3


def test_an_autoencoder_starts_linear_so_that_its_features_tell_more_of_the_patches(root):
    generator = torch.Generator().manual_seed(0)
    small = torch.rand(16, 3, 10, 10, generator=generator) * 2 - 1
    images = F.interpolate(small, (64, 64), mode="bicubic").clamp(-1, 1)

    @torch.no_grad()
    def features(vae, x):
        seen = []
        hook = vae.encoder.conv_norm_out.register_forward_pre_hook(lambda _, i: seen.append(i[0]))
        vae.encoder(x)
        hook.remove()
        return seen[0]

    @torch.no_grad()
    def explained(vae):
        f = F.silu(vae.encoder.conv_norm_out(features(vae, images))).movedim(1, -1).flatten(0, -2)
        patch = images.shape[-1] // features(vae, images).shape[-1]
        components = leading_components(images, patch, 4)
        weight, bias = fit_components(f.detach(), components)
        return 1 - float((f @ weight.T + bias - components).square().mean())

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vae = recipe("vae", root).build().vae
        assert torch.allclose(
            features(vae, images[:2] * 2 - 0.5 * images[2:4]),
            features(vae, images[:2]) * 2 - 0.5 * features(vae, images[2:4]),
            atol=1e-4,
        )
        torch.manual_seed(0)
        usual = type(vae).from_config(vae.config)
        assert explained(vae) > explained(usual) + 0.1


def test_exported_code_vectors_have_unit_scale_and_mean_the_same(root, tmp_path):
    phase = recipe("vq", root, encoder=ENCODER | {"l2_normalize": False}).build().eval()
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        phase.model.quant_conv.weight *= 37.0
        phase.model.quantize.embedding.weight.normal_(0, 21.0)
        phase.export(tmp_path)
        found = read_vq(tmp_path)
        codes = phase.model.encode(images)
        assert torch.equal(found.encode(images), codes)
        assert torch.equal(
            found.decode(codes),
            phase.model.decode(codes),
        )
    assert 0.7 < float(found.quantize.embedding.weight.detach().std()) < 1.5


def test_unused_codes_are_moved_onto_encoder_outputs(root):
    book = {"update": "gradient", "revive_every": 2, "window": 128}  # one batch's codes
    phase = recipe("vq", root, codebook=book, adversary=None).build().train()
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    batch = {"seeds": SEEDS[:2], "images": images}

    @torch.no_grad()
    def distances():
        z = phase.model.quantize.compared(phase.model.features(images)).movedim(1, -1).flatten(0, 2)
        return torch.cdist(phase.model.quantize.codebook(), z).min(1).values

    with torch.no_grad():
        phase(batch, 0)  # the start: the whole codebook comes from data
        assert float(distances().max()) < 1e-3
        row = phase.model.quantize.embedding.weight
        row[:4] = -row[4]  # where no vector is; the first of them may still be the nearest
        assert float(distances()[:4].min()) > 0.05
        phase(batch, 1)  # not yet
        dead = phase.model.quantize.dead_codes()
        assert dead[1:4].all()
        assert not dead[4:].all()
        before = row.clone()
        phase(batch, 2)
        assert float(distances()[dead].max()) < 1e-3
        assert torch.equal(row[~dead], before[~dead])


def test_the_codebook_learns_by_its_loss_or_by_averages(root):
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    batch = {"seeds": SEEDS[:2], "images": images}
    for update in ("gradient", "ema"):
        book = {"update": update, "revive_every": None, "commitment": 0.5, "weight": 2.0}
        fields = {"codebook": book, "adversary": None, "reconstruction": {"l1": 1.0}}
        phase = recipe("vq", root, **fields).build().train()
        outcome = phase(batch, 5)
        share = 2.0 * 0.5 * float(outcome.parts["commitment"])
        # codebook and commitment loss have one value; only their gradients differ
        expected = float(outcome.parts["l1"]) + share * (3 if update == "gradient" else 1)
        assert outcome.loss.item() == pytest.approx(expected, rel=1e-5)
        outcome.loss.backward()
        assert (phase.model.quantize.embedding.weight.grad is None) == (update == "ema")


def test_before_quantisation_every_parameter_has_a_gradient(root):
    """Processes must agree on that; those that do not yet matter have one of 0."""
    book = {"update": "gradient", "quantize_from": 9, "decoder_first": 9}
    phase = recipe("vq", root, codebook=book, adversary=None).build().train()
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    outcome = phase({"seeds": SEEDS[:2], "images": images}, 1)
    outcome.loss.backward()
    assert all(p.grad is not None for p in phase.parameters())
    for module in (phase.model.encoder, phase.model.quant_conv, phase.model.quantize):
        assert all(not p.grad.any() for p in module.parameters())
    assert any(p.grad.any() for p in phase.model.decoder.parameters())
    assert outcome.loss.item() == pytest.approx(
        sum(float(v) for k, v in outcome.parts.items() if k in ("l1", "chroma")), rel=1e-5
    )


def test_the_autoencoders_loss_is_pixels_and_divergence(root):
    fields = {"kl_weight": 0.25, "reconstruction": {"l1": 2.0}}
    phase = recipe("vae", root, **fields).build().eval()
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        outcome = phase({"seeds": SEEDS[:2], "images": images}, 0)
        posterior = phase.vae.encode(images).latent_dist
        noise = sample_noise(SEEDS[:2], posterior.mean.shape[1:], purpose="posterior")
        recon = phase.vae.decode(posterior.mean + posterior.std * noise).sample
        expected = 2.0 * (recon - images).abs().mean() + 0.25 * posterior.kl().mean()
    assert float(outcome.loss) == pytest.approx(float(expected), rel=1e-5)
    assert images_of({"images": images}) is images


def test_the_scaling_factor_gives_latents_unit_variance(root, tmp_path):
    from diffusers import AutoencoderKL

    phase = recipe("vae", root).build().train()
    images = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        phase({"seeds": torch.arange(8), "images": images}, 0)
        phase.eval().export(tmp_path)
        vae = AutoencoderKL.from_pretrained(tmp_path / "vae")
        drawn = vae.encode(images).latent_dist.sample(torch.Generator().manual_seed(0))
    assert float(drawn.std()) * vae.config.scaling_factor == pytest.approx(1.0, rel=0.02)

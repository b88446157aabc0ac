"""Every loss of training against a case worked out by hand, or against another library."""

import math
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Normal, kl_divergence as torch_kl
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure as reference_ms_ssim,
    structural_similarity_index_measure as reference_ssim,
)

from layton.errors import MissingPartError
from layton.tokenizer.quantizer import Quantizer
from layton.training.losses import (
    chroma_loss,
    code_entropy,
    codebook_losses,
    discriminator_hinge,
    generator_hinge,
    kl_divergence,
    load_lpips,
    ms_ssim,
    pixel_loss,
)
from layton.training.phases.distillation import pseudo_huber
from layton.training.reconstruction import PixelTerms, ReconstructionRecipe


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def images(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_pixel_losses_are_means_over_every_element():
    x = torch.tensor([0.0, 1.0, -1.0]).view(1, 3, 1, 1)
    y = torch.tensor([0.5, 1.0, 1.0]).view(1, 3, 1, 1)
    assert float(pixel_loss(x, y, "l1")) == pytest.approx(2.5 / 3)
    assert float(pixel_loss(x, y, "l2")) == pytest.approx(4.25 / 3)


def test_chroma_is_blind_to_grey_and_sees_colour():
    target = images(2, 3, 4, 5)
    assert float(chroma_loss(target + 0.3, target)) == pytest.approx(0.0, abs=1e-12)
    red_green = torch.tensor([0.3, -0.3, 0.0]).view(1, 3, 1, 1)
    # (R − G)/√2 = 0.6/√2, the other axis 0; the mean over two axes halves the square
    assert float(chroma_loss(target + red_green, target)) == pytest.approx(0.36 / 2 / 2)


def test_grey_and_the_colour_axes_make_up_the_squared_difference():
    x, y = images(2, 3, 8, 8), images(2, 3, 8, 8, seed=1)
    grey = (x - y).sum(1) / math.sqrt(3)
    whole = grey.square().mean() + 2 * chroma_loss(x, y)  # chroma is the mean of its two axes
    assert float(whole) == pytest.approx(3 * float(pixel_loss(x, y, "l2")), rel=1e-5)


def test_codebook_loss_moves_codes_and_commitment_moves_the_encoder():
    quantizer = Quantizer(3, 2, l2_normalize=False)
    with torch.no_grad():
        quantizer.embedding.weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 1.0], [5.0, 5.0]]))
    z = torch.tensor([0.5, 1.2]).view(1, 2, 1, 1).requires_grad_()
    codebook, commitment = codebook_losses(quantizer(z))
    # nearest is (1, 1): (0.25 + 0.04) / 2
    assert codebook.item() == pytest.approx(0.145)
    assert commitment.item() == pytest.approx(0.145)
    codebook.backward(retain_graph=True)
    assert z.grad is None
    assert quantizer.embedding.weight.grad[1].tolist() == pytest.approx([0.5, -0.2])
    quantizer.embedding.weight.grad = None
    commitment.backward()
    assert z.grad.flatten().tolist() == pytest.approx([-0.5, 0.2])
    assert quantizer.embedding.weight.grad is None


def test_code_entropy_is_in_bits():
    assert float(code_entropy(torch.tensor([[0, 0], [3, 3]]), 8)) == pytest.approx(1.0)
    assert float(code_entropy(torch.arange(8), 8)) == pytest.approx(3.0)
    assert float(code_entropy(torch.zeros(5, dtype=torch.int64), 8)) == pytest.approx(0.0, abs=1e-6)


def test_kl_is_summed_over_a_sample_and_averaged_over_the_batch():
    ones, zeros = torch.ones(2, 4, 3, 3), torch.zeros(2, 4, 3, 3)
    assert float(kl_divergence(ones, zeros)) == pytest.approx(18.0)  # ½ · 36
    mean, logvar = noise(3, 4, 2, 2), noise(3, 4, 2, 2, seed=1)
    expected = torch_kl(Normal(mean, (0.5 * logvar).exp()), Normal(0.0, 1.0)).sum() / 3
    assert float(kl_divergence(mean, logvar)) == pytest.approx(float(expected), rel=1e-6)


def test_hinges_by_hand():
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.0])
    assert float(discriminator_hinge(real, fake)) == pytest.approx(0.5 * (0.25 + 0.5))
    assert float(generator_hinge(fake)) == pytest.approx(1.5)


def test_pseudo_huber_is_absolute_far_out_and_square_near_zero():
    far, near = torch.tensor([3.0, -4.0]), torch.tensor([1e-4, -1e-4])
    assert float(pseudo_huber(far, torch.zeros(2), 0.001)) == pytest.approx(3.499, abs=1e-5)
    # d²/2c for d ≪ c
    assert float(pseudo_huber(near, torch.zeros(2), 0.01)) == pytest.approx(5e-7, rel=0.05)
    assert float(pseudo_huber(torch.tensor([3.0]), torch.zeros(1), 4.0)) == pytest.approx(1.0)


def test_ms_ssim_equals_torchmetrics_scale_by_scale():
    x = F.interpolate(images(2, 3, 24, 22), (176, 180), mode="bicubic").clamp(-1, 1)
    y = (x + 0.2 * noise(*x.shape)).clamp(-1, 1)
    weights = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
    # torchmetrics joins channels before scales, and its last scale keeps the padded border
    a, b = ((t.flatten(0, 1)[:, None] + 1) / 2 for t in (x, y))
    expected = torch.ones(6)
    for weight in weights[:-1]:
        contrast = reference_ms_ssim(
            a, b, data_range=1.0, betas=(1.0, 0.0), reduction="none", normalize="relu"
        )
        expected *= contrast**weight
        a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    _, full = reference_ssim(a, b, data_range=1.0, return_full_image=True, reduction="none")
    expected *= full[..., 5:-5, 5:-5].mean((1, 2, 3)) ** weights[-1]
    assert float(ms_ssim(x, y)) == pytest.approx(float(expected.mean()), rel=2e-5)
    assert 0.3 < float(ms_ssim(x, y)) < 0.97


def test_ms_ssim_of_small_images_uses_the_scales_that_fit():
    x = images(1, 3, 30, 30)
    y = (x + 0.1 * noise(1, 3, 30, 30)).clamp(-1, 1)
    a, b = ((t.flatten(0, 1)[:, None] + 1) / 2 for t in (x, y))
    contrast = reference_ms_ssim(a, b, data_range=1.0, betas=(1.0, 0.0), reduction="none")
    small = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    _, full = reference_ssim(*small, data_range=1.0, return_full_image=True, reduction="none")
    first, second = 0.0448 / (0.0448 + 0.2856), 0.2856 / (0.0448 + 0.2856)
    expected = contrast**first * full[..., 5:-5, 5:-5].mean((1, 2, 3)) ** second
    assert float(ms_ssim(x, y)) == pytest.approx(float(expected.mean()), rel=2e-5)
    assert float(ms_ssim(x, x)) == pytest.approx(1.0, abs=1e-6)


def test_ms_ssim_slopes_are_those_of_finite_differences():
    y = images(1, 3, 24, 24).double()
    x = (y + 0.3 * noise(1, 3, 24, 24)).clamp(-1, 1).requires_grad_()
    (slope,) = torch.autograd.grad(ms_ssim(x, y), x)
    # up the slope, so that float32 has the most digits for the difference
    direction, step = slope / slope.norm(), 0.02
    with torch.no_grad():
        difference = ms_ssim(x + step * direction, y) - ms_ssim(x - step * direction, y)
    assert float(slope.norm()) == pytest.approx(float(difference) / (2 * step), rel=5e-3)


def test_ms_ssim_has_finite_slopes_where_contrast_is_negative():
    x = images(1, 3, 24, 24).requires_grad_()
    (slope,) = torch.autograd.grad(ms_ssim(x, -x.detach()), x)
    assert bool(slope.isfinite().all())


def test_lpips_reads_torchvisions_file_of_the_backbone(tmp_path):
    import lpips
    import torchvision

    net, file = "squeeze", tmp_path / "backbone.pth"
    torch.manual_seed(5)
    torch.save(torchvision.models.squeezenet1_1().state_dict(), file)
    torch.manual_seed(5)  # the package draws the same backbone itself
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it calls torchvision by an old argument
        reference = lpips.LPIPS(net=net, pnet_rand=True, verbose=False).eval()
    x, y = images(2, 3, 64, 64), images(2, 3, 64, 64, seed=1)
    loaded = load_lpips(net, file)
    with torch.no_grad():
        expected = reference(x, y)
        assert torch.equal(loaded(x, y), expected)
    assert not any(p.requires_grad for p in loaded.parameters())
    terms = PixelTerms(ReconstructionRecipe(l1=0.5, lpips=2.0, lpips_net=net, lpips_weights=file))
    total, parts = terms(x, y)
    assert float(parts["lpips"]) == pytest.approx(float(expected.mean()), rel=1e-6)
    weighed = 0.5 * float(parts["l1"]) + 2.0 * float(parts["lpips"])
    assert float(total) == pytest.approx(weighed, rel=1e-6)
    assert not list(terms.parameters())  # no part of what trains or is saved


def test_lpips_refuses_another_backbones_file(tmp_path):
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    (tmp_path / "torn.pth").write_bytes(b"no pickle")
    for name in ("other", "torn", "absent"):
        with pytest.raises(MissingPartError, match=rf"{name}\.pth.*squeeze"):
            load_lpips("squeeze", tmp_path / f"{name}.pth")


def test_pixel_terms_weigh_what_the_recipe_names():
    x, y = images(2, 3, 24, 24), images(2, 3, 24, 24, seed=1)
    recipe = ReconstructionRecipe(l1=0.5, l2=2.0, chroma=3.0, ms_ssim=0.25)
    total, parts = PixelTerms(recipe)(x, y)
    assert set(parts) == {"l1", "l2", "chroma", "ms_ssim"}
    expected = (
        0.5 * pixel_loss(x, y, "l1")
        + 2.0 * pixel_loss(x, y, "l2")
        + 3.0 * chroma_loss(x, y)
        + 0.25 * (1 - ms_ssim(x, y))
    )
    assert float(total) == pytest.approx(float(expected), rel=1e-6)

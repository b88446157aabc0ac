"""The pipelines as data, no torch: address, description, settings.

Numbers of parameters are those of the published config.json files. CFG scales are in the form
uncond + w · (cond − uncond), as diffusers has them: w = 1 is off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

__all__ = ["KINDS", "VARIANTS", "PipelineKind", "Variant"]

_VAE_DECODER = 49_490_199  # of SD 1 and SDXL: 4 channels
_VAE_16_DECODER = 49_545_475  # of SD3 and FLUX.1
_CLIP_L, _CLIP_L_PROJECTED, _CLIP_BIG_G = 123_060_480, 123_650_304, 694_659_840
_T5_XXL, _GEMMA_2_2B = 4_762_310_656, 2_614_341_888


@dataclass(frozen=True, kw_only=True, slots=True)
class PipelineKind:
    """A class of diffusers' pipelines: what decides a picture beside its weights.

    Attributes:
        denoiser: the component that is run at every step.
        steps: its usual number.
        cfg_scale: guidance by two passes, w; None where the pipeline has none.
        guidance: guidance that a distilled model takes as an input; None likewise.
        text_tokens: text tokens that fit; longer prompts are cut by the pipeline.
        latent_side: side of the latents if the denoiser's config.json gives no sample_size, as
            diffusers itself has it; None if diffusers needs the sample_size.
        load_settings, call_settings: arguments of ``from_pretrained`` and of the call.
    """

    denoiser: str = "transformer"
    steps: int
    cfg_scale: float | None = None
    guidance: float | None = None
    text_tokens: int
    latent_side: int | None = 128
    load_settings: Mapping[str, object] = field(default_factory=dict)
    call_settings: Mapping[str, object] = field(default_factory=dict)


# the size asked for is drawn, and not the nearest in a table of aspect ratios, resized
_AS_ASKED: Mapping[str, object] = MappingProxyType({"use_resolution_binning": False})

KINDS: Mapping[str, PipelineKind] = MappingProxyType(
    {
        "StableDiffusionPipeline": PipelineKind(
            denoiser="unet",
            steps=50,
            cfg_scale=7.5,
            text_tokens=77,
            latent_side=None,
            # the safety checker blackens pictures, which no published evaluation lets it do
            load_settings={
                "safety_checker": None,
                "feature_extractor": None,
                "requires_safety_checker": False,
            },
        ),
        "StableDiffusionXLPipeline": PipelineKind(
            denoiser="unet",
            steps=50,
            cfg_scale=5.0,
            text_tokens=77,
            load_settings={"add_watermarker": False},
        ),
        "StableDiffusion3Pipeline": PipelineKind(steps=28, cfg_scale=7.0, text_tokens=256),
        "FluxPipeline": PipelineKind(steps=50, guidance=3.5, text_tokens=512),
        "PixArtAlphaPipeline": PipelineKind(
            steps=20, cfg_scale=4.5, text_tokens=120, call_settings=_AS_ASKED
        ),
        "PixArtSigmaPipeline": PipelineKind(
            steps=20, cfg_scale=4.5, text_tokens=300, call_settings=_AS_ASKED
        ),
        "SanaPipeline": PipelineKind(
            steps=20, cfg_scale=4.5, text_tokens=300, latent_side=32, call_settings=_AS_ASKED
        ),
    }
)
"""By the class named in model_index.json."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """A published model.

    Attributes:
        title: as shown in tables.
        hub_id: its repository on the Hugging Face hub.
        pipeline: its class.
        scheduler: class of the scheduler that comes with it.
        size_px: side of the pictures it was made for.
        encoder_params: of the text encoders.
        decoder_params: of the denoiser and the image decoder.
        licence: of the weights.
        source: the paper, or its page.
        training_data: what it was trained on.
        steps, guidance: where they are not those of the class; guidance 0 is none.
        text_tokens: likewise.
        aliases: other names.
        notes: what a reader of its numbers must know.
    """

    title: str
    hub_id: str
    pipeline: str
    scheduler: str
    size_px: int = 1024
    encoder_params: int
    decoder_params: int
    licence: str
    source: str
    training_data: str = "not published"
    steps: int | None = None
    guidance: float | None = None
    text_tokens: int | None = None
    aliases: tuple[str, ...] = ()
    notes: str = ""


_FLOW_EULER, _DPM = "FlowMatchEulerDiscreteScheduler", "DPMSolverMultistepScheduler"

VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        "sd15": Variant(
            title="SD 1.5",
            hub_id="stable-diffusion-v1-5/stable-diffusion-v1-5",
            pipeline="StableDiffusionPipeline",
            scheduler="PNDMScheduler",
            size_px=512,
            encoder_params=_CLIP_L,
            decoder_params=859_520_964 + _VAE_DECODER,
            licence="LicenseRef-CreativeML-OpenRAIL-M",
            source="https://arxiv.org/abs/2112.10752",
            training_data="LAION-2B-en, then LAION-Aesthetics v2 5+",
        ),
        "sdxl": Variant(
            title="SDXL",
            hub_id="stabilityai/stable-diffusion-xl-base-1.0",
            pipeline="StableDiffusionXLPipeline",
            scheduler="EulerDiscreteScheduler",
            encoder_params=_CLIP_L + _CLIP_BIG_G,
            decoder_params=2_567_463_684 + _VAE_DECODER,
            licence="LicenseRef-CreativeML-OpenRAIL-PP-M",
            source="https://arxiv.org/abs/2307.01952",
            notes="the base model alone, no refiner",
        ),
        "sd3-medium": Variant(
            title="SD3 medium",
            hub_id="stabilityai/stable-diffusion-3-medium-diffusers",
            pipeline="StableDiffusion3Pipeline",
            scheduler=_FLOW_EULER,
            encoder_params=_CLIP_L_PROJECTED + _CLIP_BIG_G + _T5_XXL,
            decoder_params=2_028_328_000 + _VAE_16_DECODER,
            licence="LicenseRef-Stability-AI-Community",
            source="https://arxiv.org/abs/2403.03206",
        ),
        "flux-dev": Variant(
            title="FLUX.1 dev",
            hub_id="black-forest-labs/FLUX.1-dev",
            pipeline="FluxPipeline",
            scheduler=_FLOW_EULER,
            encoder_params=_CLIP_L + _T5_XXL,
            decoder_params=11_901_408_320 + _VAE_16_DECODER,
            licence="LicenseRef-FLUX-1-dev-Non-Commercial",
            source="https://huggingface.co/black-forest-labs/FLUX.1-dev",
            notes="guidance-distilled: one pass per step, with guidance as an input",
        ),
        "flux-schnell": Variant(
            title="FLUX.1 schnell",
            hub_id="black-forest-labs/FLUX.1-schnell",
            pipeline="FluxPipeline",
            scheduler=_FLOW_EULER,
            encoder_params=_CLIP_L + _T5_XXL,
            decoder_params=11_891_178_560 + _VAE_16_DECODER,
            licence="Apache-2.0",
            source="https://huggingface.co/black-forest-labs/FLUX.1-schnell",
            steps=4,
            guidance=0.0,
            text_tokens=256,
            notes="step-distilled; takes no guidance",
        ),
        "pixart-alpha": Variant(
            title="PixArt-α",
            hub_id="PixArt-alpha/PixArt-XL-2-1024-MS",
            pipeline="PixArtAlphaPipeline",
            scheduler=_DPM,
            encoder_params=_T5_XXL,
            decoder_params=611_349_152 + _VAE_DECODER,
            licence="LicenseRef-CreativeML-OpenRAIL-PP-M",
            source="https://arxiv.org/abs/2310.00426",
            training_data="SAM, JourneyDB and internal images, captioned by LLaVA",
            aliases=("pixart",),
        ),
        "pixart-sigma": Variant(
            title="PixArt-Σ",
            hub_id="PixArt-alpha/PixArt-Sigma-XL-2-1024-MS",
            pipeline="PixArtSigmaPipeline",
            scheduler=_DPM,
            encoder_params=_T5_XXL,
            decoder_params=610_856_096 + _VAE_DECODER,
            licence="LicenseRef-CreativeML-OpenRAIL-PP-M",
            source="https://arxiv.org/abs/2403.04692",
            training_data="33M internal images",
        ),
        "sana": Variant(
            title="Sana 1.6B",
            hub_id="Efficient-Large-Model/Sana_1600M_1024px_diffusers",
            pipeline="SanaPipeline",
            scheduler=_DPM,
            encoder_params=_GEMMA_2_2B,
            decoder_params=1_604_462_752 + 159_223_171,
            licence="see LICENSE.txt in its repository; Gemma's terms for the text encoder",
            source="https://arxiv.org/abs/2410.10629",
            notes="the text encoder gets the authors' instruction to enhance the prompt",
        ),
    }
)

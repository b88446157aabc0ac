"""Pipelines of diffusers' real classes, small and random, saved as published ones are."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from geneval_models import save_tiny_clip
from tiny_t5 import save_tiny_t5


def _seeded(make):
    torch.manual_seed(0)
    return make().eval()


def clip_text(folder: Path, *, projected: bool, width: int = 32):
    """A CLIP text encoder over the letters of `save_tiny_clip`, and its tokenizer."""
    from transformers import (
        CLIPTextConfig,
        CLIPTextModel,
        CLIPTextModelWithProjection,
        CLIPTokenizer,
    )

    folder.mkdir(parents=True, exist_ok=True)
    save_tiny_clip(folder)
    tokenizer = CLIPTokenizer.from_pretrained(folder, model_max_length=77)
    config = CLIPTextConfig(
        vocab_size=len(json.loads((folder / "vocab.json").read_text())),
        hidden_size=width,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        projection_dim=width,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    kind = CLIPTextModelWithProjection if projected else CLIPTextModel
    return _seeded(lambda: kind(config)), tokenizer


def t5(folder: Path):
    """A T5 encoder, 16 wide, and its tokenizer."""
    from transformers import AutoTokenizer, T5EncoderModel

    folder.mkdir(parents=True, exist_ok=True)
    save_tiny_t5(folder)
    return T5EncoderModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


def vae(channels: int = 4, levels: int = 2, **settings):
    from diffusers import AutoencoderKL

    return _seeded(
        lambda: AutoencoderKL(
            block_out_channels=(8,) * levels,
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            latent_channels=channels,
            norm_num_groups=4,
            layers_per_block=1,
            **settings,
        )
    )


def unet(**settings):
    from diffusers import UNet2DConditionModel

    return _seeded(
        lambda: UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(8, 16),
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            layers_per_block=1,
            norm_num_groups=4,
            attention_head_dim=8,
            **settings,
        )
    )


def sd15(tmp: Path):
    from diffusers import PNDMScheduler, StableDiffusionPipeline

    text_encoder, tokenizer = clip_text(tmp / "clip", projected=False)
    return StableDiffusionPipeline(
        vae=vae(),
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet(cross_attention_dim=32),
        # as the published file has it
        scheduler=PNDMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            skip_prk_steps=True,
            set_alpha_to_one=False,
            steps_offset=1,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def sdxl(tmp: Path):
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline

    first, tokenizer = clip_text(tmp / "clip", projected=False)
    second, tokenizer_2 = clip_text(tmp / "clip_2", projected=True)
    return StableDiffusionXLPipeline(
        vae=vae(),
        text_encoder=first,
        text_encoder_2=second,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer_2,
        unet=unet(
            cross_attention_dim=64,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=32 + 6 * 8,
        ),
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            steps_offset=1,
            timestep_spacing="leading",
        ),
        add_watermarker=False,
    )


def sd3(tmp: Path):
    from diffusers import (
        FlowMatchEulerDiscreteScheduler,
        SD3Transformer2DModel,
        StableDiffusion3Pipeline,
    )

    first, tokenizer = clip_text(tmp / "clip", projected=True, width=8)
    second, tokenizer_2 = clip_text(tmp / "clip_2", projected=True, width=8)
    third, tokenizer_3 = t5(tmp / "t5")
    transformer = _seeded(
        lambda: SD3Transformer2DModel(
            sample_size=8,
            patch_size=2,
            in_channels=4,
            num_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=16,
            caption_projection_dim=16,
            pooled_projection_dim=16,
            out_channels=4,
            pos_embed_max_size=8,
        )
    )
    return StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=vae(use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.06),
        text_encoder=first,
        tokenizer=tokenizer,
        text_encoder_2=second,
        tokenizer_2=tokenizer_2,
        text_encoder_3=third,
        tokenizer_3=tokenizer_3,
    )


def flux(tmp: Path):
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel

    text_encoder, tokenizer = clip_text(tmp / "clip", projected=False, width=8)
    second, tokenizer_2 = t5(tmp / "t5")
    transformer = _seeded(
        lambda: FluxTransformer2DModel(
            patch_size=1,
            in_channels=4,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=8,
            num_attention_heads=1,
            joint_attention_dim=16,
            pooled_projection_dim=8,
            guidance_embeds=True,
            axes_dims_rope=(2, 2, 4),
        )
    )
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift=3.0),
        # one level: 128 × 128 latents, the size this pipeline is made for, are 128 px
        vae=vae(
            1,
            1,
            use_quant_conv=False,
            use_post_quant_conv=False,
            shift_factor=0.1,
            mid_block_add_attention=False,
        ),
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        text_encoder_2=second,
        tokenizer_2=tokenizer_2,
        transformer=transformer,
    )


def _pixart(tmp: Path, pipeline_class, *, sized: bool):
    from diffusers import DPMSolverMultistepScheduler, PixArtTransformer2DModel

    text_encoder, tokenizer = t5(tmp / "t5")
    transformer = _seeded(
        lambda: PixArtTransformer2DModel(
            sample_size=8,
            num_layers=1,
            patch_size=2,
            attention_head_dim=8,
            num_attention_heads=3,
            caption_channels=16,
            in_channels=4,
            cross_attention_dim=24,
            out_channels=8,
            use_additional_conditions=sized,
        )
    )
    return pipeline_class(
        transformer=transformer,
        vae=vae(),
        scheduler=DPMSolverMultistepScheduler(),
        text_encoder=text_encoder,
        tokenizer=tokenizer,
    )


def pixart_alpha(tmp: Path):
    from diffusers import PixArtAlphaPipeline

    return _pixart(tmp, PixArtAlphaPipeline, sized=False)


def pixart_sigma(tmp: Path):
    from diffusers import PixArtSigmaPipeline

    return _pixart(tmp, PixArtSigmaPipeline, sized=False)


def sana(tmp: Path):
    from diffusers import (
        AutoencoderDC,
        DPMSolverMultistepScheduler,
        SanaPipeline,
        SanaTransformer2DModel,
    )
    from transformers import Gemma2Config, Gemma2Model

    _, tokenizer = t5(tmp / "t5")
    encoder = _seeded(
        lambda: Gemma2Model(
            Gemma2Config(
                vocab_size=len(tokenizer),
                hidden_size=16,
                intermediate_size=16,
                num_hidden_layers=1,
                num_attention_heads=2,
                num_key_value_heads=1,
                head_dim=8,
            )
        )
    )
    transformer = _seeded(
        lambda: SanaTransformer2DModel(
            patch_size=1,
            in_channels=4,
            out_channels=4,
            num_layers=1,
            num_attention_heads=2,
            attention_head_dim=4,
            num_cross_attention_heads=2,
            cross_attention_head_dim=4,
            cross_attention_dim=8,
            caption_channels=16,
            sample_size=16,  # the pipeline takes multiples of 32 px alone
        )
    )
    autoencoder = _seeded(
        lambda: AutoencoderDC(
            in_channels=3,
            latent_channels=4,
            attention_head_dim=2,
            encoder_block_types=("ResBlock", "EfficientViTBlock"),
            decoder_block_types=("ResBlock", "EfficientViTBlock"),
            encoder_block_out_channels=(8, 8),
            decoder_block_out_channels=(8, 8),
            encoder_qkv_multiscales=((), (5,)),
            decoder_qkv_multiscales=((), (5,)),
            encoder_layers_per_block=(1, 1),
            decoder_layers_per_block=(1, 1),
            downsample_block_type="conv",
            upsample_block_type="interpolate",
            decoder_norm_types="rms_norm",
            decoder_act_fns="silu",
            scaling_factor=0.41407,
        )
    )
    return SanaPipeline(
        transformer=transformer,
        vae=autoencoder,
        scheduler=DPMSolverMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
        text_encoder=encoder,
        tokenizer=tokenizer,
    )


PIPELINES = {
    "StableDiffusionPipeline": sd15,
    "StableDiffusionXLPipeline": sdxl,
    "StableDiffusion3Pipeline": sd3,
    "FluxPipeline": flux,
    "PixArtAlphaPipeline": pixart_alpha,
    "PixArtSigmaPipeline": pixart_sigma,
    "SanaPipeline": sana,
}
"""Class → a function that builds one, keeping tokenizers' files below a folder."""


def save(class_name: str, folder: Path, tmp: Path) -> Path:
    """The pipeline of that class, saved; the folder."""
    PIPELINES[class_name](tmp).save_pretrained(folder)
    return folder

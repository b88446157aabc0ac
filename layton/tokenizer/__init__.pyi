from .config import (
    NAMED_MODELS as NAMED_MODELS,
    VQ_16 as VQ_16,
    NamedModel as NamedModel,
    NoiseConfig as NoiseConfig,
    SamplerConfig as SamplerConfig,
    TokenizerConfig as TokenizerConfig,
    UNetConfig as UNetConfig,
    VAEConfig as VAEConfig,
    ViTConfig as ViTConfig,
    VQConfig as VQConfig,
    config_from_json as config_from_json,
    named_model as named_model,
)
from .consistency import (
    NoiseSchedule as NoiseSchedule,
    boundary_scalings as boundary_scalings,
    consistency_timesteps as consistency_timesteps,
    ddim_timesteps as ddim_timesteps,
    sample_consistency as sample_consistency,
    sample_ddim as sample_ddim,
)
from .diffusers_parts import (
    read_part as read_part,
    unet_config as unet_config,
    vae_config as vae_config,
)
from .loading import (
    load_parts as load_parts,
    load_tokenizer as load_tokenizer,
    write_folder as write_folder,
)
from .lora import TARGETS as TARGETS
from .model import Tokenizer as Tokenizer
from .quantizer import Quantized as Quantized, Quantizer as Quantizer
from .vit import ViTDecoder as ViTDecoder, ViTEncoder as ViTEncoder
from .vq import VQDecoder as VQDecoder, VQEncoder as VQEncoder, VQModel as VQModel

from .config import (
    VQ_16 as VQ_16,
    NoiseConfig as NoiseConfig,
    SamplerConfig as SamplerConfig,
    TokenizerConfig as TokenizerConfig,
    UNetConfig as UNetConfig,
    VAEConfig as VAEConfig,
    ViTConfig as ViTConfig,
    VQConfig as VQConfig,
    config_from_json as config_from_json,
    config_to_json as config_to_json,
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
from .inputs import check_seed as check_seed
from .loading import check_file as check_file
from .lora import TARGETS as TARGETS
from .model import Tokenizer as Tokenizer
from .named import (
    NAMED_MODELS as NAMED_MODELS,
    PUBLISHED as PUBLISHED,
    NamedModel as NamedModel,
    named_model as named_model,
)
from .quantizer import Quantized as Quantized, Quantizer as Quantizer
from .vq_folder import read_vq as read_vq, read_vq_config as read_vq_config, write_vq as write_vq
from .vq_model import VQModel as VQModel

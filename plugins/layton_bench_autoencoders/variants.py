"""The continuous autoencoders as data, no torch: address, description, sizes.

Sizes are those of the published config.json files. Scaling and shift factors are not needed: encode
and decode use raw latents.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from layton_bench import WeightsFile, hub_file

__all__ = ["VARIANTS", "AutoencoderConfig"]

_TAESD = "https://github.com/madebyollin/taesd"
_TAESD_COMMIT = "5cccb12dc72074a4be35680c3b108548a7c69978"
_FILE = "diffusion_pytorch_model.safetensors"


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoencoderConfig:
    """One autoencoder of downsample factor 8.

    Attributes:
        title, files, source, training_data, licence, notes: for its card and weights entry.
        encoder_params, decoder_params: numbers of parameters.
        latent_channels: channels of a latent.
        is_tiny: of the TAESD family (diffusers' AutoencoderTiny) instead of AutoencoderKL.
        has_quant_convs: 1×1 convolutions on both sides of the latents (AutoencoderKL).
        is_pooled: blocks at the latents' resolution see statistics of the whole image (TAEF2).
        overflows_float16: activations exceed float16's range, so float32 is used instead.
        channels, num_res_blocks: of AutoencoderKL's levels.
    """

    title: str
    files: tuple[WeightsFile, ...]
    source: str
    training_data: str
    licence: str
    encoder_params: int
    decoder_params: int
    latent_channels: int
    is_tiny: bool = False
    has_quant_convs: bool = False
    is_pooled: bool = False
    overflows_float16: bool = False
    channels: tuple[int, ...] = (128, 256, 512, 512)
    num_res_blocks: int = 2
    norm_num_groups: int = 32


_DIGESTS = {
    "taesd": "db169d69145ec4ff064e49d99c95fa05d3eb04ee453de35824a6d0f325513549",
    "taesdxl": "ff4824aca94dd6111e0340fa749347fb74101060d9712cb5ef1ca8f1cf17502f",
    "taef1": "47a6c2bff850da04b267cab70fe3553fef57255eb9a8e76852baa0a87850e54d",
}
"""SHA-256 of the files, as other projects pin them for the same addresses."""


def _tiny(
    repo: str, title: str, teacher: str, channels: int, encoder_params: int, decoder_params: int
) -> AutoencoderConfig:
    return AutoencoderConfig(
        title=title,
        files=(hub_file(f"madebyollin/{repo}", _FILE, sha256=_DIGESTS.get(repo)),),
        source=_TAESD,
        training_data=f"distilled from the {teacher} autoencoder",
        licence="MIT",
        encoder_params=encoder_params,
        decoder_params=decoder_params,
        latent_channels=channels,
        is_tiny=True,
    )


def _taef2_file(part: str, sha256: str, size_bytes: int) -> WeightsFile:
    name = f"taef2_{part}.pth"
    url = f"{_TAESD}/raw/{_TAESD_COMMIT}/{name}"
    return WeightsFile(path=name, url=url, sha256=sha256, size_bytes=size_bytes)


VARIANTS = MappingProxyType(
    {
        "sd-vae": AutoencoderConfig(
            title="SD VAE (ft-MSE)",
            files=(
                hub_file(
                    "stabilityai/sd-vae-ft-mse",
                    _FILE,
                    sha256="a1d993488569e928462932c8c38a0760b874d166399b14414135bd9c42df5815",
                    size_bytes=334_643_276,
                ),
            ),
            source="https://huggingface.co/stabilityai/sd-vae-ft-mse",
            training_data="OpenImages, then LAION-Aesthetics and LAION-Humans",
            licence="MIT",
            encoder_params=34_163_664,
            decoder_params=49_490_199,
            latent_channels=4,
            has_quant_convs=True,
        ),
        "sdxl-vae": AutoencoderConfig(
            title="SDXL VAE",
            files=(hub_file("stabilityai/sdxl-vae", _FILE),),
            source="https://huggingface.co/stabilityai/sdxl-vae",
            training_data="not published",
            licence="MIT",
            encoder_params=34_163_664,
            decoder_params=49_490_199,
            latent_channels=4,
            has_quant_convs=True,
            overflows_float16=True,
        ),
        "sd3-vae": AutoencoderConfig(
            title="SD3 VAE",
            files=(hub_file("stabilityai/stable-diffusion-3-medium-diffusers", f"vae/{_FILE}"),),
            source="https://huggingface.co/stabilityai/stable-diffusion-3-medium-diffusers",
            training_data="not published",
            licence="LicenseRef-Stability-AI-Community",
            encoder_params=34_274_208,
            decoder_params=49_545_475,
            latent_channels=16,
            overflows_float16=True,
        ),
        "flux-vae": AutoencoderConfig(
            title="FLUX.1 VAE",
            files=(
                hub_file(
                    "black-forest-labs/FLUX.1-schnell",
                    f"vae/{_FILE}",
                    sha256="f5b59a26851551b67ae1fe58d32e76486e1e812def4696a4bea97f16604d40a3",
                    size_bytes=167_666_902,
                ),
            ),
            source="https://huggingface.co/black-forest-labs/FLUX.1-schnell",
            training_data="not published",
            licence="Apache-2.0",
            encoder_params=34_274_208,
            decoder_params=49_545_475,
            latent_channels=16,
            overflows_float16=True,
        ),
        "taesd": _tiny("taesd", "TAESD", "SD 1/2", 4, 1_222_532, 1_222_531),
        "taesdxl": _tiny("taesdxl", "TAESDXL", "SDXL", 4, 1_222_532, 1_222_531),
        "taesd3": _tiny("taesd3", "TAESD3", "SD3", 16, 1_229_456, 1_229_443),
        "taef1": _tiny("taef1", "TAEF1", "FLUX.1", 16, 1_229_456, 1_229_443),
        "taef2": AutoencoderConfig(
            title="TAEF2",
            files=(
                _taef2_file(
                    "encoder",
                    "10a4e1021e89d7551eaf161352da8dbd0b1aa83872ae28b150c1df1ce2f147b6",
                    2_704_692,
                ),
                _taef2_file(
                    "decoder",
                    "0a44a31e1ae59eb9dbf9359d24942fd3ef5928162c1800d97a28c61d51be0ab5",
                    2_704_756,
                ),
            ),
            source=_TAESD,
            training_data="distilled from the FLUX.2 autoencoder",
            licence="MIT",
            encoder_params=1_338_528,
            decoder_params=1_338_499,
            latent_channels=32,
            is_tiny=True,
            is_pooled=True,
        ),
    }
)

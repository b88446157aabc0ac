"""The weights that the harness's own metrics and backbones need.

Sizes are for lists, as the publishers round them. A digest of eight digits is the one torch hub
puts in a file's name; where none is published, the first pull records it.
"""

from __future__ import annotations

from layton_bench.weights.entries import WeightsEntry, WeightsFile, hub_file
from layton_bench.weights.pyiqa import ENTRIES as PYIQA_ENTRIES

_MIB = 1 << 20
_FACEXLIB = "https://github.com/xinntao/facexlib/releases/download/v0.1.0"


def _torchvision(
    name: str, file: str, mib: float, used_by: tuple[str, ...], summary: str
) -> WeightsEntry:
    digits = file.rsplit("-", 1)[1].removesuffix(".pth")
    address = f"https://download.pytorch.org/models/{file}"
    return WeightsEntry(
        name=name,
        files=(WeightsFile(path=file, url=address, sha256=digits, size_bytes=int(mib * _MIB)),),
        licence="BSD-3-Clause",
        used_by=used_by,
        summary=summary,
    )


def _hub(
    name: str, repo: str, files: tuple[str, ...], licence: str, used_by: tuple[str, ...],
    summary: str,
) -> WeightsEntry:  # fmt: skip
    return WeightsEntry(
        name=name, files=tuple(hub_file(repo, file, save_as=file) for file in files),
        licence=licence, used_by=used_by, summary=summary,
    )  # fmt: skip


_CLIP_FILES = ("config.json", "model.safetensors", "vocab.json", "merges.txt")

WEIGHTS = (
    WeightsEntry(
        name="inception-fid",
        files=(
            WeightsFile(
                path="weights-inception-2015-12-05-6726825d.pth",
                url="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
                "weights-inception-2015-12-05-6726825d.pth",
                sha256="6726825d",
                size_bytes=int(91.2 * _MIB),
            ),
        ),
        licence="Apache-2.0",
        used_by=("fid", "clean-fid", "fid-pytorch", "sfid", "fid-inf", "kid", "clean-kid",
                 "kid-full", "is", "precision", "recall", "density", "coverage"),
        summary="InceptionV3 of 2015-12-05 from TensorFlow, ported by pytorch-fid",
    ),
    _torchvision(
        "alexnet", "alexnet-owt-7be5be79.pth", 233.1, ("lpips-alex",), "torchvision's AlexNet"
    ),
    _torchvision(
        "vgg16", "vgg16-397923af.pth", 527.8, ("lpips-vgg", "dists"), "torchvision's VGG16"
    ),
    _torchvision(
        "squeezenet1-1", "squeezenet1_1-b8a52dc0.pth", 4.7, ("lpips-squeeze",),
        "torchvision's SqueezeNet 1.1",
    ),
    _torchvision(
        "resnet50", "resnet50-0676ba61.pth", 97.8, ("pyiqa",), "torchvision's ResNet-50"
    ),
    WeightsEntry(
        name="dists",
        files=(
            hub_file("chaofengc/IQA-PyTorch-Weights", "DISTS_weights-f5e65c96.pth",
                     sha256="f5e65c96"),
        ),
        licence="MIT",
        used_by=("dists",),
        summary="The weights of DISTS's texture and structure terms",
    ),
    _hub(
        "dinov2-vit-l-14", "facebook/dinov2-large", ("config.json", "model.safetensors"),
        "Apache-2.0", ("fd-dinov2",), "DINOv2 ViT-L/14",
    ),
    _hub(
        "clip-vit-l-14-336", "openai/clip-vit-large-patch14-336",
        ("config.json", "pytorch_model.bin", "vocab.json", "merges.txt"), "MIT",
        ("cmmd", "tatitok"), "CLIP ViT-L/14 at 336 px",
    ),
    _hub(
        "clip-vit-b-32", "openai/clip-vit-base-patch32",
        ("config.json", "pytorch_model.bin", "vocab.json", "merges.txt"), "MIT",
        ("clip-score-b32",), "CLIP ViT-B/32",
    ),
    _hub(
        "pickscore", "yuvalkirstain/PickScore_v1", _CLIP_FILES, "MIT", ("pickscore",),
        "CLIP ViT-H/14 tuned on Pick-a-Pic",
    ),
    WeightsEntry(
        name="hpsv2",
        files=(
            hub_file("xswu/HPSv2", "HPS_v2.1_compressed.pt"),
            hub_file("laion/CLIP-ViT-H-14-laion2B-s32B-b79K", "config.json"),
            hub_file("laion/CLIP-ViT-H-14-laion2B-s32B-b79K", "vocab.json"),
            hub_file("laion/CLIP-ViT-H-14-laion2B-s32B-b79K", "merges.txt"),
        ),
        licence="Apache-2.0",
        used_by=("hpsv2",),
        summary="Human Preference Score v2.1: CLIP ViT-H/14 in open_clip's layout",
    ),
    WeightsEntry(
        name="aesthetic",
        files=(
            WeightsFile(
                path="sac+logos+ava1-l14-linearMSE.pth",
                url="https://github.com/christophschuhmann/improved-aesthetic-predictor/raw/main/"
                "sac+logos+ava1-l14-linearMSE.pth",
            ),
        ),
        licence="Apache-2.0",
        used_by=("aesthetic",),
        summary="LAION's aesthetic predictor on CLIP ViT-L/14",
    ),
    WeightsEntry(
        name="image-reward",
        files=(
            hub_file("THUDM/ImageReward", "ImageReward.pt"),
            hub_file("THUDM/ImageReward", "med_config.json"),
            hub_file("google-bert/bert-base-uncased", "vocab.txt"),
        ),
        licence="Apache-2.0",
        used_by=("image-reward",),
        summary="ImageReward v1.0: BLIP ViT-L with a text decoder",
    ),
    *(
        WeightsEntry(
            name=name,
            files=(WeightsFile(path=file, url=f"{_FACEXLIB}/{file}"),),
            licence="see facexlib",
            used_by=("face-similarity",),
            summary=summary,
        )
        for name, file, summary in (
            ("face-retinaface", "detection_Resnet50_Final.pth", "RetinaFace on ResNet-50"),
            ("face-arcface", "recognition_arcface_ir_se50.pth", "ArcFace on IR-SE-50"),
        )
    ),
    _hub(
        "mask2former-swin-s-coco", "facebook/mask2former-swin-small-coco-instance",
        ("config.json", "model.safetensors"), "other", ("geneval",),
        "Mask2Former Swin-S, COCO instances: GenEval's detector",
    ),
    _hub(
        "clip-vit-l-14", "openai/clip-vit-large-patch14", _CLIP_FILES, "MIT", ("geneval",),
        "CLIP ViT-L/14: GenEval's colours",
    ),
    *PYIQA_ENTRIES,
)  # fmt: skip

"""The weights that the built-in metrics and backbones need.

Digests and sizes are those of git-lfs pointers, or those that several public projects pin for the
same address. If no digest is known, the first pull records it, after a check of the format.
"""

from __future__ import annotations

from layton_bench.weights.entries import WeightsEntry, WeightsFile, hub_file
from layton_bench.weights.pyiqa import ENTRIES as PYIQA_ENTRIES

_FACEXLIB = "https://github.com/xinntao/facexlib/releases/download/v0.1.0"


_PUBLISHED: dict[str, dict[str, tuple[str, int | None]]] = {
    "openai/clip-vit-large-patch14-336": {
        "config.json": ("51b1c14aabcdf639c4a0370eeda1010b773bbe1df78319c7d0f5882c22ac0ac0", 4757),
        "pytorch_model.bin":
            ("c6032c2e0caae3dc2d4fba35535fa6307dbb49df59c7e182b1bc4b3329b81801", 1711974081),
    },
    "openai/clip-vit-base-patch32": {
        "config.json": ("b575ef3c36f2a057fa19e221650105052d61cc9c1a972ec15019c6261ec98770", 4186),
        "pytorch_model.bin":
            ("a63082132ba4f97a80bea76823f544493bffa8082296d62d71581a4feff1576f", 605247071),
        "vocab.json": ("5047b556ce86ccaf6aa22b3ffccfc52d391ea4accdab9c2f2407da5b742d4363", None),
        "merges.txt": ("f526393189112391ce6f9795d4695f704121ce452c3aad1f5335cc41337eba85", 524657),
    },
    "openai/clip-vit-large-patch14": {
        "config.json": ("8a09b467700c58138c29d53c605b34ebc69beaadd13274a8a2af8ad2c2f4032a", None),
        "model.safetensors":
            ("a2bf730a0c7debf160f7a6b50b3aaf3703e7e88ac73de7a314903141db026dcb", 1710540580),
        "vocab.json": ("3f0c4f7d2086b61b38487075278ea9ed04edb53a03cbb045b86c27190fa8fb69", None),
        "merges.txt": ("9fd691f7c8039210e0fced15865466c65820d09b63988b0174bfe25de299051a", None),
    },
}  # fmt: skip
"""Repository of the hub → file → SHA-256 and size in bytes."""


def _torchvision(
    name: str, file: str, sha256: str, size_bytes: int, used_by: tuple[str, ...], summary: str
) -> WeightsEntry:
    address = f"https://download.pytorch.org/models/{file}"
    return WeightsEntry(
        name=name,
        files=(WeightsFile(path=file, url=address, sha256=sha256, size_bytes=size_bytes),),
        licence="BSD-3-Clause",
        used_by=used_by,
        summary=summary,
    )


def _hub(
    name: str, repo: str, files: tuple[str, ...], licence: str, used_by: tuple[str, ...],
    summary: str,
) -> WeightsEntry:  # fmt: skip
    published = _PUBLISHED.get(repo, {})
    known = [(file, *published.get(file, (None, None))) for file in files]
    return WeightsEntry(
        name=name,
        files=tuple(
            hub_file(repo, file, save_as=file, sha256=sha256, size_bytes=size)
            for file, sha256, size in known
        ),
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
                sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
                size_bytes=95628359,
            ),
        ),
        licence="Apache-2.0",
        used_by=("fid", "clean-fid", "fid-pytorch", "sfid", "fid-inf", "kid", "clean-kid",
                 "kid-full", "is", "precision", "recall", "density", "coverage"),
        summary="InceptionV3 of 2015-12-05 from TensorFlow, ported by pytorch-fid",
    ),
    _torchvision(
        "alexnet", "alexnet-owt-7be5be79.pth",
        "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02", 244408911,
        ("lpips-alex",), "torchvision's AlexNet",
    ),
    _torchvision(
        "vgg16", "vgg16-397923af.pth",
        "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0", 553433881,
        ("lpips-vgg", "dists"), "torchvision's VGG16",
    ),
    _torchvision(
        "squeezenet1-1", "squeezenet1_1-b8a52dc0.pth",
        "b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b", 4958839,
        ("lpips-squeeze",),
        "torchvision's SqueezeNet 1.1",
    ),
    _torchvision(
        "resnet50", "resnet50-0676ba61.pth",
        "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a", 102530333,
        ("pyiqa",), "torchvision's ResNet-50",
    ),
    WeightsEntry(
        name="dists",
        files=(
            hub_file("chaofengc/IQA-PyTorch-Weights", "DISTS_weights-f5e65c96.pth",
                     sha256="f5e65c96230b7f6ca995691647d482237e4cab8a50c5c4a5784f219ef0748218",
                     size_bytes=12288),
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
            hub_file("xswu/HPSv2", "HPS_v2.1_compressed.pt",
                     sha256="c57a38fb4a2f7e7c15bf00da2ea377cdf165448b4dd1052a484c215a998c9837",
                     size_bytes=1972490005),
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
                sha256="21dd590f3ccdc646f0d53120778b296013b096a035a2718c9cb0d511bff0f1e0",
                size_bytes=3714759,
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
            hub_file("google-bert/bert-base-uncased", "vocab.txt",
                     sha256="07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
                     size_bytes=231508),
        ),
        licence="Apache-2.0",
        used_by=("image-reward",),
        summary="ImageReward v1.0: BLIP ViT-L with a text decoder",
    ),
    *(
        WeightsEntry(
            name=name,
            files=(
                WeightsFile(path=file, url=f"{_FACEXLIB}/{file}", sha256=sha256, size_bytes=size),
            ),
            licence="see facexlib",
            used_by=("face-similarity",),
            summary=summary,
        )
        for name, file, sha256, size, summary in (
            ("face-retinaface", "detection_Resnet50_Final.pth",
             "6d1de9c2944f2ccddca5f5e010ea5ae64a39845a86311af6fdf30841b0a5a16d", 109497761,
             "RetinaFace on ResNet-50"),
            ("face-arcface", "recognition_arcface_ir_se50.pth",
             "a035c768259b98ab1ce0e646312f48b9e1e218197a0f80ac6765e88f8b6ddf28", None,
             "ArcFace on IR-SE-50"),
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

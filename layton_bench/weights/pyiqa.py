"""The files that pyiqa's metrics ask for, and their names in the weights registry.

Whole digests are those of the same files in the packages lpips and torchmetrics, and of the hub's
git-lfs pointers as other projects pin them.
"""

from __future__ import annotations

import re

from layton_bench.weights.entries import WeightsEntry, WeightsFile, hub_file

_REPOSITORY = "chaofengc/IQA-PyTorch-Weights"
# Published names. Eight hex digits at the end of a name are the first digits of its SHA-256.
_FILES = (
    "AHIQ_vit_p8_epoch33-da3ea303.pth", "ARNIQA.pth", "CKDN_model_best-38b27dc6.pth",
    "CLIP-IQA+_learned_prompts-603f3273.pth", "CLIPIQA+_RN50_512-89f5d940.pth",
    "CLIPIQA+_ViTL14_512-e66488f2.pth", "CNNIQA_koniq10k-e6f14c91.pth", "DBCNN_CSIQ-8677d071.pth",
    "DBCNN_KonIQ10k-2de81c0a.pth", "DBCNN_LIVE-97262bf4.pth", "DBCNN_LIVEC-83f6dad3.pth",
    "DBCNN_LIVEM-698474e3.pth", "DBCNN_TID2008-4b47c5d1.pth", "DBCNN_TID2013-485d021d.pth",
    "DBCNN_scnn-7ea73d75.pth", "DISTS_weights-f5e65c96.pth", "FGResQ.pth",
    "FGResQ_Degradation.pth", "HyperIQA-resnet50-koniq10k-c96c41b1.pth",
    "ILNIQE_templateModel.mat", "LPIPS_v0.0_alex-18720f55.pth", "LPIPS_v0.0_squeeze-c27abd3a.pth",
    "LPIPS_v0.0_vgg-b9e42362.pth", "LPIPS_v0.1_alex-df73285e.pth",
    "LPIPS_v0.1_squeeze-4a5350f2.pth", "LPIPS_v0.1_vgg-a78928a0.pth", "MANIQA_PIPAL-ae6d356b.pth",
    "Metaiqa_livec.pth", "Metaiqa_prior.pth", "NIMA-spaq-46a7fcb7.pth",
    "NIMA_InceptionV2_ava-b0c77c00.pth", "NIMA_VGG16_ava-dc4e8265.pth", "NIMA_koniq-250367ae.pth",
    "NRQM_model.mat", "P2P_RoIPoolModel-fit.10.bs.120-ca69882e.pth", "PieAPPv0.1-0937b014.pth",
    "QualiCLIP+_clive.pth", "QualiCLIP+_flive.pth", "QualiCLIP+_koniq.pth", "QualiCLIP+_spaq.pth",
    "QualiCLIP.pth", "UNIQUE.pt", "URanker_ckpt-450eb36d.pth", "WaDIQaM-NR-koniq-aaffea29.pth",
    "WaDIQaM-kadid-f7541ea5.pth", "afine.pth", "alex_shift_tolerant.pth", "brisque_matlab.mat",
    "brisque_svm_weights.pth", "cfanet_fr_kadid_res50-2c4cc61d.pth",
    "cfanet_fr_pipal_res50-69bbe5ba.pth", "cfanet_iaa_ava_res50-3cd62bb3.pth",
    "cfanet_iaa_ava_swin-393b41b4.pth", "cfanet_nr_flive_res50-ded1c74e.pth",
    "cfanet_nr_koniq_res50-9a73138b.pth", "cfanet_nr_spaq_res50-a7f799ac.pth", "ckpt_kadid10k.pt",
    "ckpt_koniq10k.pt", "liqe_koniq.pt", "liqe_mix.pt", "msswd_weights.pth",
    "musiq_ava_ckpt-e8d3f067.pth", "musiq_imagenet_pretrain-51d9b0a5.pth",
    "musiq_koniq_ckpt-e95806b9.pth", "musiq_paq2piq_ckpt-364c0c84.pth",
    "musiq_spaq_ckpt-358bb6af.pth", "niqe_matlab_params.mat", "niqe_modelparameters.mat",
    "regressor_clive.pth", "regressor_csiq.pth", "regressor_flive.pth", "regressor_kadid10k.pth",
    "regressor_koniq10k.pth", "regressor_live.pth", "regressor_spaq.pth", "regressor_tid2013.pth",
    "sac+logos+ava1-l14-linearMSE.pth", "topiq_nr_cgfiqa_res50-0a8b8e4f.pth",
    "topiq_nr_gfiqa_res50-d76bf1ae.pth", "topiq_nr_gfiqa_swin-7bb80a60.pth",
    "tres_flive-09b0de5b.pth", "tres_koniq-f0502926.pth", "vgg_shift_tolerant.pth",
)  # fmt: skip
_DIGESTS = {
    "LPIPS_v0.0_alex-18720f55.pth":
        ("18720f55913d0af89042f13faa7e536a6ce1444a0914e6db9461355ece1e8cd5", 5455),
    "LPIPS_v0.0_squeeze-c27abd3a.pth":
        ("c27abd3a0145541baa50990817df58d3759c3f8154949f42af3b59b4e042d0bf", 10057),
    "LPIPS_v0.0_vgg-b9e42362.pth":
        ("b9e4236260c3dd988fc79d2a48d645d885afcbb21f9fd595e6744cf7419b582c", 6735),
    "LPIPS_v0.1_alex-df73285e.pth":
        ("df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0", 6009),
    "LPIPS_v0.1_squeeze-4a5350f2.pth":
        ("4a5350f23600cb79923ce65bb07cbf57dca461329894153e05a1346bd531cf76", 10811),
    "LPIPS_v0.1_vgg-a78928a0.pth":
        ("a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868", 7289),
    "musiq_ava_ckpt-e8d3f067.pth":
        ("e8d3f0671965dfe4301a1f7a4aedc8f49be8fed33b82dd5d116a9eb3ce2bd16b", None),
    "musiq_koniq_ckpt-e95806b9.pth":
        ("e95806b9eae5f3814c410f574ba8e552362bd5bc63d758ed5b97860f5d6185aa", 108610983),
    "niqe_modelparameters.mat": ("fa2aa4d12dd9595c", None),
    "regressor_kadid10k.pth": ("4315bf471d52eb7d", None),
}  # fmt: skip
"""File → SHA-256, or its first digits, and size in bytes."""

_DIGEST = re.compile(r"-(?P<digits>[0-9a-f]{8})$")
# Files of other publishers that pyiqa's networks build on → registry name.
_SHARED = {
    "alexnet-owt-7be5be79.pth": "alexnet",
    "vgg16-397923af.pth": "vgg16",
    "squeezenet1_1-b8a52dc0.pth": "squeezenet1-1",
    "resnet50-0676ba61.pth": "resnet50",
    "DISTS_weights-f5e65c96.pth": "dists",
    "RN50.pt": "openai-clip-rn50",
    "ViT-B-32.pt": "openai-clip-vit-b-32",
    "ViT-L-14.pt": "openai-clip-vit-l-14",
}


def entry_name(file: str) -> str:
    """Return the registry name of a file: ``musiq_koniq_ckpt-e95806b9.pth`` → ``pyiqa-…``."""
    if file in _SHARED:
        return _SHARED[file]
    stem = _DIGEST.sub("", file.rsplit(".", 1)[0])
    return f"pyiqa-{stem.lower()}"


def _entry(file: str) -> WeightsEntry:
    match = _DIGEST.search(file.rsplit(".", 1)[0])
    sha256, size_bytes = _DIGESTS.get(file, (match["digits"] if match else None, None))
    return WeightsEntry(
        name=entry_name(file),
        files=(hub_file(_REPOSITORY, file, sha256=sha256, size_bytes=size_bytes),),
        licence="see the metric's authors",
        used_by=("pyiqa",),
        summary=f"{file} of pyiqa",
    )


def _openai(name: str, file: str, sha256: str) -> WeightsEntry:
    url = f"https://openaipublic.azureedge.net/clip/models/{sha256}/{file}"
    return WeightsEntry(
        name=name,
        files=(WeightsFile(path=file, url=url, sha256=sha256),),
        licence="MIT",
        used_by=("pyiqa",),
        summary=f"OpenAI's CLIP {file}, a TorchScript archive",
    )


ENTRIES = (
    *(_entry(file) for file in _FILES if file not in _SHARED),
    _openai(
        "openai-clip-rn50",
        "RN50.pt",
        "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762",
    ),
    _openai(
        "openai-clip-vit-b-32",
        "ViT-B-32.pt",
        "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
    ),
    _openai(
        "openai-clip-vit-l-14",
        "ViT-L-14.pt",
        "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
    ),
)

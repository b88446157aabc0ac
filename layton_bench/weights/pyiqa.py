"""Names in the weights registry of the files that pyiqa's metrics ask for."""

from __future__ import annotations

import re

from layton_bench.weights.entries import WeightsEntry, WeightsFile, hub_file

_REPOSITORY = "chaofengc/IQA-PyTorch-Weights"
# Published names; eight hex digits at the end of one are the first of its SHA-256.
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
_DIGEST = re.compile(r"-(?P<digits>[0-9a-f]{8})$")
# Files of other publishers that pyiqa's networks start from, by registry name.
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
    """Registry name of a file pyiqa asks for: ``musiq_koniq_ckpt-e95806b9.pth`` → ``pyiqa-…``."""
    if file in _SHARED:
        return _SHARED[file]
    stem = _DIGEST.sub("", file.rsplit(".", 1)[0])
    return f"pyiqa-{stem.lower()}"


def _entry(file: str) -> WeightsEntry:
    match = _DIGEST.search(file.rsplit(".", 1)[0])
    return WeightsEntry(
        name=entry_name(file),
        files=(hub_file(_REPOSITORY, file, sha256=match["digits"] if match else None),),
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

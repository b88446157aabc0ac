"""Writes docs/parity.md: how far each metric is from its reference library, at most.

    python benchmarks/parity_table.py --golden DIR --images DIR [--out docs/parity.md]

``--golden`` is a folder of values computed with the reference libraries (features, pairs of images,
networks with seeded weights); ``--images`` any folder of photographs: each is cropped to 256 px,
its JPEG at quality 20 is the candidate, and the libraries run beside ours on the same files.
Networks have seeded random weights on both sides: what is compared is arithmetic.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import bench_metrics as bench
import numpy as np
import torch
from PIL import Image
from safetensors.numpy import load_file

from layton_bench.metrics.backbones import inception
from layton_bench.metrics.base import MetricContext
from layton_bench.metrics.pairs.perceptual import Dists, Lpips, lpips_heads
from layton_bench.metrics.sets import discrepancy, manifold
from layton_bench.metrics.sets.frechet import frechet_distance, frechet_infinity
from layton_bench.metrics.sets.gram import Gram
from layton_bench.metrics.sets.inception_score import inception_scores
from layton_bench.metrics.sets.moments import Moments
from layton_bench.metrics.sets.subsets import draw_as_clean_fid, kid_of_subsets
from layton_bench.types import ScoredBatch

CASES = ("general", "equal_n", "inception_like", "rank_deficient", "near_singular",
         "disjoint_low_rank", "duplicates", "tiny", "large_offset")  # fmt: skip
FEW = 16  # photographs for what is slow in the libraries: float64 SSIM, VGG
KINDS = ("jpeg10", "blur2", "noise25", "bright40", "cast")


@dataclass(frozen=True)
class Row:
    """One line of the table; deviation is relative unless it says absolute."""

    metric: str
    library: str
    data: str
    deviation: float
    kind: str = "relative"
    remark: str = ""


def worst(pairs: list[tuple[float, float]]) -> float:
    """Largest relative deviation of ours from theirs."""
    return max(abs(a - b) / max(abs(b), 1e-12) for a, b in pairs)


def widest(pairs: list[tuple[float, float]]) -> float:
    """Largest absolute deviation."""
    return max(abs(a - b) for a, b in pairs)


# golden features


def feature_rows(folder: Path) -> Iterator[Row]:
    rows = load_file(folder / "features.safetensors")
    expected = json.loads((folder / "features_expected.json").read_text())
    cases = {name: (rows[f"{name}.fake"], rows[f"{name}.real"], expected["cases"][name])
             for name in CASES}  # fmt: skip
    data = f"{len(CASES)} pairs of feature sets"
    found = {n: frechet_distance(Moments.of_rows(a), Moments.of_rows(b)) for n, (a, b, _) in
             cases.items()}  # fmt: skip
    for key, library, remark in (
        ("nuclear_norm_f64", "exact (nuclear norm)", ""),
        ("torch_fidelity_f64_features", "torch-fidelity", "near singular: the library is off"),
        ("cleanfid_f64_features", "clean-fid", "near singular: the library is off"),
    ):
        pairs = [(found[name], case[2]["fid"][key]) for name, case in cases.items()]
        yield Row("Fréchet distance", library, data, worst(pairs), remark=remark)
    golden = expected["fid_infinity"]
    intercept, _ = frechet_infinity(cases["general"][0], Moments.of_rows(cases["general"][1]))
    yield Row(
        "FID∞", "formula", "1 pair of feature sets", worst([(intercept, golden["intercept"])])
    )
    yield from kernel_rows(cases)
    yield from manifold_rows(cases)
    pairs = []
    for name, values in expected["inception_score"].items():
        for key, value in values.items():
            splits, shuffle = int(key.split("splits")[1].split("_")[0]), "shuffle1" in key
            scores, _ = inception_scores(rows[name], splits=splits, shuffle=shuffle)
            pairs += [(float(scores.mean()), value["mean"])]
    yield Row("Inception Score", "torch-fidelity", "3 sets of logits", worst(pairs))


def kernel_rows(cases: Mapping[str, Any]) -> Iterator[Row]:
    subsets: list[tuple[float, float]] = []
    full: list[tuple[float, float]] = []
    clean: list[tuple[float, float]] = []
    cmmd: list[tuple[float, float]] = []
    for name, (a, b, case) in cases.items():
        if name == "large_offset":  # kernels near 1e18: the golden itself is good to 1e-4
            continue
        gram, kid = Gram(a, b), case["kid"]
        full.append((discrepancy.mmd_unbiased(discrepancy.kernel_sums(gram, discrepancy.cubic)),
                     kid["full_unbiased_f64"]))  # fmt: skip
        for key, value in kid.items():
            if key.startswith("torch_fidelity_poly3") and key.endswith("f64"):
                count, size = (int(key.split(w)[1].split("_")[0]) for w in ("subsets", "size"))
                drawn = _draw(len(a), len(b), size, count)
                subsets.append((float(kid_of_subsets(a, b, drawn, gram).mean()),
                                value["mean"]))  # fmt: skip
        drawn = draw_as_clean_fid(len(a), len(b), min(len(a), len(b), 1000))
        clean.append((float(kid_of_subsets(a, b, drawn, gram).mean()),
                      kid["cleanfid_npseed0_subsets100_max1000_f64"]))  # fmt: skip
        raw = discrepancy.cmmd(discrepancy.kernel_sums(gram, discrepancy.gaussian_gap))
        cmmd.append((raw, case["cmmd"]["raw_f64"]))
    data = f"{len(full)} pairs of feature sets"
    yield Row("KID", "torch-fidelity", data, worst(subsets))
    yield Row("clean-KID", "clean-fid", data, worst(clean))
    yield Row("KID (all pairs)", "formula", data, worst(full))
    yield Row("CMMD", "formula", data, worst(cmmd))


def _draw(n: int, m: int, size: int, count: int) -> list[tuple[Any, Any]]:
    rng = np.random.RandomState(2020)
    return [(rng.choice(n, size, False), rng.choice(m, size, False)) for _ in range(count)]


def manifold_rows(cases: Mapping[str, Any]) -> Iterator[Row]:
    found: dict[str, list[tuple[float, float]]] = {}
    for a, b, case in cases.values():
        gram = Gram(a, b)
        for k in (1, 3, 5):
            if f"prdc_k{k}_f64" not in case.get("prc", {}):
                continue
            theirs = case["prc"][f"torch_fidelity_k{k}_f64"], case["prc"][f"prdc_k{k}_f64"]
            own, references = (manifold.nearest(gram, side, k) for side in bench.SIDES)
            closed = manifold.neighbourhoods(
                gram, (own.squares[:, k - 1], references.squares[:, k - 1])
            )
            in_ball = manifold.ball_counts(gram, references, k).counts[0].sum(axis=0)
            for name, ours, wanted in (
                ("precision", closed.is_precise.mean(), theirs[0]["precision"]),
                ("recall", closed.is_recalled.mean(), theirs[0]["recall"]),
                ("density", in_ball.sum() / k / len(a), theirs[1]["density"]),
                ("coverage", (in_ball > 0).mean(), theirs[1]["coverage"]),
            ):
                found.setdefault(name, []).append((float(ours), wanted))
    remarks = {
        "density": "large offset: the library miscounts balls; ours match exact distances",
        "precision": "the library averages in float32",
        "recall": "the library averages in float32",
    }
    for name, pairs in found.items():
        library = "torch-fidelity" if name in ("precision", "recall") else "prdc"
        yield Row(name, library, f"{len(CASES)} pairs of feature sets", widest(pairs), "absolute",
                  remarks.get(name, ""))  # fmt: skip


# golden images


def image(path: Path) -> torch.Tensor:
    return torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)


def distorted(folder: Path, name: str, kind: str, number: int) -> torch.Tensor:
    """The golden distortions: two are files, the others are made as the data says."""
    for ending in ("jpg", "png"):
        path = folder / "images" / "distorted" / f"{name}_{kind}.{ending}"
        if path.exists():
            return image(path)
    a = image(folder / "images" / f"{name}.png").permute(1, 2, 0).numpy().astype(float)
    made = {
        "noise25": lambda: a + np.random.RandomState(1000 + number).normal(0, 25, a.shape),
        "bright40": lambda: a + 40,
        "cast": lambda: a + np.array([30, 0, -30]),
    }[kind]()
    rounded = np.clip(np.rint(made), 0, 255).astype(np.uint8)
    return torch.from_numpy(rounded).permute(2, 0, 1)


def image_rows(folder: Path) -> Iterator[Row]:
    expected = json.loads((folder / "pairs_expected.json").read_text())["pairs"]
    names = sorted(expected)
    pairs = {(n, k): (distorted(folder, n, k, i), image(folder / "images" / f"{n}.png"))
             for i, n in enumerate(names) for k in KINDS}  # fmt: skip
    for metric, key, library in (
        ("psnr", "psnr_torchmetrics_f64", "torchmetrics"),
        ("ssim", "ssim_torchmetrics_f64", "torchmetrics"),
        ("ssim-skimage", "ssim_skimage_gauss_u8", "scikit-image"),
        ("ms-ssim", "ms_ssim_torchmetrics_f64", "torchmetrics"),
        ("delta-e", "deltaE2000_mean", "scikit-image"),
    ):
        found = per_image(metric, list(pairs.values()))
        wanted = [expected[n][k][key] for n, k in pairs]
        gap = widest(list(zip(found, wanted, strict=True)))
        yield Row(metric, library, f"{len(pairs)} pairs of images", gap, "absolute")
    yield from lpips_rows(folder, pairs)
    yield from inception_rows(folder)


def per_image(metric: str, pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> list[float]:
    accumulator = bench.SPECS[metric].make(MetricContext(features=None))  # type: ignore[arg-type]
    for start in range(0, len(pairs), 16):
        part = pairs[start : start + 16]
        stacks = [torch.stack(side) for side in zip(*part, strict=True)]
        keys = tuple(f"{start + i:05d}" for i in range(len(part)))
        accumulator.update(ScoredBatch(keys=keys, candidates=stacks[0], references=stacks[1]))
    column = accumulator.per_sample()[metric]
    return [column[key] for key in sorted(column)]


def lpips_rows(folder: Path, pairs: Mapping[tuple[str, str], Any]) -> Iterator[Row]:
    expected = json.loads((folder / "lpips_expected.json").read_text())["nets"]
    for network, golden in expected.items():
        shapes = {f"{network}.{k}": torch.Size(s) for k, s in golden["trunk_keys"].items()}
        trunk = {k.removeprefix(f"{network}."): v for k, v in golden_weights(shapes).items()}
        distance = Lpips(network, trunk, lpips_heads(network), device="cpu")
        chosen = [key for key in pairs if network != "vgg" or key[1] == "blur2"]
        found = [(float(distance(*(x[None] for x in pairs[key]))[0]),
                  golden["pairs"][key[0]][key[1]]["lpips"]) for key in chosen]  # fmt: skip
        yield Row(f"LPIPS {network}", "lpips", f"{len(found)} pairs of images", worst(found))


def inception_rows(folder: Path) -> Iterator[Row]:
    golden = load_file(folder / "inception_features.safetensors")
    names = json.loads((folder / "inception_expected.json").read_text())["images"]
    images = torch.stack([image(folder / "images" / f"{name}.png") for name in names])
    keys = json.loads((folder / "inception_v3_fid_keys.json").read_text())["keys"]
    state = golden_weights({name: torch.Size(v["shape"]) for name, v in keys.items()})
    for label, library, resize, entries in (
        ("Inception, tf1 resize", "torch-fidelity", inception.resize_tf1,
         {"pool3": "tf1.2048", "logits": "tf1.logits_unbiased", "64": "tf1.64", "192": "tf1.192",
          "768": "tf1.768"}),
        ("Inception, clean resize", "clean-fid", inception.resize_clean, {"pool3": "clean.2048"}),
        ("Inception, pytorch-fid resize", "pytorch-fid", inception.resize_pytorch_fid,
         {"pool3": "pytorch_fid_legacy.2048"}),
    ):  # fmt: skip
        found = inception.Inception(state, resize, device="cpu")(images)
        gap = max(float(np.abs(found[tap].numpy() - golden[k]).max()) for tap, k in entries.items())
        yield Row(f"{label}: features", library, f"{len(names)} images", gap, "absolute",
                  "float32 networks")  # fmt: skip


def golden_weights(shapes: Mapping[str, torch.Size]) -> dict[str, torch.Tensor]:
    """Weights by the recipe of the golden data."""
    import zlib

    state = {}
    for name, shape in shapes.items():
        rs = np.random.RandomState(zlib.crc32(f"20240:{name}".encode()))
        if name.endswith("running_var"):
            values = 0.5 + rs.random_sample(shape)
        elif name.endswith("num_batches_tracked"):
            values = np.zeros(shape)
        else:
            values = rs.standard_normal(shape)
            if name.endswith(("running_mean", "bn.bias")):
                values = 0.1 * values
            elif name.endswith("bn.weight"):
                values = 1 + 0.1 * values
            elif name == "fc.weight" or name.endswith("bias"):
                values = 0.05 * values
            else:
                values = values * np.sqrt(2 / np.prod(shape[1:]))
        state[name] = torch.from_numpy(np.asarray(values, np.float32))
    return state


# photographs, the libraries beside ours


def photo_rows(source: Path) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        names = [p for p in source.rglob("*") if p.suffix.lower() in {".jpg", ".png"}]
        (home / "pairs").mkdir()
        bench.make_pairs(home / "pairs", source, len(names), quality=20)
        bench.make_weights(home)
        data = f"{len(names)} photographs"
        values = bench.ours(home / "pairs", home, (*bench.FULL, "clean-fid"), 16)
        theirs = bench.torch_fidelity_values(home / "pairs", home, True, 16)
        for name, remark in (
            ("fid", "fewer samples than features: the library's value is too low"),
            ("kid", "the library's features and kernel are float32"),
            ("is", ""), ("precision", ""), ("recall", ""),
        ):  # fmt: skip
            gap = worst([(values[name], theirs[name])])
            yield Row(name, "torch-fidelity", data, gap, remark=remark)
        pairs = [
            (c, r) for _, cs, rs in bench.pairs_of(home / "pairs", 16)
            for c, r in zip(cs, rs, strict=True)
        ]  # fmt: skip
        yield from pixel_rows(pairs[:FEW], f"the first {FEW} of {data}")
        yield from network_rows(pairs, home, data)
        yield from clean_rows(home, values["clean-fid"], data)


def clean_rows(home: Path, ours: float, data: str) -> Iterator[Row]:
    """clean-fid's own resize, network and distance on the same files."""
    from cleanfid import fid, inception_pytorch
    from cleanfid.resize import build_resizer

    state = torch.load(home / "inception-fid", weights_only=True)
    with mock.patch.object(inception_pytorch, "load_state_dict_from_url", lambda *_, **__: state):
        network = inception_pytorch.InceptionV3(
            output_blocks=[3], resize_input=False, normalize_input=False
        ).eval()
    resize, features = build_resizer("clean"), []
    with torch.no_grad():
        for side in bench.SIDES:
            rows = []
            for path in sorted((home / "pairs" / side).iterdir()):
                x = torch.from_numpy(resize(np.array(Image.open(path)))).permute(2, 0, 1)[None]
                rows.append(network((x - 128) / 128)[0].flatten().numpy())
            features.append(np.stack(rows))
    theirs = fid.fid_from_feats(*features)
    exact = frechet_distance(*map(Moments.of_rows, features))
    yield Row("clean-fid", "clean-fid", data, worst([(ours, theirs)]),
              remark="fewer samples than features: the library's value is too low")  # fmt: skip
    yield Row("clean-fid", "exact, on clean-fid's features", data, worst([(ours, exact)]))


def pixel_rows(pairs: list[tuple[torch.Tensor, torch.Tensor]], data: str) -> Iterator[Row]:
    from torchmetrics.functional.image import (
        multiscale_structural_similarity_index_measure,
        peak_signal_noise_ratio,
        structural_similarity_index_measure,
    )

    libraries: dict[str, Callable[..., torch.Tensor]] = {
        "psnr": peak_signal_noise_ratio,
        "ssim": structural_similarity_index_measure,
        "ms-ssim": multiscale_structural_similarity_index_measure,
    }
    for name, function in libraries.items():
        wanted = [float(function(c[None].double() / 255, r[None].double() / 255, data_range=1.0))
                  for c, r in pairs]  # fmt: skip
        gap = widest(list(zip(per_image(name, pairs), wanted, strict=True)))
        yield Row(name, "torchmetrics (float64)", data, gap, "absolute")


def network_rows(
    pairs: list[tuple[torch.Tensor, torch.Tensor]], home: Path, data: str
) -> Iterator[Row]:
    import lpips
    from pyiqa.archs import dists_arch
    from torchvision import models

    state = torch.load(home / "alexnet", weights_only=True)
    theirs = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    layers = [m for m in theirs.net.modules() if isinstance(m, torch.nn.Conv2d)]
    for layer, position in zip(layers, (0, 3, 6, 8, 10), strict=True):
        layer.weight.data = state[f"features.{position}.weight"]
        layer.bias.data = state[f"features.{position}.bias"]
    own = Lpips("alex", state, lpips_heads("alex"), device="cpu")
    with torch.no_grad():
        found = [(float(own(c[None], r[None])[0]), float(theirs(c / 127.5 - 1, r / 127.5 - 1)))
                 for c, r in pairs]  # fmt: skip
    yield Row("LPIPS alex", "lpips", data, worst(found))
    with torch.device("meta"):
        trunk = models.vgg16(weights=None)
    state = bench.draw(
        {k: v.shape for k, v in trunk.features.state_dict(prefix="features.").items()}
    )
    trunk.features.load_state_dict(
        {k.removeprefix("features."): v for k, v in state.items()}, assign=True
    )
    with mock.patch.object(dists_arch.models, "vgg16", return_value=trunk):
        reference = dists_arch.DISTS(pretrained=False).eval()
    dists = Dists(state, reference.alpha.data, reference.beta.data, device="cpu")
    with torch.no_grad():
        found = [(float(dists(c[None], r[None])[0]),
                  float(reference(c[None].float() / 255, r[None].float() / 255)))
                 for c, r in pairs[:FEW]]  # fmt: skip
    yield Row("DISTS", "pyiqa", f"the first {FEW} of {data}", widest(found), "absolute")


# the document

HEAD = """# Parity with the reference libraries

The table shows the largest deviation of each metric from its reference library. It was made by

    {command}

Versions: {versions}.
Networks have the same seeded random weights on both sides. Rows about features, logits and pairs of
images compare with values recorded from the libraries. Rows about photographs run the library and
layton-bench on the same images: 256 px crops, and the same crops as JPEG at quality 20. Where the
remark says that the library is off, the row above it compares with the exact value.

| metric | reference | data | largest deviation | remark |
|---|---|---|---|---|
"""


def versions() -> str:
    from importlib.metadata import version

    names = ("torch", "torchmetrics", "torch-fidelity", "clean-fid", "lpips", "pyiqa")
    return ", ".join(f"{name} {version(name).split('+')[0]}" for name in names)


def line(row: Row) -> str:
    deviation = "0" if row.deviation == 0 else f"{row.deviation:.1e}"
    return (f"| {row.metric} | {row.library} | {row.data} | {deviation} {row.kind} | "
            f"{row.remark} |")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--golden", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("docs/parity.md"))
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    command = "python benchmarks/parity_table.py --golden DIR --images DIR"
    lines = [HEAD.format(command=command, versions=versions())]
    for rows in (feature_rows(args.golden), image_rows(args.golden), photo_rows(args.images)):
        for row in rows:
            print(line(row), flush=True)
            lines.append(line(row) + "\n")
            args.out.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()

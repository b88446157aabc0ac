"""Every metric in one pass against the reference libraries called one after the other.

    python benchmarks/bench_metrics.py [--pairs 200] [--rounds 2] [--folder DIR] [--batch 32]
    python benchmarks/bench_metrics.py --frechet          # Fréchet distance against scipy's sqrtm

Pairs are 256 px PNG files on disk: crops of the embedded photographs (or of the images in DIR) and
their JPEG at quality 30. Both sides read the files themselves, use two threads, float32 networks
and the batch size that was best for them (``--search`` times 8, 16, 32 and 64). They are timed in
turn, A B A B; the table gives the best round of each and their ratio, by the clock and by the CPU
time of all threads, which other work on the machine disturbs less, and checks that the values
agree. "one pass, again" is a second run on the same references, whose features were kept.

Networks have weights drawn by a seed: no arithmetic depends on their values, and no value printed
here is a result of any model.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from PIL import Image

from layton_bench.datasets.layouts.embedded import open_photos
from layton_bench.images import decode_rgb
from layton_bench.metrics.backbones import inception
from layton_bench.metrics.base import Metric, MetricContext, MetricSpec
from layton_bench.metrics.features import FeatureRunner
from layton_bench.metrics.pairs import perceptual, pixel
from layton_bench.metrics.reference_cache import ReferenceCache
from layton_bench.metrics.sets import frechet as frechet_module, inception_score, kernel, manifold
from layton_bench.metrics.sets.frechet import frechet_distance
from layton_bench.metrics.sets.moments import Moments
from layton_bench.types import ScoredBatch

SIDE = 256
FULL = ("psnr", "ssim", "ms-ssim", "lpips-alex", "fid", "kid", "is", "precision", "recall")
FEATURES = ("fid", "kid", "precision", "recall")
SPECS = {
    spec.name: spec
    for module in (pixel, perceptual, frechet_module, kernel, inception_score, manifold)
    for spec in module.SPECS
    if isinstance(spec, MetricSpec)
}
# A value of the reference libraries is float32 in places, and FID of fewer samples than features
# comes out low there.
TOLERANCE = {"psnr": 1e-4, "ssim": 5e-3, "ms-ssim": 1e-3, "fid": 2e-3, "kid": 1e-3}


def make_pairs(folder: Path, source: Path | None, count: int, quality: int = 30) -> None:
    """``count`` crops in ``references`` and their JPEG in ``candidates``."""
    if source is None:
        photos = [decode_rgb(open_photos().read(item)) for item in open_photos().items()]
    else:
        endings = {".jpg", ".jpeg", ".png"}
        names = sorted(p for p in source.rglob("*") if p.suffix.lower() in endings)
        photos = [Image.open(name).convert("RGB") for name in names[:count]]
    rng = np.random.default_rng(0)
    for side in ("references", "candidates"):
        (folder / side).mkdir()
    for number in range(count):
        photo = photos[number % len(photos)]
        scale = SIDE / min(photo.size)
        if scale > 1:
            photo = photo.resize(tuple(int(np.ceil(s * scale)) for s in photo.size))
        left, top = (int(rng.integers(0, side - SIDE + 1)) for side in photo.size)
        crop = photo.crop((left, top, left + SIDE, top + SIDE))
        buffer = io.BytesIO()
        crop.save(buffer, format="JPEG", quality=quality)
        crop.save(folder / "references" / f"{number:05d}.png")
        Image.open(buffer).save(folder / "candidates" / f"{number:05d}.png")


def draw(shapes: Mapping[str, torch.Size]) -> dict[str, torch.Tensor]:
    """Weights by name and shape, of a size that keeps activations in range."""
    state = {}
    for name, shape in shapes.items():
        rng = np.random.RandomState(zlib.crc32(name.encode()))
        if name.endswith("running_var"):
            values = 0.5 + rng.random_sample(shape)
        elif name.endswith("bn.weight"):
            values = 1 + 0.1 * rng.standard_normal(shape)
        elif len(shape) > 1:
            values = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
        else:
            values = 0.05 * rng.standard_normal(shape)
        state[name] = torch.from_numpy(np.asarray(values, np.float32))
    return state


def make_weights(folder: Path) -> None:
    """Files of the FID Inception and of AlexNet, as the registry would hold them."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    from torchvision.models import alexnet

    path = folder / "inception-fid"
    torch.save({}, path)
    with mock.patch.object(FeatureExtractorInceptionV3, "load_state_dict"):  # there is none yet
        network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(path))
    torch.save(draw({name: value.shape for name, value in network.state_dict().items()}), path)
    with torch.device("meta"):
        trunk = alexnet(weights=None)
    torch.save(draw({k: v.shape for k, v in trunk.state_dict().items()}), folder / "alexnet")


def read(path: Path) -> torch.Tensor:
    return torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)


def pairs_of(folder: Path, batch: int) -> Iterator[tuple[list[str], torch.Tensor, torch.Tensor]]:
    names = sorted(path.name for path in (folder / "references").iterdir())
    for start in range(0, len(names), batch):
        part = names[start : start + batch]
        sides = (torch.stack([read(folder / s / n) for n in part]) for s in SIDES)
        yield (part, *sides)  # type: ignore[misc]


SIDES = ("candidates", "references")


def ours(
    folder: Path, weights: Path, names: tuple[str, ...], batch: int, cache: Path | None = None
) -> dict[str, float]:
    """All metrics in one pass, from files to values; ``cache`` keeps features of references."""
    find: Callable[[str], Path] = weights.joinpath
    kept = ReferenceCache(cache, fingerprint=folder.name, protocol="") if cache else None
    features = FeatureRunner({spec.name: spec for spec in inception.SPECS}, find, cache=kept)
    context = MetricContext(features=features, weights=find)
    metrics: dict[str, Metric] = {name: SPECS[name].make(context) for name in names}
    for keys, candidates, references in pairs_of(folder, batch):
        scored = ScoredBatch(keys=tuple(keys), candidates=candidates, references=references)
        for metric in metrics.values():
            metric.update(scored)
    features.save()
    return {name: metric.compute().value or 0.0 for name, metric in metrics.items()}


def reference(folder: Path, weights: Path, names: tuple[str, ...], batch: int) -> dict[str, float]:
    """torchmetrics, then lpips, then torch-fidelity, each over the files."""
    values: dict[str, float] = {}
    if "psnr" in names:
        values |= torchmetrics_values(folder, batch)
    if "lpips-alex" in names:
        values["lpips-alex"] = lpips_value(folder, weights, batch)
    return values | torch_fidelity_values(folder, weights, "is" in names, batch)


def torchmetrics_values(folder: Path, batch: int) -> dict[str, float]:
    from torchmetrics.image import (
        MultiScaleStructuralSimilarityIndexMeasure,
        PeakSignalNoiseRatio,
        StructuralSimilarityIndexMeasure,
    )

    metrics = {
        "psnr": PeakSignalNoiseRatio(data_range=1.0, dim=(1, 2, 3), reduction="elementwise_mean"),
        "ssim": StructuralSimilarityIndexMeasure(data_range=1.0),
        "ms-ssim": MultiScaleStructuralSimilarityIndexMeasure(data_range=1.0),
    }
    for _, candidates, references in pairs_of(folder, batch):
        for metric in metrics.values():
            metric.update(candidates.float() / 255, references.float() / 255)
    return {name: float(metric.compute()) for name, metric in metrics.items()}


def lpips_value(folder: Path, weights: Path, batch: int) -> float:
    import lpips

    network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    state = torch.load(weights / "alexnet", weights_only=True)
    layers = [module for module in network.net.modules() if isinstance(module, torch.nn.Conv2d)]
    for layer, position in zip(layers, (0, 3, 6, 8, 10), strict=True):
        layer.weight.data = state[f"features.{position}.weight"]
        layer.bias.data = state[f"features.{position}.bias"]
    total = count = 0.0
    with torch.inference_mode():
        for _, candidates, references in pairs_of(folder, batch):
            found = network(candidates / 127.5 - 1, references / 127.5 - 1)
            total, count = total + float(found.sum()), count + len(found)
    return total / count


def torch_fidelity_values(
    folder: Path, weights: Path, has_score: bool, batch: int
) -> dict[str, float]:
    import torch_fidelity

    count = len(list((folder / "references").iterdir()))
    found = torch_fidelity.calculate_metrics(
        input1=str(folder / "candidates"), input2=str(folder / "references"), cuda=False,
        isc=has_score, fid=True, kid=True, prc=True, kid_subset_size=min(1000, count),
        feature_extractor="inception-v3-compat", batch_size=batch, cache=False, verbose=False,
        feature_extractor_weights_path=str(weights / "inception-fid"), save_cpu_ram=True,
    )  # fmt: skip
    names = {
        "fid": "frechet_inception_distance", "kid": "kernel_inception_distance_mean",
        "is": "inception_score_mean", "precision": "precision", "recall": "recall",
    }  # fmt: skip
    return {name: found[key] for name, key in names.items() if key in found}


def timed(run: Callable[[], dict[str, float]]) -> tuple[float, float, dict[str, float]]:
    """Seconds by the clock, seconds of CPU of all threads, and what it returns."""
    start, busy = time.perf_counter(), time.process_time()
    values = run()
    return time.perf_counter() - start, time.process_time() - busy, values


def best_batch(run: Callable[..., dict[str, float]], folder: Path) -> int:
    """Of 8, 16, 32 and 64, the batch size with the shortest run over some of the pairs."""
    return min((8, 16, 32, 64), key=lambda batch: timed(partial(run, folder, batch=batch))[0])


def compare(title: str, names: tuple[str, ...], args: argparse.Namespace, home: Path) -> None:
    sides = {
        "one pass": partial(ours, weights=home, names=names),
        "libraries in turn": partial(reference, weights=home, names=names),
        "one pass, again": partial(ours, weights=home, names=names, cache=home / "kept"),
    }
    partial(ours, weights=home, names=names, cache=home / "kept")(home / "pairs", batch=args.batch)
    sizes = dict.fromkeys(sides, args.batch)
    if args.search:
        sizes = {side: best_batch(run, home / "few") for side, run in sides.items()}
    clock: dict[str, list[float]] = {side: [] for side in sides}
    busy: dict[str, list[float]] = {side: [] for side in sides}
    values: dict[str, dict[str, float]] = {}
    for _ in range(args.rounds):
        for side, run in sides.items():
            seconds, cpu, values[side] = timed(partial(run, home / "pairs", batch=sizes[side]))
            clock[side].append(seconds)
            busy[side].append(cpu)
    print(f"\n{title}: {', '.join(names)}; {args.pairs} pairs, batch sizes {sizes}")
    for side in sides:
        rate = args.pairs / min(clock[side])
        print(f"  {side:18} {rate:6.2f} pairs/s, CPU {min(busy[side]):6.1f} s"
              f"   rounds {[round(t, 1) for t in clock[side]]} s")  # fmt: skip
    for side in ("one pass", "one pass, again"):
        for what, took in (("clock", clock), ("CPU", busy)):
            by_round = zip(took["libraries in turn"], took[side], strict=True)
            ratios = ", ".join(f"{theirs / own:.2f}" for theirs, own in by_round)
            best = min(took["libraries in turn"]) / min(took[side])
            print(f"  {side}: ratio by {what} {best:.2f} (by round {ratios})")
    for name, theirs in values["libraries in turn"].items():
        gap = abs(values["one pass"][name] - theirs) / max(abs(theirs), 1e-6)
        verdict = "agrees" if gap <= TOLERANCE.get(name, 1e-5) else "DIFFERS"
        print(f"    {name:12} {theirs:12.6f}   relative gap {gap:.1e}  {verdict}")


def compare_frechet(rounds: int) -> None:
    """The distance of two sets of 5,000 x 2,048 features, spectra as steep as Inception's."""
    import scipy.linalg

    generator = torch.Generator().manual_seed(0)
    width = 2048
    scale = torch.logspace(0.5, -3.5, width, dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(width, width, generator=generator, dtype=torch.float64)).Q
    sets = [
        (torch.randn(5000, width, generator=generator, dtype=torch.float64) * scale * f @ turn)
        for f in (1.0, 1.05)
    ]
    moments = [Moments.of_rows(rows.numpy()) for rows in sets]
    covariances = [m.covariance for m in moments]

    def by_roots() -> dict[str, float]:
        return {"d": frechet_distance(*moments)}

    def by_sqrtm() -> dict[str, float]:
        root = scipy.linalg.sqrtm(covariances[0] @ covariances[1])
        gap = moments[0].mean - moments[1].mean
        traces = sum(float(np.trace(c)) for c in covariances)
        return {"d": float(gap @ gap) + traces - 2 * float(np.trace(root).real)}

    seconds: dict[str, list[float]] = {"roots": [], "sqrtm": []}
    values = {}
    for _ in range(rounds):
        for side, run in (("roots", by_roots), ("sqrtm", by_sqrtm)):
            _, busy, found = timed(run)
            seconds[side].append(busy)
            values[side] = found["d"]
    print("\nFréchet distance at d = 2,048, from moments: CPU time")
    for side, took_all in seconds.items():
        print(f"  {side:6} {min(took_all):6.2f} s   {values[side]:.12f}")
    print(f"  ratio {min(seconds['sqrtm']) / min(seconds['roots']):.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--search", action="store_true", help="find the best batch sizes first")
    parser.add_argument("--frechet", action="store_true", help="only the Fréchet distance")
    parser.add_argument("--only", choices=("full", "features"), default="")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    warnings.simplefilter("ignore")
    if args.frechet:
        compare_frechet(args.rounds)
        return
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for name, count in (("pairs", args.pairs), ("few", 48)):
            (home / name).mkdir()
            make_pairs(home / name, args.folder, count)
        make_weights(home)
        if args.only != "full":
            compare("Inception features", FEATURES, args, home)
        if args.only != "features":
            compare("The full set", FULL, args, home)


if __name__ == "__main__":
    main()

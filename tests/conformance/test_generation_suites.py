"""coco-gen, mjhq-gen and dpg-bench from the data's own layouts to records, on tiny networks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from drawing_plugin import Flat
from geneval_models import save_tiny_clip
from lab import Bench, Outcome, file_bytes, picture
from places import SUPPORT
from reference_models import bare, reference_cosines, reference_network
from seeded_weights import seeded

from layton_bench.metrics.backbones import inception
from layton_bench.records.record import RunRecord
from layton_bench.seeds import sample_seed
from layton_bench.weights import WeightsEntry, WeightsFile, WeightsStore

IDS = (17, 4, 139, 30)
PLUGIN = SUPPORT / "drawing_plugin.py"
PROMPT_METRICS = ("clip-score", "hpsv2", "image-reward", "pickscore", "aesthetic")
SET_METRICS = ("fid", "clean-fid", "kid", "cmmd", "fd-dinov2")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The speed of a generator is measured on as few pictures as can be."""
    monkeypatch.setattr("layton_bench.run.speed.throughput.MIN_SECONDS", 0.0)
    monkeypatch.setattr("layton_bench.run.speed.throughput.LARGEST_BATCH", 1)
    Flat.seen.clear()


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with an Inception and CLIPs of drawn weights, and no other network."""
    root, made = tmp_path_factory.mktemp("store"), tmp_path_factory.mktemp("made")
    with torch.device("meta"):
        shapes = {k: tuple(v.shape) for k, v in bare(reference_network()).state_dict().items()}
    torch.save(seeded(shapes), made / "w.pth")
    store = WeightsStore({"inception-fid": _entry("inception-fid", inception_file())}, root)
    store.add("inception-fid", made / "w.pth")
    save_tiny_clip(made)
    torch.save(
        {"layers.0.weight": torch.full((1, 16), 0.5), "layers.0.bias": torch.tensor([5.0])},
        made / "sac+logos+ava1-l14-linearMSE.pth",
    )
    clip = ("config.json", "model.safetensors", "vocab.json", "merges.txt")
    entries = {name: _entry(name, *clip) for name in ("clip-vit-l-14", "pickscore")}
    entries["aesthetic"] = _entry("aesthetic", "sac+logos+ava1-l14-linearMSE.pth")
    for name in entries:
        WeightsStore(entries, root).add(name, made)
    return root


def _entry(name: str, *files: str) -> WeightsEntry:
    paths = tuple(WeightsFile(path=file, url="http://nowhere/w") for file in files)
    return WeightsEntry(name=name, files=paths, licence="")


def inception_file() -> str:
    return "weights-inception-2015-12-05-6726825d.pth"


@pytest.fixture
def installed(networks: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAYTON_BENCH_WEIGHTS", str(networks))
    return networks


@pytest.fixture
def coco(bench: Bench) -> Path:
    """Four images, each with three captions of which ``picture ID`` has the lowest id."""
    folder = bench.data / "val2017"
    folder.mkdir()
    for number in IDS:
        size = (300 + number, 260)
        data = file_bytes(picture(number, size), "JPEG")
        (folder / f"{number:012d}.jpg").write_bytes(data)
    write_captions(bench.data, [(3, "another one"), (1, "picture {}"), (2, "a third")])
    return folder


def write_captions(
    root: Path, captions: list[tuple[int, str]], *, but: tuple[int, ...] = ()
) -> None:
    images = [{"id": number, "file_name": f"{number:012d}.jpg"} for number in IDS]
    annotations = [
        {"id": 1000 * number + order, "image_id": number, "caption": text.format(number)}
        for order, text in captions
        for number in reversed(IDS)
        if number not in but
    ]
    (root / "annotations").mkdir(exist_ok=True)
    content = json.dumps({"images": images, "annotations": annotations})
    (root / "annotations" / "captions_val2017.json").write_text(content)


def run(bench: Bench, suite: str, model: str, *more: str) -> Outcome:
    words = ["--plugin", str(PLUGIN), "run", "--suite", suite, "--model", model]
    words += ["--data-root", str(bench.data), "--out", str(bench.results), "--batch-size", "4"]
    return bench(*words, *more)


def copy(bench: Bench, suite: str = "coco-gen-256", model: str = "copyist", *more: str) -> Outcome:
    return run(bench, suite, model, "--set", f"root={bench.data / 'val2017'}", *more)


def samples(bench: Bench) -> pd.DataFrame:
    return pd.read_parquet(next(bench.results.rglob("samples.parquet"))).set_index("key")


def the_record(done: Outcome) -> RunRecord:
    assert done.code == 0, done.err
    (record,) = done.records
    return record


def test_pictures_that_are_the_real_ones_have_no_distance(bench, installed, coco) -> None:
    record = the_record(copy(bench))
    assert record.status == "partial"
    assert (record.completeness.expected, record.completeness.effective) == (5000, 4)
    metrics = record.metrics
    assert list(metrics) == [*SET_METRICS, *PROMPT_METRICS]
    # drawn after the caption of the lowest id, at the suite's size, in the references' protocol
    assert metrics["fid"].value == pytest.approx(0, abs=1e-6)
    assert metrics["clean-fid"].value == pytest.approx(0, abs=1e-6)
    assert (metrics["fid"].label, metrics["fid"].n) == ("gFID", 4)
    for part in ("gfid|", "ref:coco2017-val-first-caption", "crop:canonical@1", "px:256"):
        assert part in metrics["fid"].signature
    # where a network is missing, the record says so and how to get it
    told = {name: m.unavailable for name, m in metrics.items() if m.unavailable}
    assert told == {
        name: f"weights '{weights}' not found; run layton-bench weights pull {weights}"
        for name, weights in (
            ("cmmd", "clip-vit-l-14-336"),
            ("fd-dinov2", "dinov2-vit-l-14"),
            ("hpsv2", "hpsv2"),
            ("image-reward", "image-reward"),
        )
    }
    assert all(metrics[name].value is None for name in told)


def test_scores_are_those_of_the_prompts_drawn(bench, installed, coco) -> None:
    from PIL import Image
    from transformers import CLIPModel

    from layton_bench.datasets.protocols import canonical
    from layton_bench.images import to_tensor

    names = ("clip-score", "pickscore", "aesthetic")
    chosen = [word for name in names for word in ("--metric", name)]
    record = the_record(copy(bench, "coco-gen-256", "copyist", *chosen))
    keys = [f"{number:012d}" for number in sorted(IDS)]
    table = samples(bench).loc[keys]
    pictures = [canonical(Image.open(coco / f"{key}.jpg"), 256) for key in keys]
    images = torch.stack([to_tensor(pixels) for pixels in pictures])
    texts = [f"picture {number}" for number in sorted(IDS)]
    folder = installed / "clip-vit-l-14"
    model = CLIPModel.from_pretrained(folder).eval()
    cosines = reference_cosines(model, folder, images, texts)
    wanted = [max(0.0, 100 * cosine) for cosine in cosines]
    assert table["clip-score"].tolist() == pytest.approx(wanted, abs=1e-3)
    assert record.metrics["clip-score"].value == pytest.approx(np.mean(wanted), abs=1e-3)
    scale = float(model.logit_scale.detach().exp())
    assert table["pickscore"].tolist() == pytest.approx([scale * c for c in cosines], abs=1e-3)
    # a head of halves on a unit vector stays within 5 ± 0.5 · √16
    assert 3 < record.metrics["aesthetic"].value < 7


def test_other_pictures_have_one(bench, installed, coco) -> None:
    record = the_record(run(bench, "coco-gen-256", "flat-64@64", "--metric", "fid"))
    assert record.metrics["fid"].value > 1
    assert record.model.card.notes == "draws at 64 px, resized by an antialiased bicubic filter"


def test_samples_without_a_caption_or_a_file_fall_out_alone(bench, installed, coco) -> None:
    write_captions(bench.data, [(1, "picture {}")], but=(30,))
    (coco / f"{4:012d}.jpg").unlink()
    record = the_record(copy(bench, "coco-gen-256", "copyist", "--metric", "clip-score"))
    assert record.completeness.effective == 2
    failed = {failure.key: failure.reason for failure in record.completeness.failed}
    assert failed[f"{30:012d}"] == "it has no caption"
    assert failed[f"{4:012d}"].startswith("no such file")
    assert len(failed) == 2


def test_without_captions_nothing_is_drawn(bench, installed, coco) -> None:
    (bench.data / "annotations" / "captions_val2017.json").unlink()
    done = copy(bench)
    assert done.code == 2
    assert "none of its images has a caption" in done.err
    assert "there is no annotations/captions_val2017.json beside val2017" in done.err
    assert done.records == []


def test_without_any_network_nothing_is_drawn(bench, coco, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("LAYTON_BENCH_WEIGHTS", str(tmp_path / "none"))
    done = run(bench, "coco-gen-256", "flat-64@64")
    assert done.code == 2
    assert "none of its metrics can be computed here (fid: weights 'inception-fid'" in done.err
    assert done.records == [] and Flat.seen == []


def test_a_generator_of_another_size_is_told_how(bench, installed, coco) -> None:
    done = copy(bench, "coco-gen-256", "copyist-512")
    assert done.code == 2
    assert "made for 512 px, not for 256 px" in done.err
    assert "copyist-512@512" in done.err
    record = the_record(copy(bench, "coco-gen-256", "copyist-512@512", "--metric", "fid"))
    # halving a picture of 512 px is not quite the picture of 256 px
    assert 1e-6 < record.metrics["fid"].value < 50


def test_other_captions_are_other_data(bench, installed, coco) -> None:
    first = the_record(copy(bench, "coco-gen-256", "copyist", "--metric", "clip-score"))
    assert len(copy(bench, "coco-gen-256", "copyist", "--metric", "clip-score").records) == 1
    # the same first captions under other ones
    write_captions(bench.data, [(1, "picture {}"), (2, "something else")])
    assert len(copy(bench, "coco-gen-256", "copyist", "--metric", "clip-score").records) == 1
    write_captions(bench.data, [(1, "picture 17")])
    records = copy(bench, "coco-gen-256", "copyist", "--metric", "clip-score").records
    assert len(records) == 2
    assert {r.data.fingerprint for r in records} > {first.data.fingerprint}


def test_real_images_are_looked_at_once_for_both_kinds_of_suite(
    bench, installed, coco, monkeypatch
) -> None:
    seen: list[int] = []
    look = inception.Inception.__call__
    monkeypatch.setattr(
        inception.Inception, "__call__", lambda self, x: seen.append(len(x)) or look(self, x)
    )
    words = ("--suite", "coco5k-256", "--model", "identity", "--data-root", str(bench.data))
    assert bench("run", *words, "--metric", "fid").code == 0
    assert sum(seen) == 8
    seen.clear()
    assert run(bench, "coco-gen-256", "flat-64@64", "--metric", "fid").code == 0
    assert sum(seen) == 4  # the drawn ones alone


def test_coco_at_1024_px(bench, installed, coco) -> None:
    record = the_record(
        run(bench, "coco-gen-1024", "flat-1024", "--limit", "2", "--metric", "clip-score")
    )
    assert record.metrics["clip-score"].n == 2
    assert "px:1024" in record.metrics["clip-score"].signature
    assert record.completeness.upscaled == 2


def test_mjhq_from_its_folder(bench, installed) -> None:
    folder = bench.data / "mjhq" / "people"
    folder.mkdir(parents=True)
    for number, name in enumerate(("ab", "cd")):
        (folder / f"{name}.jpg").write_bytes(file_bytes(picture(number, (160, 160)), "JPEG"))
    prompts = {"ab": {"category": "people", "prompt": "a man"}, "cd": {"prompt": "a woman"}}
    (bench.data / "mjhq" / "meta_data.json").write_text(json.dumps(prompts))
    done = run(bench, "mjhq-gen-1024", "flat-1024", "--metric", "clip-score", "--metric", "fid")
    record = the_record(done)
    assert (record.completeness.expected, record.completeness.effective) == (30_000, 2)
    assert record.metrics["fid"].value > 0
    assert {text for text, _ in Flat.seen} == {"a man", "a woman"}


def test_dpg_bench_draws_four_pictures_of_each_prompt(bench, installed) -> None:
    prompts = bench.data / "dpg_bench" / "prompts"
    prompts.mkdir(parents=True)
    for name, text in (("1", "a long prompt"), ("2", "another")):
        (prompts / f"{name}.txt").write_text(text)
    record = the_record(run(bench, "dpg-bench", "flat-64"))
    assert (record.completeness.expected, record.completeness.effective) == (4260, 8)
    assert [name for name, m in record.metrics.items() if not m.unavailable] == [
        "clip-score", "pickscore", "aesthetic"
    ]  # fmt: skip
    keys = [f"{name}#{k}" for name in ("1", "2") for k in range(4)]
    assert samples(bench).index.tolist() == keys
    drawn = Flat.seen[-8:]  # before them, the speed was measured
    assert [text for text, _ in drawn] == ["a long prompt"] * 4 + ["another"] * 4
    assert [seed for _, seed in drawn] == [sample_seed("dpg-bench", key) for key in keys]


def test_a_prompt_file_with_a_bad_line_is_named(bench, installed) -> None:
    (bench.data / "dpg_bench").mkdir()
    table = bench.data / "dpg_bench" / "dpg_bench.csv"
    table.write_text("item_id,words\n1,a\n")
    done = run(bench, "dpg-bench", "flat-64")
    assert done.code == 2
    assert "dpg_bench.csv" in done.err and "no 'prompt' among item_id, words" in done.err
    assert Flat.seen == []

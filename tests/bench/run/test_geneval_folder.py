"""GenEval end to end on the command line, with tiny random networks on the real code path."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from geneval_folders import write_sample
from geneval_models import save_tiny_clip, tiny_mask2former
from installing import install_in_place_of

from layton_bench.tasks.geneval import (
    Clause,
    ScenePrompt,
    digest,
    official_prompts,
    read_results,
    results_text,
    sample_path,
    summarise,
    write_metadata,
)  # fmt: skip

PROMPT_NUMBERS = (0, 90, 200)


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Folders of a tiny detector and a tiny CLIP."""
    detector, clip = (tmp_path_factory.mktemp(name) for name in ("detector", "clip"))
    tiny_mask2former().save_pretrained(detector)
    save_tiny_clip(clip)
    return {"mask2former-swin-s-coco": detector, "clip-vit-l-14": clip}


@pytest.fixture
def installed(networks, bench, tmp_path, monkeypatch):
    """The tiny networks, installed as a user would, and run on small inputs to save time."""
    monkeypatch.setattr("layton_bench.tasks.geneval.detector.resized", lambda *_: (96, 96))
    monkeypatch.setenv("LAYTON_BENCH_WEIGHTS", str(tmp_path / "weights"))
    for name, folder in networks.items():
        install_in_place_of(name, folder)


def fill(root, *, numbers=PROMPT_NUMBERS, prompts=None, size_px=48):
    """A folder in GenEval's layout with four pictures for some of its prompts."""
    rng = np.random.default_rng(0)
    prompts = prompts or official_prompts()
    for number in numbers:
        write_metadata(root, number, prompts[number])
        for k in range(4):
            coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            write_sample(root, number, k, coarse.repeat(size_px // 4, 0).repeat(size_px // 4, 1))
    return root


def test_a_folder_is_judged(bench, installed, tmp_path):
    root = fill(tmp_path / "pictures")
    done = bench("geneval", "score-folder", root)
    assert done.code == 0, done.err
    (record,) = done.records
    assert record.suite.name == "geneval"
    assert record.model.name == f"folder-{tmp_path.name}_pictures"
    assert record.status == "partial"
    assert (record.completeness.expected, record.completeness.effective) == (2212, 12)
    # three prompts are of three tasks: the overall score needs all six
    overall = record.metrics["geneval"]
    assert overall.value is None
    assert overall.note == "no images of colors, position, color_attr"
    assert "detector:m2f-swin-s-hf" in overall.signature
    assert f"ref:geneval-original-{digest(official_prompts())[:8]}" in overall.signature
    single = record.metrics["geneval-single-object"]
    assert single.n == 4
    assert single.value in (0, 0.25, 0.5, 0.75, 1)


def test_verdicts_go_to_the_table_and_to_official_results(bench, installed, tmp_path):
    root = fill(tmp_path / "pictures")
    (record,) = bench("geneval", "score-folder", root).records
    file = tmp_path / "results.jsonl"
    assert bench("geneval", "export", record.model.name, "-o", file).code == 0
    rows = read_results(file)
    assert [row.filename for row in rows[:5]] == [
        *(f"00000/samples/000{k}.png" for k in range(4)),
        "00090/samples/0000.png",
    ]
    samples = pd.read_parquet(next((bench.results / "geneval").rglob("samples.parquet")))
    samples = samples[samples["failure"].isna()]
    assert samples["geneval-reason"].tolist() == [row.reason for row in rows]
    assert samples["geneval"].tolist() == [row.correct for row in rows]
    for row in rows:
        assert row.correct == (row.reason == "")
        assert ScenePrompt.model_validate_json(row.metadata).prompt == row.prompt
        for boxes in json.loads(row.details).values():
            assert all(len(box) == 5 and box[4] > 0.3 for box in boxes)
    summary = summarise(rows)
    for tag, task in summary.tasks.items():
        assert record.metrics[f"geneval-{tag.replace('_', '-')}"].value == task.score
    shown = bench("geneval", "score", file, "--json")
    assert json.loads(shown.out)["num_images"] == 12
    assert len(json.loads(shown.out)["completeness"]["problems"]) == 1


def test_the_same_folder_is_not_scored_twice_but_a_changed_one_is(bench, installed, tmp_path):
    root = fill(tmp_path / "pictures", numbers=(0,))
    first = bench("geneval", "score-folder", root)
    again = bench("geneval", "score-folder", root)
    assert len(again.records) == len(first.records) == 1
    assert "exists already" in again.err
    write_sample(root, 0, 0, np.zeros((48, 48, 3), np.uint8))
    assert len(bench("geneval", "score-folder", root).records) == 2


def test_what_cannot_be_used_is_listed_and_the_rest_is_scored(bench, installed, tmp_path):
    root = fill(tmp_path / "pictures")
    sample_path(root, 0, 1).write_bytes(b"no picture")
    sample_path(root, 90, 3).unlink()
    (root / "00200" / "metadata.jsonl").write_text("{")
    done = bench("geneval", "score-folder", root)
    assert done.code == 0
    (record,) = done.records
    failed = {failure.key: failure.reason for failure in record.completeness.failed}
    assert set(failed) == {"00200/metadata.jsonl", "00000#1", "00090#3"}
    assert failed["00090#3"] == "00090/samples/0003.png is missing"
    assert record.completeness.effective == 6
    assert "00000#1" in done.err


def test_a_missing_number_does_not_shift_the_others_and_a_fifth_picture_is_named(
    bench, installed, tmp_path
):
    root = fill(tmp_path / "pictures", numbers=(0, 90))
    sample_path(root, 0, 1).unlink()
    write_sample(root, 90, 4, np.zeros((48, 48, 3), np.uint8))
    write_sample(root, 90, 7, np.zeros((48, 48, 3), np.uint8))
    (record,) = bench("geneval", "score-folder", root).records
    samples = pd.read_parquet(next((bench.results / "geneval").rglob("samples.parquet")))
    judged = samples[samples["failure"].isna()]["key"].tolist()
    assert judged == ["00000#0", "00000#2", "00000#3", *(f"00090#{k}" for k in range(4))]
    failed = {failure.key: failure.reason for failure in record.completeness.failed}
    assert failed["00000#1"] == "00000/samples/0001.png is missing"
    assert set(failed) == {"00000#1", "00090/samples/0004.png", "00090/samples/0007.png"}
    assert "judges images 0 to 3" in failed["00090/samples/0004.png"]


def test_rewritten_prompts_are_another_suite(bench, installed, tmp_path):
    prompts = [p.model_copy(update={"prompt": f"{p.prompt}, sunlit"}) for p in official_prompts()]
    root = fill(tmp_path / "pictures", numbers=(0, 90), prompts=prompts)
    (record,) = bench("geneval", "score-folder", root).records
    assert record.suite.name == "geneval-rewritten"
    reference = f"ref:geneval-rewritten-{digest([prompts[0], prompts[90]])[:8]}"
    assert reference in record.metrics["geneval"].signature
    assert record.completeness.expected == 2212


def test_other_prompts_are_a_set_of_their_own(bench, installed, tmp_path):
    clause = Clause(class_name="dog", count=2)
    prompts = [ScenePrompt(tag="counting", include=(clause,), prompt="two dogs")]
    root = fill(tmp_path / "pictures", numbers=(0,), prompts=prompts)
    (record,) = bench("geneval", "score-folder", root).records
    assert record.suite.name == "geneval-other"
    assert record.status == "complete"
    assert record.metrics["geneval-counting"].n == 4


def test_folders_may_be_numbered_anyhow(bench, installed, tmp_path):
    root = fill(tmp_path / "pictures", numbers=(90,))
    (root / "00090").rename(root / "7")
    shutil.copytree(root / "7", root / "8")
    (record,) = bench("geneval", "score-folder", root).records
    samples = pd.read_parquet(next((bench.results / "geneval").rglob("samples.parquet")))
    assert samples["key"].tolist() == [f"00090#{k}" for k in range(4)]
    (failure,) = record.completeness.failed
    assert (failure.key, failure.reason) == ("00008", "its prompt is that of 00007")


@pytest.mark.parametrize("strict", [("--strict",), ()])
def test_weights_that_are_missing_are_named_and_nothing_is_made_up(
    bench, tmp_path, monkeypatch, strict
):
    monkeypatch.setenv("LAYTON_BENCH_WEIGHTS", str(tmp_path / "none"))
    root = fill(tmp_path / "pictures", numbers=(0,))
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    done = bench("geneval", "score-folder", root, *strict)
    assert done.code == 2
    assert "layton-bench weights pull mask2former-swin-s-coco" in done.err
    assert done.records == []
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_without_the_detector_a_generator_does_not_even_begin(bench, tmp_path, monkeypatch):
    def never(self, prompts, seeds):
        raise AssertionError("drawn for nothing")

    monkeypatch.setenv("LAYTON_BENCH_WEIGHTS", str(tmp_path / "none"))
    monkeypatch.setattr("layton_bench.tasks.scenes.generators.SceneGenerator.generate", never)
    done = bench("run", "--suite", "geneval", "--model", "scenes-random", "--limit", "2")
    assert done.code == 2
    assert "none of its metrics can be computed here" in done.err
    assert "layton-bench weights pull mask2former-swin-s-coco" in done.err
    assert "Nothing was drawn" in done.err


def test_a_damaged_detector_is_named_before_anything_is_drawn(bench, installed, tmp_path):
    path = tmp_path / "weights" / "mask2former-swin-s-coco" / "model.safetensors"
    path.write_bytes(b"x" * path.stat().st_size)
    done = bench("run", "--suite", "geneval", "--model", "scenes-random", "--limit", "2")
    assert done.code == 2
    assert "weights 'mask2former-swin-s-coco'" in done.err
    assert "layton-bench weights pull mask2former-swin-s-coco" in done.err
    assert done.records == []


def test_a_folder_without_anything_to_score(bench, tmp_path):
    (tmp_path / "pictures" / "00000").mkdir(parents=True)
    done = bench("geneval", "score-folder", tmp_path / "pictures")
    assert done.code == 2
    assert "00000: it has no metadata.jsonl" in done.err


def test_a_run_without_verdicts_cannot_be_exported(bench):
    assert bench("run", "--suite", "scenes-gen", "--model", "scenes-random", "--limit", 2).code == 0
    done = bench("geneval", "export", "scenes-random")
    assert done.code == 2
    assert "no GenEval verdicts" in done.err


def test_summary_of_complete_results(bench, tmp_path):
    rows = [
        {
            "filename": f"{number:05d}/samples/{k:04d}.png", "tag": prompt.tag,
            "prompt": prompt.prompt, "correct": k == 0, "reason": "",
            "metadata": json.dumps(prompt.metadata()), "details": "{}",
        }
        for number, prompt in enumerate(official_prompts())
        for k in range(4)
    ]  # fmt: skip
    file = tmp_path / "results.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = bench("geneval", "score", file)
    assert done.code == 0
    assert "2,212 images of 553 prompts (complete)" in done.out
    assert "0.25000" in done.out
    assert done.err == ""
    file.write_text(results_text(read_results(file)[4:]))
    done = bench("geneval", "score", file)
    assert "PARTIAL: 2,212 expected" in done.out
    assert '1 prompts have no image: "a photo of a bench"' in " ".join(done.err.split())


def test_bad_results_exit_2(bench, tmp_path):
    file = tmp_path / "results.jsonl"
    file.write_text("{}\n")
    done = bench("geneval", "score", file)
    assert done.code == 2
    assert "results.jsonl, line 1" in done.err


def test_generate_writes_the_layout_with_the_suites_seeds(bench, tmp_path):
    clause = Clause(class_name="circle", count=1)
    prompts = [ScenePrompt(tag="single_object", include=(clause,), prompt="a circle")]
    file = tmp_path / "prompts.jsonl"
    file.write_text(json.dumps(prompts[0].metadata()) + "\n")
    words = ("generate", "--model", "scenes-oracle", "--layout", "geneval", "--prompts", file)
    done = bench(*words, "--out", tmp_path / "out", "-n", 2)
    assert done.code == 0, done.err
    assert sample_path(tmp_path / "out", 0, 1).exists()
    assert json.loads((tmp_path / "out/00000/metadata.jsonl").read_text()) == prompts[0].metadata()
    drawn = sample_path(tmp_path / "out", 0, 0).read_bytes()
    assert drawn != sample_path(tmp_path / "out", 0, 1).read_bytes()
    sample_path(tmp_path / "out", 0, 0).unlink()
    assert bench(*words, "--out", tmp_path / "out", "-n", 2).code == 0
    assert sample_path(tmp_path / "out", 0, 0).read_bytes() == drawn


def test_bad_lines_of_a_prompt_file_are_named_and_pictures_are_kept(bench, tmp_path):
    good = json.dumps(official_prompts()[0].metadata())
    file = tmp_path / "prompts.jsonl"
    file.write_text(good + "\n")
    words = ("generate", "--model", "scenes-random", "--layout", "geneval", "--prompts", file)
    assert bench(*words, "--out", tmp_path / "out", "-n", 2).code == 0
    drawn = [sample_path(tmp_path / "out", 0, k).read_bytes() for k in range(2)]
    file.write_text(f'{good}\n{{"tag": "colors"}}\n\nnot json\n')
    done = bench(*words, "--out", tmp_path / "out", "-n", 2)
    assert done.code == 2
    assert "line 2: prompt: Field required" in done.err
    assert "line 4: Invalid JSON" in done.err
    assert [sample_path(tmp_path / "out", 0, k).read_bytes() for k in range(2)] == drawn
    assert not (tmp_path / "out" / "00001").exists()


def test_generate_refuses_bare_prompts_in_the_layout(bench):
    done = bench("generate", "--model", "scenes-oracle", "--layout", "geneval", "a circle")
    assert done.code == 2
    assert "prompts that say what to judge" in done.err


def verdicts(bench, model):
    """Key → reason and details of a model's newest run of the suite."""
    path = next((bench.results / "geneval" / model).rglob("samples.parquet"))
    table = pd.read_parquet(path).set_index("key")
    return table[["geneval", "geneval-reason", "geneval-details"]]


def test_a_generators_run_and_its_pictures_on_disk_are_judged_alike(bench, installed, tmp_path):
    done = bench("run", "--suite", "geneval", "--model", "scenes-random", "--limit", "2")
    assert done.code == 0, done.err
    (record,) = done.records
    assert record.completeness.effective == 8
    file = tmp_path / "prompts.jsonl"
    file.write_text(json.dumps(official_prompts()[0].metadata()) + "\n")
    words = ("generate", "--model", "scenes-random", "--layout", "geneval", "--prompts", file)
    assert bench(*words, "--out", tmp_path / "pictures").code == 0
    assert bench("geneval", "score-folder", tmp_path / "pictures").code == 0
    drawn, scored = (
        verdicts(bench, "scenes-random"),
        verdicts(bench, f"folder-{tmp_path.name}_pictures"),
    )
    assert len(scored) == 4
    pd.testing.assert_frame_equal(drawn.loc[scored.index], scored)

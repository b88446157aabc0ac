"""Training in processes of its own: killed and gone on with, and shared by two.

All runs are forks of one process, because importing torch costs more than they do.
"""

import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from tiny_training import SIZE_PX, checkpoint, draw_images, losses, recipe, tables, write_toml

SCRIPT = """
import os, signal, socket, sys

import layton.training.phases.alignment, layton.training.phases.vae, layton.training.phases.vq
from layton.cli import main
from layton.training.reporter import Reporter

def train(path):
    sys.argv = ["layton", "train", path]
    try:
        main()
    except SystemExit as exited:
        return exited.code

def fork(path, kill_after=None):
    child = os.fork()
    if child == 0:
        stepped = Reporter.stepped
        def then_kill(self, step, **arguments):
            stepped(self, step, **arguments)
            if step == kill_after:
                os.kill(os.getpid(), signal.SIGKILL)
        Reporter.stepped = then_kill
        os._exit(train(path))
    print(path, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)

def fork_two(paths):
    # told of each other as torchrun tells its processes
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    os.environ |= {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    children = []
    for rank in ("0", "1"):
        children.append(os.fork())
        if children[-1] == 0:
            os.environ |= {"RANK": rank, "LOCAL_RANK": rank}
            os._exit(any([train(path) for path in paths]))
    assert not any([os.waitpid(child, 0)[1] for child in children])

if __name__ == "__main__":
    straight, killed, *pairs = sys.argv[1:]
    fork(straight)
    fork(killed, kill_after=5)
    fork(killed)
    half = len(pairs) // 2
    for path in pairs[:half]:
        fork(path)
    fork_two(pairs[half:])
"""

SHARED = ("vq", "vae", "alignment")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("processes")
    draw_images(root / "images")
    recipe("vq", root).build().export(root / "start/vq")
    recipe("vae", root).build().export(root / "vae/model")
    recipe("diffusion", root).build().export(root / "base")

    def write(name, phase, **changes):
        fields = {"output": str(root / name), "sample_every": 99, **changes}
        return str(write_toml(root / f"{name}.toml", tables(phase, root, **fields)))

    # from one stage into the next; killed after 5 steps, with the newest checkpoint at 4
    stages = [{"steps": 3, "batch_size": 2, "size_px": px} for px in (SIZE_PX // 2, SIZE_PX)]
    resumed = [write(name, "vq", stages=stages) for name in ("straight", "killed")]

    stages = [{"steps": 4, "batch_size": 4, "size_px": SIZE_PX}]
    more = {
        "vq": {},
        "vae": {},
        "alignment": {
            "base": str(root / "base"),
            "vq": str(root / "start/vq"),
            "data": {"sources": [{"path": str(root / "images")}]},
        },
    }
    shared = [
        write(f"{phase}-{count}", phase, stages=stages, **more[phase])
        for count in ("one", "two")
        for phase in SHARED
    ]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *resumed, *shared],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    codes = [int(line.split()[1]) for line in done.stdout.splitlines() if ".toml" in line]
    assert codes == [0, -9, 0, *[0] * len(SHARED)], done.stderr[-4000:]
    return root, done


def test_a_killed_run_goes_on_with_the_losses_of_an_uninterrupted_one(runs):
    root, _ = runs
    assert [line["step"] for line in losses(root / "straight")] == [1, 2, 3, 4, 5, 6]
    assert losses(root / "killed") == losses(root / "straight")
    one, other = (
        load_file(root / name / "model/model.safetensors") for name in ("straight", "killed")
    )
    assert all(torch.equal(one[key], other[key]) for key in one)
    one, other = (checkpoint(root / name, 6) for name in ("straight", "killed"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("phase", SHARED)
def test_two_processes_train_as_one_does_on_the_same_batches(runs, phase):
    root, _ = runs
    one, two = (losses(root / f"{phase}-{count}") for count in ("one", "two"))
    assert [line["step"] for line in two] == [1, 2, 3, 4]
    # means of means, except the entropy of a batch's codes, which each process has of its own
    for a, b in zip(one, two, strict=True):
        assert a.keys() == b.keys()
        for name in a.keys() - {"bits", "latent_std"}:
            assert b[name] == pytest.approx(a[name], rel=2e-3, abs=1e-5), (name, a["step"])


def test_two_processes_end_at_the_same_weights(runs):
    root, _ = runs
    for phase, file in (("vae", "vae/diffusion_pytorch_model"), ("alignment", "model")):
        one, two = (
            load_file(root / f"{phase}-{count}/model/{file}.safetensors")
            for count in ("one", "two")
        )
        off = torch.cat([(one[key].float() - two[key].float()).abs().flatten() for key in one])
        # Adam's first steps are ± lr: a gradient of nearly 0 may have either sign
        assert float((off > 1e-4).float().mean()) < 0.01


def test_codebook_averages_and_window_are_those_of_all_processes(runs):
    root, _ = runs
    one, two = (checkpoint(root / f"vq-{count}", 4) for count in ("one", "two"))
    assert one.keys() == two.keys()
    name = "trained-1."  # beside the discriminator, trained-0
    for key in ("model.quantize.codebook_used", "_average.counts"):
        assert torch.equal(one[name + key], two[name + key])
    for key in ("_average.sums", "model.quantize.embedding.weight"):
        assert torch.allclose(one[name + key], two[name + key], atol=1e-3)


def test_only_the_first_process_speaks(runs):
    root, done = runs
    said = [line for line in done.stdout.splitlines() if line.startswith("model →")]
    paths = [f"model → {root}/{phase}-two/model" for phase in SHARED]
    assert [line for line in said if "-two" in line] == paths

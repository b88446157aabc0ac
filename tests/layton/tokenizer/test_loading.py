"""Every source of weights, on files and a server that the tests build; every way to go wrong."""

import dataclasses
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from safetensors.torch import save_file

from layton import (
    NAMED_MODELS,
    CheckpointError,
    ConfigError,
    MissingPartError,
    Tokenizer,
    TokenizerConfig,
    UNetConfig,
    VAEConfig,
)
from layton.tokenizer.diffusers_parts import unet_config, vae_config
from layton.tokenizer.loading import check_file
from layton.tokenizer.official import official_layout
from layton.tokenizer.vq_model import VQModel
from layton.weights.checkpoint import read_state


def images():
    return torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture
def sdxl(tiny_tokenizer, tmp_path):
    """A diffusers folder with this U-Net and VAE."""
    tiny_tokenizer.decoder.unet.save_pretrained(tmp_path / "sdxl/unet")
    tiny_tokenizer.vae.save_pretrained(tmp_path / "sdxl/vae")
    return tmp_path / "sdxl"


def same(first, second):
    mine, theirs = first.state_dict(), second.state_dict()
    return mine.keys() == theirs.keys() and all(
        torch.equal(mine[k], theirs[k]) for k in mine if not k.endswith("codebook_used")
    )


def test_a_file_in_our_layout_needs_its_configuration(tiny_tokenizer, tiny_config, tmp_path):
    tiny_tokenizer.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    assert same(Tokenizer.from_pretrained(file, config=tiny_config), tiny_tokenizer)
    with pytest.raises(ConfigError, match="does not say its sizes"):
        Tokenizer.from_pretrained(file)
    with pytest.raises(ConfigError, match="both given"):
        Tokenizer.from_pretrained(file, name="layton-t", config=tiny_config)
    with pytest.raises(CheckpointError, match="does not fit"):
        Tokenizer.from_pretrained(file, name="layton-h")
    # a folder's own configuration can be overruled
    other = dataclasses.replace(
        tiny_config, sampler=dataclasses.replace(tiny_config.sampler, steps=1)
    )
    assert Tokenizer.from_pretrained(tmp_path, config=other).timesteps() == (999,)


def test_missing_sdxl_parts_come_from_a_diffusers_folder(
    tiny_tokenizer, tiny_config, tmp_path, sdxl
):
    state = tiny_tokenizer.state_dict()
    trained = {k: v for k, v in state.items() if not k.startswith(("decoder.unet.", "vae."))}
    torch.save({"state_dict": trained}, tmp_path / "phase1.pt")
    with pytest.raises(MissingPartError, match=r"phase1\.pt: has no unet\nPass sdxl="):
        Tokenizer.from_pretrained(tmp_path / "phase1.pt", config=tiny_config)
    loaded = Tokenizer.from_pretrained(tmp_path / "phase1.pt", config=tiny_config, sdxl=sdxl)
    assert same(loaded, tiny_tokenizer)
    other = dataclasses.replace(
        tiny_config, vae=dataclasses.replace(tiny_config.vae, scaling_factor=0.5)
    )
    with pytest.raises(CheckpointError, match="its vae has other sizes"):
        Tokenizer.from_pretrained(tmp_path / "phase1.pt", config=other, sdxl=sdxl)
    with pytest.raises(MissingPartError, match="no unet can be read"):
        Tokenizer.from_pretrained(tmp_path / "phase1.pt", config=tiny_config, sdxl=tmp_path)


def test_parts_before_training(tiny_tokenizer, tiny_config, tmp_path, sdxl):
    torch.manual_seed(1)
    vq = VQModel(tiny_config.encoder)
    torch.save({"model": vq.state_dict()}, tmp_path / "vq.pt")
    base = dataclasses.replace(tiny_config, unet=UNetConfig(), vae=VAEConfig())
    model = Tokenizer.from_parts(sdxl=sdxl, vq=tmp_path / "vq.pt", config=base)
    assert model.config == tiny_config  # sizes were read from the folder
    assert torch.equal(model.encode(images()), vq.encode(small(images())).flatten(1))
    unet = tiny_tokenizer.decoder.unet.state_dict()
    copy = model.decoder.controlnet.state_dict()
    assert all(torch.equal(copy[key], unet[key]) for key in copy.keys() & unet.keys())
    assert len(copy.keys() & unet.keys()) > 100
    assert copy["controlnet_mid_block.weight"].abs().max() == 0
    # the copy is its own: training it leaves the U-Net alone
    model.decoder.controlnet.conv_in.weight.data.add_(1)
    assert torch.equal(model.decoder.unet.conv_in.weight, unet["conv_in.weight"])
    # steering starts at nothing, reproducibly
    codes = model.encode(images())
    assert torch.equal(model.decode(codes), model.decode(codes, cond_scale=0.0))
    again = Tokenizer.from_parts(sdxl=sdxl, vq=tmp_path / "vq.pt", config=base)
    key = "controlnet_cond_embedding.conv_in.weight"
    assert torch.equal(again.decoder.controlnet.state_dict()[key], copy[key])
    torch.save({"model": {"encoder.conv_in.bias": torch.zeros(8)}}, tmp_path / "not_vq.pt")
    with pytest.raises(CheckpointError, match="is no VQ tokenizer"):
        Tokenizer.from_parts(sdxl=sdxl, vq=tmp_path / "not_vq.pt", config=base)


def small(batch):
    resized = torch.nn.functional.interpolate(batch, (16, 16), mode="bicubic", antialias=True)
    return resized.clamp(-1, 1)


def test_half_precision_folders_are_found(tiny_tokenizer, tiny_config, tmp_path):
    tiny_tokenizer.decoder.unet.half().save_pretrained(tmp_path / "xl/unet", variant="fp16")
    tiny_tokenizer.vae.half().save_pretrained(tmp_path / "xl/vae", variant="fp16")
    rest = {
        k: v
        for k, v in tiny_tokenizer.state_dict().items()
        if not k.startswith(("decoder.unet.", "vae."))
    }
    save_file(rest, tmp_path / "rest.safetensors")
    loaded = Tokenizer.from_pretrained(
        tmp_path / "rest.safetensors",
        config=tiny_config,
        sdxl=tmp_path / "xl",
        dtype=torch.bfloat16,
    )
    assert loaded.decoder.unet.conv_in.weight.dtype == torch.bfloat16
    assert loaded.encoder.conv_in.weight.dtype == torch.float32


def test_configurations_read_from_diffusers(tiny_tokenizer, tiny_config):
    assert unet_config(tiny_tokenizer.decoder.unet.config) == tiny_config.unet
    assert vae_config(tiny_tokenizer.vae.config) == tiny_config.vae
    odd = dict(tiny_tokenizer.decoder.unet.config) | {"resnet_time_scale_shift": "scale_shift"}
    with pytest.raises(ConfigError, match="resnet_time_scale_shift"):
        unet_config(odd)
    sd1 = dict(tiny_tokenizer.decoder.unet.config) | {
        "attention_head_dim": 8,
        "transformer_layers_per_block": 1,
        "addition_embed_type": None,
        "addition_time_embed_dim": None,
        "projection_class_embeddings_input_dim": None,
    }
    read = unet_config(sd1)
    assert read.num_attention_heads == (8, 8, 8)
    assert read.addition_time_embed_dim is None


def test_full_size_defaults_are_sdxls(shared):
    for part, read, config in [
        ("unet", unet_config, UNetConfig()),
        ("vae", vae_config, VAEConfig()),
    ]:
        manifest = json.loads((shared / f"parity/manifests/sdxl_{part}.json").read_text())
        assert read(manifest["config"]) == config


def test_an_acceleration_lora_is_merged(tiny_tokenizer, tmp_path):
    tiny_tokenizer.save_pretrained(tmp_path)
    weight = tiny_tokenizer.decoder.unet.conv_out.weight
    a, b = torch.ones(1, *weight.shape[1:]), torch.ones(weight.shape[0], 1, 1, 1)
    save_file(
        {"unet.conv_out.lora_A.weight": a, "unet.conv_out.lora_B.weight": b},
        tmp_path / "lora.safetensors",
    )
    loaded = Tokenizer.from_pretrained(
        tmp_path, lora=tmp_path / "lora.safetensors", lora_strength=0.25
    )
    assert torch.allclose(loaded.decoder.unet.conv_out.weight, weight + 0.25)
    # in half precision the sum is rounded once
    half = Tokenizer.from_pretrained(
        tmp_path, lora=tmp_path / "lora.safetensors", lora_strength=0.25, dtype=torch.bfloat16
    )
    assert torch.equal(half.decoder.unet.conv_out.weight, (weight + 0.25).bfloat16())


def test_names_without_files_are_explained(tmp_path):
    for name in ("layton-h", "layton-h-star", "layton-t", "layton-ladd"):
        with pytest.raises(MissingPartError, match="no file of it is published") as caught:
            Tokenizer.from_pretrained(name)
        assert "Use layton-t-star, or your own file" in caught.value.remedy
        assert f"name='{name}'" in caught.value.remedy
    with pytest.raises(CheckpointError, match="no such file, folder or model"):
        Tokenizer.from_pretrained("nothing-here")
    with pytest.raises(CheckpointError, match="no such file, folder or model"):
        Tokenizer.from_pretrained("../etc")
    with pytest.raises(CheckpointError, match="holds no model"):
        Tokenizer.from_pretrained(tmp_path)


def test_broken_folders_are_explained(tiny_tokenizer, tmp_path):
    tiny_tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ConfigError, match=r"config\.json"):
        Tokenizer.from_pretrained(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        Tokenizer.from_pretrained(tmp_path)


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's protocol as fetching a file takes."""

    folder = None
    repository = "someone/tiny"
    commit = "0123456789abcdef0123456789abcdef01234567"

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        if not self.path.startswith(f"/{self.repository}/resolve/"):
            self.send_error(404)
            return
        content = (self.folder / self.path.rpartition("/")[2]).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{len(content):040x}"')
        self.send_header("X-Repo-Commit", self.commit)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture
def hub(tmp_path, monkeypatch):
    import huggingface_hub
    from huggingface_hub import constants

    Hub.folder = tmp_path / "repository"
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    fetch = huggingface_hub.hf_hub_download
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(
        huggingface_hub,
        "hf_hub_download",
        lambda repository, file: fetch(
            repository,
            file,
            endpoint=f"http://127.0.0.1:{server.server_port}",
            cache_dir=tmp_path / "cache",
        ),
    )
    yield Hub
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_hub_id_is_fetched(hub, tiny_tokenizer):
    tiny_tokenizer.save_pretrained(hub.folder)
    (hub.folder / "unwanted.bin").write_bytes(b"x")
    assert same(Tokenizer.from_pretrained("someone/tiny"), tiny_tokenizer)
    cached = {p.name for p in hub.folder.parent.glob("cache/**/snapshots/*/*")}
    assert cached == {"config.json", "model.safetensors"}
    with pytest.raises(CheckpointError, match="someone/absent: cannot be fetched"):
        Tokenizer.from_pretrained("someone/absent")


def test_saving_replaces_files_whole(tiny_tokenizer, tmp_path, monkeypatch):
    tiny_tokenizer.save_pretrained(tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("layton.weights.folder.save_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tiny_tokenizer.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    assert read_state(tmp_path / "model.safetensors").keys()


def test_default_configuration_is_the_released_one():
    assert TokenizerConfig().image_px == 1024


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("unet", {"num_attention_heads": [1]}),
        ("unet", {"up_block_types": ["UpBlock2D"]}),
        ("unet", {"block_out_channels": [7, 9]}),
        ("vae", {"norm_num_groups": 5}),
        ("encoder", {"norm_num_groups": 3}),
        ("encoder", {"dropout": -1.0}),
        ("encoder", {"codebook_size": 2**40, "codebook_dim": 2**40}),
    ],
)
def test_sizes_that_do_not_fit_together_are_named(tiny_tokenizer, tmp_path, part, change):
    tiny_tokenizer.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config[part] |= change
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError) as raised:
        Tokenizer.from_pretrained(tmp_path)
    assert "its sizes do not fit together (" in raised.value.reason
    assert str(tmp_path) in raised.value.thing


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("unet", {"down_block_types": [3, 4]}),
        ("unet", {"block_out_channels": None}),
        ("unet", {"attention_head_dim": 1.5}),
        ("unet", {"in_channels": "four"}),
        ("vae", {"block_out_channels": 16}),
        ("vae", {"latent_channels": {"a": 1}}),
        ("vae", {"scaling_factor": None}),
    ],
)
def test_a_damaged_diffusers_folder_is_named(tiny_config, sdxl, tmp_path, part, change):
    torch.save(VQModel(tiny_config.encoder).state_dict(), tmp_path / "vq.pt")
    file = sdxl / part / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises((MissingPartError, ConfigError), match=r"can be read|is broken"):
        Tokenizer.from_parts(sdxl=sdxl, vq=tmp_path / "vq.pt", config=tiny_config)


def official_state(model, *, seed):
    """Random weights in the layout of the released files."""
    generator = torch.Generator().manual_seed(seed)
    layout = official_layout(model.state_dict(), rank=2)
    state = {key: torch.randn(t.shape, generator=generator) for key, t in layout.items()}
    state["quantize.codebook_used"] = model.quantize.codebook_used
    return state


def test_of_an_official_file_the_weights_are_taken_that_the_official_code_takes(
    tiny_tokenizer, tiny_config, tmp_path
):
    file = tmp_path / "LaCTok.pth"
    plain, average = (official_state(tiny_tokenizer, seed=seed) for seed in (0, 1))
    torch.save({"ema": average, "model": plain}, file)
    loaded = Tokenizer.from_pretrained(file, config=tiny_config)
    assert torch.equal(loaded.quantize.embedding.weight, plain["quantize.embedding.weight"])
    torch.save({"ema": average}, file)
    loaded = Tokenizer.from_pretrained(file, config=tiny_config)
    assert torch.equal(loaded.quantize.embedding.weight, average["quantize.embedding.weight"])
    # of our own layout, and of other projects' files, the average
    ours = tiny_tokenizer.state_dict()
    other = {key: torch.zeros_like(tensor) for key, tensor in ours.items()}
    torch.save({"ema": ours, "model": other}, file)
    assert same(Tokenizer.from_pretrained(file, config=tiny_config), tiny_tokenizer)


@pytest.fixture
def small_names(tiny_config, monkeypatch):
    """The published models at the tests' size."""
    for name, model in NAMED_MODELS.items():
        monkeypatch.setitem(NAMED_MODELS, name, dataclasses.replace(model, config=tiny_config))


def test_a_file_is_checked_before_it_is_installed(small_names, tiny_tokenizer, tmp_path, sdxl):
    file = tmp_path / "tokenizer.pth"
    torch.save(official_state(tiny_tokenizer, seed=0), file)
    check_file(file, "layton-h")
    torch.save({"model": tiny_tokenizer.state_dict()}, file)
    check_file(file, "layton-t")
    trained = {
        key: tensor
        for key, tensor in tiny_tokenizer.state_dict().items()
        if not key.startswith(("decoder.unet.", "vae."))
    }
    torch.save(trained, file)
    check_file(file, "layton-t")
    for damage in (
        lambda s: s.pop("decoder.controlnet.conv_in.weight"),
        lambda s: s.update(surprise=torch.zeros(1)),
        lambda s: s.update({"quant_conv.weight": torch.zeros(3, 3)}),
        lambda s: s.update({"vae.decoder.conv_in.weight": torch.zeros(1)}),
    ):
        changed = dict(trained)
        damage(changed)
        torch.save(changed, file)
        with pytest.raises(CheckpointError, match="does not fit the model"):
            check_file(file, "layton-t")
    official = official_state(tiny_tokenizer, seed=0)
    del official["decoder.controlnet.conv_in.weight"]
    torch.save(official, file)
    with pytest.raises(CheckpointError, match="does not fit the official tokenizer"):
        check_file(file, "layton-t")
    file.write_text("garbage")
    with pytest.raises(CheckpointError):
        check_file(file, "layton-t")

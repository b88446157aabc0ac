"""Pipelines of diffusers as generators: tiny ones of the real classes, by the real loading path."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from geneval_models import save_tiny_clip, tiny_mask2former
from installing import install_in_place_of
from tiny_pipelines import PIPELINES, save

import layton_bench_diffusers
from layton_bench import Generator, LoadContext, ModelPattern, ModelSpec, Prompt, UserError
from layton_bench.images import to_uint8
from layton_bench.registry.plugins import Plugins
from layton_bench.registry.resolve import find_model
from layton_bench_diffusers import build
from layton_bench_diffusers.folder import find_folder, read_folder
from layton_bench_diffusers.variants import KINDS, VARIANTS

# numpy's word on torch tensors, by a scheduler of diffusers
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

PROMPTS = [
    Prompt(key="a", text="a red circle"),
    Prompt(key="b", text="a cat left of a blue square"),
    Prompt(key="c", text="photo of a square"),
]
SD = "StableDiffusionPipeline"
STEPS = dict.fromkeys(PIPELINES, 3) | {"FluxPipeline": 1}  # the tiny FLUX.1 has 4,096 tokens


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Gives the folder of a class's pipeline, which is saved once."""
    root = tmp_path_factory.mktemp("pipelines")

    def folder(name):
        if not (root / name).is_dir():
            save(name, root / name, root / f"{name}-parts")
        return root / name

    return folder


@pytest.fixture
def own(folders, tmp_path):
    """A copy of the tiny SD 1.5 that a test may spoil."""
    return shutil.copytree(folders(SD), tmp_path / "own")


def spec_of(source) -> ModelSpec:
    made = []
    layton_bench_diffusers.layton_bench_register_models(made.append)
    (pattern,) = (entry for entry in made if isinstance(entry, ModelPattern))
    return pattern.make_spec(pattern.pattern.fullmatch(f"diffusers:{source}"))


def load(source, *, dtype="float32", device="cpu", **options) -> Generator:
    spec = spec_of(source)
    context = LoadContext(
        device=device,
        dtype=dtype,
        weights=lambda name: None,  # type: ignore[arg-type, return-value]
        options=dict(spec.options) | {"steps": 3} | options,
    )
    generator = spec.load(context)
    assert isinstance(generator, Generator)
    return generator


def direct(folder, **settings) -> torch.Tensor:
    """The pictures by diffusers alone, which finds and loads the pipeline in its own way."""
    from diffusers import DiffusionPipeline

    pipeline = DiffusionPipeline.from_pretrained(folder, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    generators = [torch.Generator().manual_seed(seed) for seed in (5, 6, 7)]
    images_01 = pipeline(
        prompt=[prompt.text for prompt in PROMPTS],
        generator=generators,
        output_type="np",
        **settings,
    ).images
    return torch.from_numpy(images_01).permute(0, 3, 1, 2) * 2 - 1


@pytest.mark.parametrize("name", PIPELINES)
def test_every_class_draws_what_diffusers_draws(folders, name):
    folder, steps = folders(name), STEPS[name]
    spec = spec_of(folder)
    side = spec.card.sizes_px[0]
    generator = load(folder, steps=steps)
    images = generator.generate(PROMPTS, [5, 6, 7])
    assert (images.shape, images.dtype) == ((3, 3, side, side), torch.float32)
    guidance = spec.options.get("cfg_scale", spec.options.get("guidance"))
    binning = {} if not KINDS[name].call_settings else {"use_resolution_binning": False}
    expected = direct(
        folder, num_inference_steps=steps, guidance_scale=guidance, height=side, width=side,
        **binning,
    )  # fmt: skip
    torch.testing.assert_close(images, expected, atol=1e-5, rtol=0)
    assert images.std() > 0.01
    assert not torch.equal(images[0], images[1])


@pytest.mark.parametrize("name", PIPELINES)
def test_a_picture_is_its_seeds_and_prompts_alone(folders, name):
    generator = load(folders(name), steps=STEPS[name])
    together = generator.generate(PROMPTS[:2], [5, 6])
    turned = generator.generate([PROMPTS[1]], [6])
    torch.testing.assert_close(turned[0], together[1], atol=2e-5, rtol=0)
    # rounding is all that is left of the batch: hardly a byte of the picture
    differing = to_uint8(turned[0], "round") != to_uint8(together[1], "round")
    assert differing.float().mean() < 0.001
    if name != "FluxPipeline":
        other = generator.generate([PROMPTS[1]], [7])
        assert (other[0] - together[1]).abs().mean() > 0.01


@pytest.mark.parametrize(
    ("options", "nfe"),
    [
        ({}, 8),  # PNDM's second step takes two passes; each is guided, so counts two
        ({"cfg_scale": 1.0}, 4),  # off: one pass a step
        ({"scheduler": "ddim"}, 6),
        ({"scheduler": "heun"}, 10),  # two passes a step but for the last
        ({"scheduler": "euler", "steps": 5}, 10),
    ],
)
def test_forward_passes_are_counted(folders, options, nfe):
    generator = load(folders(SD), **options)
    generator.generate(PROMPTS[:2], [1, 2])
    assert generator.latest_cost().nfe == nfe


def test_a_distilled_guidance_is_no_second_pass(folders):
    generator = load(folders("FluxPipeline"), steps=2)
    generator.generate(PROMPTS[:1], [1])
    assert generator.latest_cost().nfe == 2
    assert spec_of(folders("FluxPipeline")).card.cfg_scale is None


@pytest.mark.parametrize("name", [SD, "PixArtAlphaPipeline"])
def test_the_cards_passes_are_those_at_its_defaults(folders, name):
    spec = spec_of(folders(name))
    generator = load(folders(name), steps=spec.card.num_inference_steps)
    generator.generate(PROMPTS[:1], [1])
    assert generator.latest_cost().nfe == spec.card.nfe == {SD: 102}.get(name, 40)


def test_stages_are_told_apart(folders):
    generator = load(folders(SD))
    generator.generate(PROMPTS, [1, 2, 3])
    seconds = generator.latest_cost().seconds
    assert set(seconds) == {"text", "denoise", "decode"}
    assert all(value > 0 for value in seconds.values())
    assert seconds["denoise"] > seconds["text"]


def test_a_negative_prompt_and_a_guidance_scale_are_passed_on(folders):
    found = load(folders(SD), negative_prompt="blue", cfg_scale=3.0).generate(PROMPTS, [5, 6, 7])
    expected = direct(
        folders(SD), num_inference_steps=3, guidance_scale=3.0, negative_prompt=["blue"] * 3
    )
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    without = load(folders(SD), cfg_scale=3.0).generate(PROMPTS, [5, 6, 7])
    assert (found - without).abs().max() > 1e-4


@pytest.mark.parametrize("scheduler", ["ddim", "euler-a", "dpmpp-2m", "unipc"])
def test_another_scheduler_keeps_the_noise_schedule(folders, scheduler):
    import diffusers

    found = load(folders(SD), scheduler=scheduler).generate(PROMPTS, [5, 6, 7])
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folders(SD), local_files_only=True)
    wanted = getattr(diffusers, build.SCHEDULERS[scheduler])
    pipeline.scheduler = wanted.from_config(pipeline.scheduler.config)
    assert pipeline.scheduler.config.beta_end == 0.012
    pipeline.set_progress_bar_config(disable=True)
    images_01 = pipeline(
        [p.text for p in PROMPTS], num_inference_steps=3, output_type="pt",
        generator=[torch.Generator().manual_seed(seed) for seed in (5, 6, 7)],
    ).images  # fmt: skip
    torch.testing.assert_close(found, images_01 * 2 - 1, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (SD, {"scheduler": "eular"}, "Use own, ddim, pndm, euler, euler-a, heun"),
        ("SanaPipeline", {"scheduler": "euler"}, "works only with DPMSolverMultistepScheduler"),
        ("StableDiffusion3Pipeline", {"scheduler": "ddim"}, "works only with FlowMatchEuler"),
        (SD, {"steps": 0}, "must be at least 1"),
        (SD, {"offload": "disk"}, "Use auto, none, model, sequential"),
    ],
)
def test_options_that_cannot_be_are_refused(folders, name, options, message):
    with pytest.raises(UserError, match=message):
        load(folders(name), **options)


def test_half_precision(folders):
    exact = load(folders(SD)).generate(PROMPTS, [5, 6, 7])
    half = load(folders(SD), dtype="bfloat16").generate(PROMPTS, [5, 6, 7])
    assert half.dtype == torch.float32
    assert 0 < (half - exact).abs().mean() < 0.05


def test_a_class_cannot_be_drawn(folders):
    with pytest.raises(UserError, match="draws texts"):
        load(folders(SD)).generate([Prompt(key="a", class_id=3)], [0])


def test_networks_take_turns_on_the_device_where_asked(folders):
    whole = load(folders("StableDiffusionXLPipeline")).generate(PROMPTS, [5, 6, 7])
    in_turn = load(folders("StableDiffusionXLPipeline"), offload="model")
    for _ in range(2):  # the hooks are there again for the second call
        assert torch.equal(in_turn.generate(PROMPTS, [5, 6, 7]), whole)
    assert in_turn.latest_cost().nfe == 6


GIB = 1 << 30


@pytest.mark.parametrize(
    ("free_gib", "expected"),
    [(24, "none"), (23.9, "model"), (16, "model"), (15.9, "sequential"), (2, "sequential")],
)
def test_the_first_placement_that_fits(free_gib, expected):
    sizes = {"text_encoder": 7 * GIB, "transformer": 12 * GIB, "vae": GIB}  # and 4 GiB to work in
    assert build.placement(sizes, int(free_gib * GIB)) == expected


@pytest.mark.parametrize(("free_gib", "called"), [(80, "to"), (0, "enable_sequential_cpu_offload")])
def test_memory_that_is_short_is_noticed(folders, monkeypatch, free_gib, called):
    from diffusers import StableDiffusionPipeline

    seen = []
    for name in ("to", "enable_model_cpu_offload", "enable_sequential_cpu_offload"):
        monkeypatch.setattr(
            StableDiffusionPipeline,
            name,
            lambda self, *a, name=name, **k: seen.append((name, a, k)),
        )
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free_gib * GIB, 80 * GIB))
    build.build(
        read_folder(folders(SD)), dtype=torch.float32, device="cuda:1", scheduler="own",
        offload="auto",
    )  # fmt: skip
    ((name, args, named),) = seen
    assert name == called
    assert "cuda:1" in (*args, *named.values())


def test_offloading_without_its_package_is_explained(folders, monkeypatch):
    real = build.importlib.util.find_spec
    monkeypatch.setattr(
        build.importlib.util, "find_spec", lambda name: None if name == "accelerate" else real(name)
    )
    with pytest.raises(UserError, match=r"pip install 'layton-bench\[diffusers\]'"):
        load(folders(SD), offload="model")


def unlink(*parts):
    return lambda folder: folder.joinpath(*parts).unlink()


def write(text, *parts):
    return lambda folder: folder.joinpath(*parts).write_text(text)


def change_index(**changes):
    def change(folder):
        path = folder / "model_index.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def lose_a_parameter(folder):
    from safetensors.torch import load_file, save_file

    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    del tensors["conv_out.bias"]
    save_file(tensors, path, metadata={"format": "pt"})


def pickle_instead(folder):
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save({}, path.with_name("diffusion_pytorch_model.bin"))
    path.unlink()


def shard(folder):
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "../../b.safetensors"}}
    (folder / "text_encoder" / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("spoil", "thing", "reason"),
    [
        (unlink("model_index.json"), "model_index.json", "there is no such file"),
        (write("{", "model_index.json"), "model_index.json", "it cannot be read"),
        (write("[]", "model_index.json"), "model_index.json", "it is not a JSON object"),
        (
            change_index(_class_name="StableVideoDiffusionPipeline"),
            "model_index.json",
            "its pipeline is StableVideoDiffusionPipeline, which is not supported",
        ),
        (
            change_index(unet=["my_module", "Net"]),
            "model_index.json",
            r"component unet is \['my_module', 'Net'\]",
        ),
        (
            change_index(**{"../evil": ["diffusers", "UNet2DConditionModel"]}),
            "model_index.json",
            "component ../evil is",
        ),
        (change_index(vae=[None, None]), "model_index.json", "it does not name vae and unet"),
        (
            change_index(unet=["diffusers", "NoSuchNetwork"]),
            "own",
            "diffusers has no class NoSuchNetwork",
        ),
        (lambda f: shutil.rmtree(f / "vae"), "vae", "the component's folder is missing"),
        (unlink("unet", "config.json"), "config.json", "there is no such file"),
        (
            unlink("unet", "diffusion_pytorch_model.safetensors"),
            "unet",
            "it holds no weights as safetensors",
        ),
        (pickle_instead, "unet", "it holds no weights as safetensors"),
        (shard, "b.safetensors", "a part of the weights is missing"),
        (
            lose_a_parameter,
            "unet",
            "1 parameters of UNet2DConditionModel are missing, for example conv_out",
        ),
        (
            write("x", "unet", "diffusion_pytorch_model.safetensors"),
            "unet",
            "UNet2DConditionModel does not load from it",
        ),
    ],
)
def test_what_a_folder_lacks_is_named(own, spoil, thing, reason):
    spoil(own)
    with pytest.raises(UserError, match=reason) as caught:
        load(own)
    assert caught.value.thing.endswith(thing)
    assert caught.value.thing.startswith(str(own))


def test_weights_of_another_shape_are_refused(own, folders):
    other = folders("StableDiffusionXLPipeline") / "unet" / "diffusion_pytorch_model.safetensors"
    shutil.copyfile(other, own / "unet" / "diffusion_pytorch_model.safetensors")
    with pytest.raises(UserError, match="UNet2DConditionModel"):
        load(own)


def test_variants_are_not_read(own):
    unet = own / "unet" / "diffusion_pytorch_model.safetensors"
    shutil.copyfile(unet, unet.with_name("diffusion_pytorch_model.fp16.safetensors"))
    (own / "safety_checker").mkdir()
    (own / "safety_checker" / "model.safetensors").write_bytes(b"huge")
    read = spec_of(own).files()
    assert unet in read
    assert not [path for path in read if "fp16" in path.name or "safety" in str(path)]
    assert {path.parent.name for path in read} == {
        "own", "unet", "vae", "text_encoder", "tokenizer", "scheduler"
    }  # fmt: skip


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache of the Hugging Face hub, which is never asked itself."""
    root = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(root))
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(root))
    return root


def put_in_cache(hub, hub_id, folder):
    """As ``hf download`` leaves a repository: blobs by name, a snapshot of links, and its name."""
    repository = hub / f"models--{hub_id.replace('/', '--')}"
    snapshot = repository / "snapshots" / ("0" * 40)
    for number, path in enumerate(p for p in folder.rglob("*") if p.is_file()):
        blob = repository / "blobs" / f"{number:040x}"
        blob.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, blob)
        link = snapshot / path.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)


def test_a_repository_in_the_hubs_cache(hub, folders):
    put_in_cache(hub, "someone/tiny-sd", folders(SD))
    spec = spec_of("someone/tiny-sd")
    assert spec.card.name == "diffusers:someone/tiny-sd"
    assert spec.card.source == "https://huggingface.co/someone/tiny-sd"
    from_hub = load("someone/tiny-sd").generate(PROMPTS, [5, 6, 7])
    assert torch.equal(from_hub, load(folders(SD)).generate(PROMPTS, [5, 6, 7]))


def test_a_published_model_is_found_by_its_name(hub, folders):
    put_in_cache(hub, VARIANTS["sd15"].hub_id, folders(SD))
    spec = Plugins().model("sd15")
    context = LoadContext(
        device="cpu", dtype="float32", weights=None, options=dict(spec.options) | {"steps": 3}
    )
    drawn = spec.load(context).generate(PROMPTS, [5, 6, 7])
    assert torch.equal(drawn, load(folders(SD)).generate(PROMPTS, [5, 6, 7]))
    assert all(path.is_file() for path in spec.files())


def test_what_is_not_here_is_not_downloaded_but_explained(hub, bench):
    done = bench("run", "--suite", "geneval", "--model", "flux-dev")
    assert done.code == 2
    assert "Run `hf download black-forest-labs/FLUX.1-dev`" in done.err
    assert "https://huggingface.co/black-forest-labs/FLUX.1-dev" in done.err
    assert "hf auth login" in done.err
    assert done.records == []
    with pytest.raises(UserError, match="there is no such folder"):
        find_folder("nowhere/at/all")


def test_names_of_folders(folders, monkeypatch):
    plugins = Plugins()
    card = plugins.model(f"diffusers:{folders(SD)}").card
    # name and contents of the folder: no path of this machine goes into a record
    digest = read_folder(folders(SD)).digest()
    assert re.fullmatch(r"[0-9a-f]{6}", digest)
    name = f"{SD}-{digest}"
    assert (card.name, card.title, card.source) == (f"diffusers:{name}", name, "")
    assert card.sizes_px == (16,)
    assert "PNDMScheduler" in card.notes
    resized = find_model(plugins, f"diffusers:{folders(SD)}@16", size_px=32)
    assert (resized.card.name, resized.card.sizes_px) == (f"diffusers:{name}@16", (32,))


def test_folders_of_one_name_are_different_models(own, tmp_path):
    """Fine-tuned weights have the layout and the size of their base."""
    twin = shutil.copytree(own, tmp_path / "other/own")
    names = [spec_of(folder).card.name for folder in (own, twin)]
    assert names[0] == names[1]  # the same contents at another place are the same model
    weights = twin / "unet/diffusion_pytorch_model.safetensors"
    size = weights.stat().st_size
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert weights.stat().st_size == size
    assert spec_of(twin).card.name != names[0]
    assert spec_of(twin).card.title != spec_of(own).card.title
    # a part that is configured otherwise, with the same weights
    shutil.rmtree(twin)
    shutil.copytree(own, twin)
    change(twin / "scheduler/scheduler_config.json", beta_end=0.013)
    assert spec_of(twin).card.name != names[0]


def change(path, **fields):
    """Set fields of a JSON file; None removes one."""
    content = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))


@pytest.mark.parametrize(
    ("name", "sample_size", "latent_px"),
    [
        (SD, 8, 8),
        (SD, [8, 8], 8),
        (SD, [1, 1], 1),
        # what diffusers assumes where the file has none
        ("StableDiffusionXLPipeline", None, 128),
        ("FluxPipeline", None, 128),
        ("SanaPipeline", None, 32),
    ],
)
def test_the_size_follows_from_the_sample_size(folders, tmp_path, name, sample_size, latent_px):
    folder = shutil.copytree(folders(name), tmp_path / "own")
    change(folder / KINDS[name].denoiser / "config.json", sample_size=sample_size)
    vae = json.loads((folder / "vae/config.json").read_text())
    levels = len(vae.get("block_out_channels") or vae["encoder_block_out_channels"])
    assert spec_of(folder).card.sizes_px == (latent_px * 2 ** (levels - 1),)


@pytest.mark.parametrize(
    "sample_size", [[60, 80], [64], [64, 64, 64], 0, -8, 64.0, "64", True, [8.0, 8.0], 10**9]
)
def test_a_sample_size_that_is_no_side_is_refused(own, sample_size):
    change(own / "unet/config.json", sample_size=sample_size)
    with pytest.raises(UserError, match=r"unet.config\.json: its sample_size is"):
        spec_of(own)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("scheduler/scheduler_config.json", b"{"),
        ("tokenizer/tokenizer_config.json", b"\xff"),
        ("tokenizer/tokenizer_config.json", b'{"bos_token": 3}'),
        ("tokenizer/tokenizer.json", b"[]"),
    ],
)
def test_damaged_small_files_are_named(own, name, content):
    (own / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{SD} does not load from it") as raised:
        load(own)
    assert raised.value.thing == str(own)


def test_a_pipeline_without_a_size_is_refused(own):
    change(own / "unet/config.json", sample_size=None)
    with pytest.raises(UserError, match="it has no sample_size"):
        spec_of(own)


def published_networks(name):
    """Text encoders, denoiser and image decoder of a published model at full size, on no device."""
    from diffusers import (
        AutoencoderDC,
        AutoencoderKL,
        FluxTransformer2DModel,
        PixArtTransformer2DModel,
        SanaTransformer2DModel,
        SD3Transformer2DModel,
        UNet2DConditionModel,
    )
    from transformers import (
        CLIPTextConfig,
        CLIPTextModel,
        CLIPTextModelWithProjection,
        Gemma2Config,
        Gemma2Model,
        T5Config,
        T5EncoderModel,
    )

    def clip(kind, width, depth, heads, act):
        return kind(
            CLIPTextConfig(
                vocab_size=49408, hidden_size=width, intermediate_size=4 * width,
                num_hidden_layers=depth, num_attention_heads=heads, hidden_act=act,
                projection_dim=width,
            )
        )  # fmt: skip

    def t5():
        sizes = {"d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64}
        return T5EncoderModel(T5Config(vocab_size=32128, feed_forward_proj="gated-gelu", **sizes))

    def clip_l(kind=CLIPTextModel):
        return clip(kind, 768, 12, 12, "quick_gelu")

    def big_g():
        return clip(CLIPTextModelWithProjection, 1280, 32, 20, "gelu")

    def decoder(**settings):
        model = AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            **settings,
        )
        return [model.decoder] + ([model.post_quant_conv] if model.post_quant_conv else [])

    def pixart(*, sized):
        return PixArtTransformer2DModel(
            sample_size=128, caption_channels=4096, use_additional_conditions=sized
        )

    sixteen = {"latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False}
    match name:
        case "sd15":
            return [clip_l()], [UNet2DConditionModel(cross_attention_dim=768), *decoder()]
        case "sdxl":
            unet = UNet2DConditionModel(
                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
                up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
                block_out_channels=(320, 640, 1280), cross_attention_dim=2048,
                attention_head_dim=(5, 10, 20), transformer_layers_per_block=(1, 2, 10),
                use_linear_projection=True, addition_embed_type="text_time",
                addition_time_embed_dim=256, projection_class_embeddings_input_dim=2816,
            )  # fmt: skip
            return [clip_l(), big_g()], [unet, *decoder()]
        case "sd3-medium":
            transformer = SD3Transformer2DModel(
                num_layers=24, num_attention_heads=24, caption_projection_dim=1536,
                pos_embed_max_size=192,
            )  # fmt: skip
            texts = [clip_l(CLIPTextModelWithProjection), big_g(), t5()]
            return texts, [transformer, *decoder(**sixteen)]
        case "flux-dev" | "flux-schnell":
            transformer = FluxTransformer2DModel(guidance_embeds=name == "flux-dev")
            return [clip_l(), t5()], [transformer, *decoder(**sixteen)]
        case "pixart-alpha" | "pixart-sigma":
            return [t5()], [pixart(sized=name == "pixart-alpha"), *decoder()]
        case "sana":
            channels = (128, 256, 512, 512, 1024, 1024)
            blocks = ("ResBlock",) * 3 + ("EfficientViTBlock",) * 3
            autoencoder = AutoencoderDC(
                latent_channels=32, encoder_block_out_channels=channels,
                decoder_block_out_channels=channels, encoder_block_types=blocks,
                decoder_block_types=blocks, encoder_layers_per_block=(2, 2, 2, 3, 3, 3),
                decoder_layers_per_block=(3,) * 6, downsample_block_type="conv",
                encoder_qkv_multiscales=((), (), (), (5,), (5,), (5,)),
                decoder_qkv_multiscales=((), (), (), (5,), (5,), (5,)),
                upsample_block_type="interpolate",
            )  # fmt: skip
            return [Gemma2Model(Gemma2Config())], [SanaTransformer2DModel(), autoencoder.decoder]
    raise AssertionError(name)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_card_is_true(name):
    made = []
    layton_bench_diffusers.layton_bench_register_models(made.append)
    card = next(s.card for s in made if isinstance(s, ModelSpec) and s.card.name == name)
    with torch.device("meta"):
        encoders, decoders = published_networks(name)

    def count(networks):
        return sum(p.numel() for network in networks for p in network.parameters())

    assert (card.encoder_params, card.decoder_params) == (count(encoders), count(decoders))
    assert card.cfg_scale == KINDS[VARIANTS[name].pipeline].cfg_scale
    assert card.licence and card.source.startswith("https://")
    assert VARIANTS[name].hub_id in card.notes


def test_published_settings():
    plugins = Plugins()
    told = {name: plugins.model(name) for name in VARIANTS}
    assert plugins.model("pixart").card.name == "pixart-alpha"
    assert {n: (s.card.num_inference_steps, s.card.nfe) for n, s in told.items()} == {
        "sd15": (50, 102),
        "sdxl": (50, 100),
        "sd3-medium": (28, 56),
        "flux-dev": (50, 50),
        "flux-schnell": (4, 4),
        "pixart-alpha": (20, 40),
        "pixart-sigma": (20, 40),
        "sana": (20, 40),
    }
    assert told["flux-dev"].options["guidance"] == 3.5
    assert "guidance" not in told["flux-schnell"].options
    assert told["sd15"].options == {
        "steps": 50, "cfg_scale": 7.5, "negative_prompt": "", "scheduler": "own", "offload": "auto"
    }  # fmt: skip


@pytest.fixture
def quick(monkeypatch):
    """The speed of a generator is measured on as few pictures as can be."""
    monkeypatch.setattr("layton_bench.run.speed.throughput.MIN_SECONDS", 0.0)
    monkeypatch.setattr("layton_bench.run.speed.throughput.LARGEST_BATCH", 1)


def test_geneval_from_a_pipeline_to_verdicts(bench, quick, folders, tmp_path, monkeypatch):
    """Everything of the real path but the weights: pipeline, detector, CLIP and processors."""
    monkeypatch.setattr("layton_bench.tasks.geneval.detector.resized", lambda *_: (96, 96))
    monkeypatch.setenv("LAYTON_BENCH_WEIGHTS", str(tmp_path / "weights"))
    for name, make in (
        ("mask2former-swin-s-coco", lambda folder: tiny_mask2former().save_pretrained(folder)),
        ("clip-vit-l-14", save_tiny_clip),
    ):
        (tmp_path / name).mkdir()
        make(tmp_path / name)
        install_in_place_of(name, tmp_path / name)
    model = f"diffusers:{folders(SD)}"
    words = ["run", "--suite", "geneval", "--model", model, "--limit", "6", "--set", "steps=1"]
    done = bench(*words)
    assert done.code == 0, done.err
    (record,) = done.records
    assert (record.completeness.expected, record.completeness.effective) == (2212, 24)
    assert record.metrics["geneval"].label == "GenEval[m2f-swin-s-hf]"
    tasks = {name: result for name, result in record.metrics.items() if name != "geneval"}
    assert sum(result.n for result in tasks.values()) == 24
    assert all(0 <= r.value <= 1 for r in tasks.values() if r.value is not None)
    file = tmp_path / "results.jsonl"
    assert bench("geneval", "export", record.model.name, "-o", file).code == 0
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(rows) == 24
    assert rows[0]["filename"] == "00000/samples/0000.png"
    # what is written to disk is what was judged
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text(rows[0]["metadata"] + "\n")
    words = ["generate", "--model", model, "--layout", "geneval", "--prompts", prompts]
    assert bench(*words, "--set", "steps=1", "--out", tmp_path / "pictures").code == 0
    assert bench("geneval", "score-folder", tmp_path / "pictures").code == 0
    again = tmp_path / "again.jsonl"
    assert bench("geneval", "export", f"folder-{tmp_path.name}_pictures", "-o", again).code == 0
    scored = [json.loads(line) for line in again.read_text().splitlines()]
    assert scored == rows[:4]


def test_a_record_names_the_weights_and_the_options(bench, quick, own):
    words = ["run", "--suite", "scenes-gen", "--model", f"diffusers:{own}@16", "--limit", "6"]
    words += ["--set", "steps=2", "--set", "cfg_scale=2", "--batch-size", "3"]
    assert bench(*words).code == 0
    (record,) = bench(*words).records  # the second time it is there already
    assert record.model.name == f"diffusers:own-{read_folder(own).digest()}@16"
    assert record.model.options["cfg_scale"] == 2.0
    assert set(record.model.changed_options) == {"steps", "cfg_scale"}
    assert len(record.model.weights["files"]) == 64
    assert record.throughput is not None
    assert record.throughput.nfe == 6  # two steps of PNDM are three, each guided
    assert str(own.parent) not in record.model_copy(update={"command": ()}).model_dump_json()
    path = own / "unet" / "diffusion_pytorch_model.safetensors"
    from safetensors.torch import load_file, save_file

    tensors = load_file(path)
    tensors["conv_out.bias"] += np.float32(0.5)
    save_file(tensors, path, metadata={"format": "pt"})
    done = bench(*words)  # other weights in the same folder are another run
    assert len(done.records) == 2
    assert len({r.model.weights["files"] for r in done.records}) == 2

"""Build a pipeline from its folder: networks, scheduler, placement in memory."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from layton_bench import UserError
from layton_bench_diffusers.folder import LIBRARIES

if TYPE_CHECKING:
    import torch

    from layton_bench_diffusers.folder import PipelineFolder

__all__ = ["OFFLOADS", "SCHEDULERS", "build", "placement"]

OWN = "own"
SCHEDULERS: Mapping[str, str] = {
    "ddim": "DDIMScheduler",
    "pndm": "PNDMScheduler",
    "euler": "EulerDiscreteScheduler",
    "euler-a": "EulerAncestralDiscreteScheduler",
    "heun": "HeunDiscreteScheduler",
    "dpmpp-2m": "DPMSolverMultistepScheduler",
    "unipc": "UniPCMultistepScheduler",
}
"""Samplers by the name of the option; ``own`` keeps the scheduler of the folder."""

OFFLOADS = ("auto", "none", "model", "sequential")
_HEADROOM_BYTES = 4 << 30  # activations of a few pictures of 1024 px in the image decoder


def build(
    folder: PipelineFolder, *, dtype: torch.dtype, device: str, scheduler: str, offload: str
) -> Any:
    """Build the pipeline on its device, without progress bars.

    Args:
        folder: what to load; nothing is downloaded and no pickle is run.
        dtype: of every network.
        device: as torch writes it.
        scheduler: ``own``, or a name of `SCHEDULERS`.
        offload: ``model`` keeps only the running network on the device, ``sequential`` only the
            running layer. ``auto`` takes the first of none, model and sequential that fits.

    Raises:
        UserError: a file is missing or does not fit, or an option has an unknown value.
    """
    if offload not in OFFLOADS:
        raise UserError(f"offload={offload}", "unknown value", f"Use {', '.join(OFFLOADS)}.")
    folder.files()  # raises where one is missing
    with _no_bars():
        networks = {name: _network(folder, name, dtype) for name in folder.networks()}
        pipeline = _pipeline(folder, networks)
    if scheduler != OWN:
        pipeline.scheduler = _sampler(pipeline.scheduler, scheduler)
    pipeline.set_progress_bar_config(disable=True)
    _place(pipeline, device, offload)
    return pipeline


@contextmanager
def _no_bars() -> Iterator[None]:
    """Turn both libraries' progress bars off while the context is open."""
    loggings = [importlib.import_module(f"{name}.utils.logging") for name in LIBRARIES]
    enabled = [logging for logging in loggings if logging.is_progress_bar_enabled()]
    for logging in enabled:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        for logging in enabled:
            logging.enable_progress_bar()


def _pipeline(folder: PipelineFolder, networks: Mapping[str, Any]) -> Any:
    """Join the networks with what the folder holds beside them: tokenizers and the scheduler."""
    import diffusers

    try:
        return getattr(diffusers, folder.pipeline).from_pretrained(
            folder.path, local_files_only=True, **networks, **folder.kind.load_settings
        )
    except Exception as error:  # diffusers, transformers and tokenizers raise anything
        reason = f"{folder.pipeline} does not load from it ({type(error).__name__}: {error})"
        raise UserError(str(folder.path), " ".join(reason.split()), _WHOLE) from error


def _network(folder: PipelineFolder, name: str, dtype: torch.dtype) -> Any:
    """Load a component; every parameter must be in its file."""
    library, class_name = folder.components[name]
    path = folder.path / name
    network_class: Any = getattr(importlib.import_module(library), class_name, None)
    if not hasattr(network_class, "from_pretrained"):
        raise UserError(
            str(folder.path), f"{library} has no class {class_name}", f"Update {library}."
        )
    key = "dtype" if library == "transformers" else "torch_dtype"
    try:
        network, told = network_class.from_pretrained(
            path,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            **{key: dtype},
        )
    except Exception as error:  # diffusers, transformers and safetensors raise anything
        reason = f"{class_name} does not load from it ({type(error).__name__}: {error})"
        raise UserError(str(path), " ".join(reason.split()), _WHOLE) from error
    lacking = sorted(told["missing_keys"])
    if lacking:  # they would stay random
        reason = f"{len(lacking)} parameters of {class_name} are missing, for example {lacking[0]}"
        raise UserError(str(path), reason, _WHOLE)
    return network.eval()


_WHOLE = "Download or save it again."


def _sampler(own: Any, name: str) -> Any:
    """Return another scheduler with the noise schedule of the pipeline's own."""
    import diffusers

    if name not in SCHEDULERS:
        known = ", ".join((OWN, *SCHEDULERS))
        raise UserError(f"scheduler={name}", "no such scheduler", f"Use {known}.")
    wanted = getattr(diffusers, SCHEDULERS[name])
    is_flow = own.config.get("prediction_type") == "flow_prediction"
    if wanted not in own.compatibles or is_flow:
        raise UserError(
            f"scheduler={name}",
            f"this model works only with {type(own).__name__}",
            f"Use scheduler={OWN}.",
        )
    return wanted.from_config(own.config)


def placement(sizes: Mapping[str, int], free_bytes: int) -> str:
    """Return the placement for networks of these sizes in bytes: none, model or sequential."""
    if sum(sizes.values()) + _HEADROOM_BYTES <= free_bytes:
        return "none"
    return "model" if max(sizes.values()) + _HEADROOM_BYTES <= free_bytes else "sequential"


def _place(pipeline: Any, device: str, offload: str) -> None:
    if offload == "auto":
        offload = _fitting(pipeline, device)
    if offload == "none":
        pipeline.to(device)
        return
    if importlib.util.find_spec("accelerate") is None:
        raise UserError(
            f"offload={offload}",
            "it needs the package accelerate",
            "Run pip install 'layton-bench[diffusers]'.",
        )
    if offload == "model":
        pipeline.enable_model_cpu_offload(device=device)
    else:
        pipeline.enable_sequential_cpu_offload(device=device)


def _fitting(pipeline: Any, device: str) -> str:
    """Return the placement that fits on a CUDA device; ``none`` on other devices."""
    import torch

    if not device.startswith("cuda"):
        return "none"
    sizes = {
        name: sum(p.numel() * p.element_size() for p in part.parameters())
        for name, part in pipeline.components.items()
        if isinstance(part, torch.nn.Module)
    }
    return placement(sizes, torch.cuda.mem_get_info(device)[0])

"""Name → model, with its resize adapter and the user's options; everything checked before work."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from layton_bench.errors import UnknownNameError, UserError, guarded_for_user
from layton_bench.models import Generator, LoadContext, ModelSpec, OptionValue, Tokenizer, adapt
from layton_bench.registry.plugins import Plugins
from layton_bench.suite import Suite
from layton_bench.weights import WeightsStore

_ADAPTED = re.compile(r"(?P<base>.+)@(?P<px>\d+)")


def resolve_model(plugins: Plugins, name: str, suite: Suite) -> ModelSpec:
    """The model ``name`` fit for ``suite``.

    A registered name wins; otherwise ``BASE@<px>`` is BASE behind a resize adapter.

    Raises:
        UnknownNameError: no such model.
        UserError: the model cannot do what the suite asks, or not at its size.
    """
    spec = find_model(plugins, name, size_px=suite.size_px)
    card = spec.card
    if (card.kind == "generator") != (suite.kind == "generation"):
        wants = "a generator" if suite.kind == "generation" else "a tokenizer"
        raise UserError(
            f"model '{name}' on suite '{suite.name}'",
            f"the suite needs {wants}, the model is a {card.kind}",
            "`layton-bench list suites` and `list models` show the kinds.",
        )
    if card.sizes_px and suite.size_px is None and card.kind == "tokenizer":
        raise UserError(
            f"model '{name}' on suite '{suite.name}'",
            "the images of the suite have mixed sizes, and the model was made for fixed ones",
            f"Run it behind a resize adapter: {name}@{card.sizes_px[0]}.",
        )
    if card.kind == "generator" or suite.size_px is not None:
        card.side_px(suite.size_px)
    return spec


def find_model(plugins: Plugins, name: str, *, size_px: int | None = None) -> ModelSpec:
    """The model ``name``, behind a resize adapter where it ends in ``@<px>``.

    Args:
        plugins: where names are looked up.
        name: as typed.
        size_px: side of the pictures asked of a generator behind an adapter.

    Raises:
        UnknownNameError: no such model.
        UserError: the model was not made for that size.
    """
    try:
        return plugins.model(name)
    except UnknownNameError:
        match = _ADAPTED.fullmatch(name)
        if match is None:
            raise
        return adapt(plugins.model(match["base"]), int(match["px"]), size_px)


def model_owner(plugins: Plugins, name: str) -> str:
    """Return who registered a model, or the model behind a resize adapter."""
    try:
        return plugins.model_owner(name)
    except UnknownNameError:
        match = _ADAPTED.fullmatch(name)
        if match is None:
            raise
        return plugins.model_owner(match["base"])


def load_model(
    plugins: Plugins,
    spec: ModelSpec,
    device: str,
    dtype: str,
    options: Mapping[str, OptionValue],
) -> Tokenizer | Generator:
    """Load a model; raises UserError naming it, whatever the plugin raises."""
    weights = WeightsStore(plugins.weights.entries)
    context = LoadContext(device=device, dtype=dtype, weights=weights.find, options=options)
    with guarded_for_user(
        f"model '{spec.card.name}'", "it failed to load", "Check its weights, device and dtype."
    ):
        model = spec.load(context)
    wanted = Tokenizer if spec.card.kind == "tokenizer" else Generator
    if not isinstance(model, wanted):
        raise UserError(
            f"model '{spec.card.name}'",
            f"what it loads is no {spec.card.kind}: a method is missing",
            "Ask the plugin's author; docs/plugins.md has the contract.",
        )
    return model


def parse_options(spec: ModelSpec, settings: Sequence[str]) -> dict[str, OptionValue]:
    """``steps=4`` … → every option of the model, typed as its default; raises UserError."""
    values = dict(spec.options)
    for setting in settings:
        name, separator, text = setting.partition("=")
        if not separator or name not in spec.options:
            known = ", ".join(f"{k}={v}" for k, v in spec.options.items()) or "none"
            raise UserError(
                f"--set {setting}",
                f"model '{spec.card.name}' has no such option",
                f"It has: {known}.",
            )
        values[name] = _typed(spec.options, name, text)
    return values


def _typed(options: Mapping[str, OptionValue], name: str, text: str) -> OptionValue:
    kind = type(options[name])
    try:
        value = kind(text)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(text)
        return value
    except ValueError:
        raise UserError(
            f"--set {name}={text}", f"not a value of type {kind.__name__}", "Give another value."
        ) from None

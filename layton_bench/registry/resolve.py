"""Name → model, with its resize adapter and the user's options; everything checked before work."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from layton_bench.errors import UnknownNameError, UserError
from layton_bench.models import ModelSpec, OptionValue, adapt
from layton_bench.registry.plugins import Plugins
from layton_bench.suite import Suite

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
    # pictures are as large as the generator makes them where the suite leaves the size open
    is_open = card.kind == "generator" and suite.size_px is None
    if card.sizes_px and suite.size_px not in card.sizes_px and not is_open:
        _refuse_size(name, card.sizes_px, suite)
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


def _refuse_size(name: str, sizes_px: tuple[int, ...], suite: Suite) -> None:
    sizes = " and ".join(f"{size} px" for size in sizes_px)
    raise UserError(
        f"model '{name}' on suite '{suite.name}'",
        f"the model was made for {sizes}, the suite has {suite.size_px or 'mixed'} px",
        f"Run it behind a resize adapter: {name}@{sizes_px[0]}.",
    )


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

"""Baselines without weights: image codecs, the identity, and a resize alone.

    identity            the 8-bit pixels themselves
    resize-N            down to N × N px and up again: the loss of a resize adapter alone
    FORMAT-qQ           jpeg-q10, webp-q30: a codec at a quality
    FORMAT@BYTESB       avif@448B: the best file of at most that many bytes

Formats: jpeg, jpeg-optimized, jpeg2000, webp, avif. docs/models/codecs.md has the exact settings.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from layton_bench import ModelCard, ModelPattern, ModelSpec, UserError, hookimpl

if TYPE_CHECKING:
    from layton_bench import LoadContext, Tokenizer
    from layton_bench_codecs.formats import Format

_FORMAT = r"(?P<format>jpeg|jpeg-optimized|jpeg2000|webp|avif)"
_SOURCE = "https://pillow.readthedocs.io/en/stable/handbook/image-file-formats.html"


@hookimpl
def layton_bench_register_models(register: Callable[[ModelSpec | ModelPattern], None]) -> None:
    """Register the identity and three families of names."""
    register(
        ModelSpec(
            card=ModelCard(
                name="identity",
                kind="tokenizer",
                family="identity",
                summary="the 8-bit pixels themselves, 24 bits per pixel: every metric at its best",
            ),
            load=_load_identity,
        )
    )
    register(
        ModelPattern(
            pattern=re.compile(r"resize-(?P<side>\d+)"),
            examples=("resize-256", "resize-512"),
            summary="down to N × N px and up again: the loss of a resize adapter alone",
            make_spec=_resize_spec,
        )
    )
    register(
        ModelPattern(
            pattern=re.compile(_FORMAT + r"-q(?P<quality>\d+)"),
            examples=("jpeg-q10", "jpeg2000-q30", "webp-q30", "avif-q20"),
            summary="an image codec at a quality",
            make_spec=_quality_spec,
        )
    )
    register(
        ModelPattern(
            pattern=re.compile(_FORMAT + r"@(?P<budget>\d+)B"),
            examples=("webp@448B", "avif@448B", "jpeg2000@448B", "jpeg@1024B"),
            summary="an image codec at a byte budget: the best quality and scale that fit",
            make_spec=_budget_spec,
        )
    )


def _load_identity(context: LoadContext) -> Tokenizer:  # noqa: ARG001 - the load contract
    from layton_bench_codecs.models import Identity

    return Identity()


def _resize_spec(match: re.Match[str]) -> ModelSpec:
    side = int(match["side"])
    if side == 0:
        raise UserError(f"model '{match[0]}'", "the side must be at least 1 px", "Try resize-256.")

    def load(context: LoadContext) -> Tokenizer:  # noqa: ARG001 - the load contract
        from layton_bench import ResizeAdapter
        from layton_bench_codecs.models import Identity

        return ResizeAdapter(Identity(), side)

    card = ModelCard(
        name=match[0],
        kind="tokenizer",
        family="resize",
        summary=f"down to {side} × {side} px and up again, antialiased bicubic both ways",
        bits_per_image=24.0 * side * side,
    )
    return ModelSpec(card=card, load=load)


def _quality_spec(match: re.Match[str]) -> ModelSpec:
    form, quality = _format(match), int(match["quality"])
    if quality not in form.qualities:
        first, last = form.qualities[0], form.qualities[-1]
        raise UserError(
            f"model '{match[0]}'",
            f"the quality of {form.title} ({form.quality_meaning}) goes from {first} to {last}",
            f"Try {form.name}-q{min(max(quality, first), last)}.",
        )

    def load(context: LoadContext) -> Tokenizer:  # noqa: ARG001 - the load contract
        from layton_bench_codecs.formats import encode_at_quality
        from layton_bench_codecs.models import Codec

        return Codec(form, lambda picture: encode_at_quality(picture, form, quality))

    summary = f"{form.title} at {form.quality_meaning} {quality}"
    return ModelSpec(card=_card(match[0], form, summary), load=load)


def _budget_spec(match: re.Match[str]) -> ModelSpec:
    from layton_bench_codecs.budget import check_budget, encode_within

    form, budget = _format(match), int(match["budget"])
    check_budget(form, budget)

    def load(context: LoadContext) -> Tokenizer:  # noqa: ARG001 - the load contract
        from layton_bench_codecs.models import Codec

        return Codec(form, lambda picture: encode_within(picture, form, budget))

    summary = f"{form.title}: the best file of at most {budget} bytes per image"
    return ModelSpec(card=_card(match[0], form, summary), load=load)


def _format(match: re.Match[str]) -> Format:
    from layton_bench_codecs.formats import FORMATS

    form = FORMATS[match["format"]]
    if not form.is_available():
        raise UserError(
            f"model '{match[0]}'",
            f"this Pillow was built without {form.title}",
            "Install the wheel from PyPI: python -m pip install --force-reinstall 'pillow>=11.3'.",
        )
    return form


def _card(name: str, form: Format, summary: str) -> ModelCard:
    return ModelCard(
        name=name,
        kind="tokenizer",
        family=form.name,
        summary=summary,
        source=_SOURCE,
        notes=f"encoded by {form.encoder()}; bits are those of the whole file",
    )

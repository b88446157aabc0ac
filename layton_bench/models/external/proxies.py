"""A Tokenizer and a Generator that send their work to a child."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import BaseModel, Field, StrictInt, ValidationError

from layton_bench.errors import ModelOutputError, pydantic_problem
from layton_bench.models.base import CallCost
from layton_bench.models.external.arrays import ArrayFolder, to_array, to_tensor
from layton_bench.models.external.session import Session
from layton_bench.types import Codes, Prompt, Stage

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


class ExternalTokenizer:
    """A tokenizer in a separate process.

    Args:
        session: with its child.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.environment: Mapping[str, str] = session.environment

    def encode(self, images: Tensor) -> Codes:
        """Encode float32 images in [-1, 1], (B, 3, H, W); raises ModelOutputError."""
        height, width = images.shape[-2:]
        with self._session.ask("encode", {"images": to_array(images.float())}) as reply:
            return _codes(self._session.arrays, reply, (height, width))

    def decode(self, codes: Codes, seeds: Sequence[int]) -> Tensor:
        """Decode to images (B, 3, H, W) in [-1, 1]; raises ModelOutputError."""
        arrays, members = _message(codes)
        with self._session.ask(
            "decode", arrays, seeds=list(seeds), size_px=list(codes.size_px), **members
        ) as reply:
            return to_tensor(self._session.arrays.take(reply, "images", kinds="f"))


class ExternalGenerator:
    """A generator in a separate process.

    Args:
        session: with its child.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._cost = CallCost()
        self.environment: Mapping[str, str] = session.environment

    def generate(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> Tensor:
        """Draw images (B, 3, H, W) in [-1, 1]; raises ModelOutputError."""
        asked = [asdict(prompt) for prompt in prompts]
        with self._session.ask("generate", {}, prompts=asked, seeds=list(seeds)) as reply:
            self._cost = _cost(reply)
            return to_tensor(self._session.arrays.take(reply, "images", kinds="f"))

    def latest_cost(self) -> CallCost:
        """Return the cost of the child's latest call."""
        return self._cost


Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Cost(BaseModel):
    """Members of an answer that describe its cost."""

    seconds: dict[Stage, Amount] = {}
    nfe: Annotated[StrictInt, Field(ge=0)] | None = None
    peak_host_mib: Amount | None = None
    peak_device_mib: Amount | None = None


def _message(codes: Codes) -> tuple[dict[str, NDArray[Any]], dict[str, object]]:
    """Return codes as arrays and other members of a message."""
    if codes.codes is not None:
        return {"codes": to_array(codes.codes)}, {"codebook_size": codes.codebook_size}
    if codes.latents is not None:
        return {"latents": to_array(codes.latents)}, {}
    payloads = codes.payloads or ()
    joined = np.frombuffer(b"".join(payloads), dtype=np.uint8)
    return {"payloads": joined}, {"lengths": [len(payload) for payload in payloads]}


def _codes(arrays: ArrayFolder, reply: Mapping[str, Any], size_px: tuple[int, int]) -> Codes:
    kinds = [kind for kind in ("codes", "latents", "payloads") if kind in reply]
    if len(kinds) != 1:
        raise ModelOutputError("its answer must hold exactly one of codes, latents and payloads")
    if kinds == ["codes"]:
        size = reply.get("codebook_size")
        if type(size) is not int or size < 1:
            raise ModelOutputError("its answer has codes but no codebook_size")
        codes = to_tensor(arrays.take(reply, "codes", kinds="iu").astype(np.int64))
        return Codes(size_px=size_px, codes=codes, codebook_size=size)
    if kinds == ["latents"]:
        return Codes(size_px=size_px, latents=to_tensor(arrays.take(reply, "latents", kinds="f")))
    joined = arrays.take(reply, "payloads", kinds="u").tobytes()
    lengths = reply.get("lengths")
    if (
        not isinstance(lengths, list)
        or not all(type(length) is int and length >= 0 for length in lengths)
        or sum(lengths) != len(joined)
    ):
        raise ModelOutputError("its answer has payloads whose lengths do not add up")
    borders = pairwise(accumulate(lengths, initial=0))
    return Codes(size_px=size_px, payloads=tuple(joined[a:b] for a, b in borders))


def _cost(reply: Mapping[str, Any]) -> CallCost:
    """Return the cost that an answer describes; raises ModelOutputError for a wrong member."""
    told = {name: reply[name] for name in _Cost.model_fields if name in reply}
    try:
        return CallCost(**dict(_Cost.model_validate(told)))
    except ValidationError as error:
        raise ModelOutputError(f"its answer: {pydantic_problem(error)}") from None

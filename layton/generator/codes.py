"""Drawing image codes: one prefill, then one token per step for all images, over a static cache.

The conditions are classes or texts; each image has a condition and a seed. A condition that several
images share is run once. So is the unconditional prefix of each prefix length. The noise of a draw
depends only on the image's seed, the step and the token (`sampling.gumbel_noise`).

Axes: P conditions, B images, R cache rows (B conditional, then B unconditional), N image tokens,
V codes.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from layton.errors import PromptError
from layton.generator.config import GPTConfig, Guidance, Sampling
from layton.generator.embedders import CaptionEmbedder
from layton.generator.sampling import choose, guide, gumbel_noise, seed_keys
from layton.generator.text import left_pad
from layton.generator.transformer import GPT, KVCache, Prefix
from layton.tokenizer import check_seed

__all__ = ["CodeGenerator", "Conditions", "check_conditions", "check_seeds"]

Conditions = Tensor | Sequence[Tensor]
"""Classes, int64 (P,); or the features of each text, P float tensors (n, text_dim)."""

_NUM_LENGTHS = 2  # cache lengths that a compiled step is specialised for, each a compilation


class _Step(Protocol):
    def __call__(
        self, tokens: Tensor, position: Tensor, cache: KVCache, num_seen: int
    ) -> Tensor: ...


class CodeGenerator:
    """Draws codes with a transformer; keeps its cache from call to call.

    Args:
        model: in evaluation mode. On a CPU, `packed.pack_linears` makes it several times faster.
        compiled: compile the decode step (with CUDA graphs on a GPU). The first call takes minutes.
            A batch is then padded to the next size that was run before, to avoid compiling again.
    """

    def __init__(self, model: GPT, *, compiled: bool = False) -> None:
        self.model = model
        self.is_compiled = compiled
        self._step: _Step = model.step
        if compiled:
            mode = "reduce-overhead" if model.output.weight.is_cuda else "default"
            self._step = torch.compile(model.step, mode=mode, fullgraph=True, dynamic=False)
        self._cache: KVCache | None = None
        self._compiled_batches: set[int] = set()

    def generate(
        self,
        conditions: Conditions,
        *,
        seeds: Sequence[int],
        condition_of: Sequence[int] | None = None,
        guidance: Guidance | None = None,
        sampling: Sampling | None = None,
    ) -> Tensor:
        """Draw the codes of one image per seed.

        Args:
            conditions: P classes, or P texts.
            seeds: one per image.
            condition_of: the condition of each image; None means that image i has condition i.
            guidance: None is off.
            sampling: None samples from the distribution as it is.

        Returns:
            int64 (B, N), on the model's device.

        Raises:
            PromptError: a condition the model cannot take, or counts that do not agree.
        """
        owners = list(range(len(conditions)) if condition_of is None else condition_of)
        check_conditions(conditions, self.model.config)
        check_seeds(len(owners), seeds)
        _check_owners(owners, len(conditions))
        config = self.model.config
        count = len(owners)
        codes = torch.empty(count, config.num_tokens, dtype=torch.int64, device=self._device)
        weights = (guidance or Guidance()).weights(config.num_tokens)
        if self.is_compiled:
            padded = min((size for size in self._compiled_batches if size >= count), default=count)
            self._compiled_batches.add(padded)
            padding = padded - count
            owners, seeds = owners + owners[-1:] * padding, [*seeds, *[seeds[-1]] * padding]
        with torch.inference_mode():
            prefix = self._prefill(conditions, owners, is_guided=_last_guided(weights) >= 0)
            keys = seed_keys(seeds, self._device)
            self._decode(codes, prefix, keys, weights, sampling or Sampling())
        return codes

    @property
    def _device(self) -> torch.device:
        return self.model.tok_embeddings.weight.device

    def _prefill(self, conditions: Conditions, owners: Sequence[int], *, is_guided: bool) -> Prefix:
        """The prefix of each row: of the images' conditions, then, if guided, unconditional."""
        if isinstance(conditions, Tensor):
            return self._prefill_classes(conditions, owners, is_guided=is_guided)
        return self._prefill_texts(conditions, owners, is_guided=is_guided)

    def _prefill_classes(
        self, classes: Tensor, owners: Sequence[int], *, is_guided: bool
    ) -> Prefix:
        null = classes.new_full((1,), self.model.config.num_classes)
        embedded = self.model.cls_embedding(torch.cat((classes, null)).to(self._device))
        rows = [*owners, *[len(classes)] * (len(owners) * is_guided)]
        return self.model.prefill(embedded).select(rows)

    def _prefill_texts(
        self, texts: Sequence[Tensor], owners: Sequence[int], *, is_guided: bool
    ) -> Prefix:
        embedder = self.model.cls_embedding
        assert isinstance(embedder, CaptionEmbedder)
        # the published models hide the same positions from the null text as from the text
        lengths = sorted({len(text) for text in texts}) if is_guided else []
        nulls = [embedder.null(length) for length in lengths]
        like = embedder.uncond_embedding
        features, mask = left_pad([*(text.to(like) for text in texts), *nulls])
        null_of = {length: len(texts) + i for i, length in enumerate(lengths)}
        rows = [*owners, *(null_of[len(texts[owner])] for owner in owners if is_guided)]
        return self.model.prefill(embedder(features), mask).select(rows)

    def _decode(
        self,
        codes: Tensor,
        prefix: Prefix,
        keys: Tensor,
        weights: Sequence[float],
        sampling: Sampling,
    ) -> None:
        cache = self._cache_of(len(prefix.bias))
        cache.fill(prefix)
        batch, num_tokens = len(keys), codes.shape[1]
        positions = torch.arange(num_tokens, device=codes.device)
        last_guided = _last_guided(weights)
        logits = prefix.logits
        for i, weight in enumerate(weights):
            guided = guide(logits[:batch], logits[batch:], weight) if weight != 1 else logits
            noise = None if sampling.is_greedy else gumbel_noise(keys, i, logits.shape[-1])
            tokens = choose(guided[:batch], sampling, noise)
            codes[:, i] = tokens[: len(codes)]
            if i + 1 == num_tokens:
                return
            if i >= last_guided and not self.is_compiled:
                cache = cache.rows(batch)  # the unconditional half is not needed again
            tokens = tokens.repeat(cache.num_rows // batch)
            logits = self._step(tokens, positions[i : i + 1], cache, self._num_seen(i))

    def _cache_of(self, num_rows: int) -> KVCache:
        if self._cache is None or self._cache.num_rows != num_rows:
            self._cache = self.model.new_cache(num_rows)
            if self.is_compiled:  # CUDA graphs then write to it instead of copying it
                for tensor in (self._cache.keys, self._cache.values, self._cache.bias):
                    torch._dynamo.mark_static_address(tensor)
        return self._cache

    def _num_seen(self, position: int) -> int:
        """Image tokens that the step at this position attends to."""
        needed = position + 1
        if not self.is_compiled:
            return needed
        length = -(-self.model.config.num_tokens // _NUM_LENGTHS)
        return min(self.model.config.num_tokens, -(-needed // length) * length)


def _last_guided(weights: Sequence[float]) -> int:
    """The last step with w ≠ 1; −1 if there is none."""
    return max((i for i, weight in enumerate(weights) if weight != 1), default=-1)


def check_conditions(conditions: Conditions, config: GPTConfig) -> None:
    """Refuse conditions that do not fit the model.

    Raises:
        PromptError: the wrong kind, a class out of range, or features of the wrong size.
    """
    is_class = isinstance(conditions, Tensor)
    if is_class != (config.condition == "class"):
        kind = "a class index" if config.condition == "class" else "text features"
        raise PromptError("conditions", f"the model takes {kind}", "Pass those.")
    if isinstance(conditions, Tensor):
        _check_classes(conditions, config)
    else:
        for i, features in enumerate(conditions):
            _check_features(features, i, config)


def _check_classes(classes: Tensor, config: GPTConfig) -> None:
    if classes.ndim != 1 or classes.dtype != torch.int64:
        raise PromptError(
            "classes", f"shape {tuple(classes.shape)}, {classes.dtype}", "Pass int64 (P,)."
        )
    wrong = classes[(classes < 0) | (classes >= config.num_classes)].tolist()
    if wrong:
        raise PromptError(
            f"class {wrong[0]}", "is out of range", f"Classes are 0 … {config.num_classes - 1}."
        )


def _check_features(features: Tensor, index: int, config: GPTConfig) -> None:
    if features.ndim != 2 or features.shape[1] != config.text_dim:
        raise PromptError(
            f"prompt {index}",
            f"features of shape {tuple(features.shape)}",
            f"Pass (n, {config.text_dim}).",
        )
    if not 1 <= len(features) <= config.num_prefix_tokens:
        raise PromptError(
            f"prompt {index}",
            f"{len(features)} text tokens",
            f"The model takes 1 to {config.num_prefix_tokens}.",
        )


def check_seeds(num_images: int, seeds: Sequence[int]) -> None:
    """Require one seed per image.

    Raises:
        ConfigError: a seed of more than 64 bits.
        PromptError: no image at all, or another number of seeds.
    """
    if not num_images:
        raise PromptError("prompts", "none given", "Pass at least one.")
    if num_images != len(seeds):
        raise PromptError("seeds", f"{len(seeds)} for {num_images} images", "Pass one per image.")
    for seed in seeds:
        check_seed(seed)


def _check_owners(owners: Sequence[int], num_conditions: int) -> None:
    wrong = [owner for owner in owners if not 0 <= owner < num_conditions]
    if wrong:
        raise PromptError(
            "condition_of", f"there is no condition {wrong[0]}", f"Use 0 … {num_conditions - 1}."
        )

"""Which way of measuring reaches a published number?

The same model is scored under every crop × rounding rule × variant of the metric that published
scripts use; each combination is set against the number, nearest first. A crop changes what the
model sees and costs a pass; rounding rules and variants share the pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from layton_bench.datasets import fingerprint, load, sample_digests
from layton_bench.errors import UserError
from layton_bench.images import ROUNDING_RULES, RoundingRule, to_uint8
from layton_bench.machine import (
    Clock,
    Reporter,
    Silent,
    cache_folder,
    resolve_device,
    starting_batch_size,
    torch_dtype,
)
from layton_bench.metrics import FeatureRunner, Metric, MetricContext, ReferenceCache, Viewed
from layton_bench.models import Tokenizer
from layton_bench.registry import parse_options, resolve_model, unavailable_reason
from layton_bench.run.engine.candidates import Reconstruct
from layton_bench.run.engine.gallery import Gallery
from layton_bench.run.engine.loop import Evaluation, evaluate
from layton_bench.run.execution import load_model
from layton_bench.run.plan import RunOptions, select
from layton_bench.seeds import sample_seed
from layton_bench.types import MetricValue, ScoredBatch
from layton_bench.weights import WeightsStore

if TYPE_CHECKING:
    from torch import Tensor

    from layton_bench.registry import Plugins
    from layton_bench.suite import Suite

VARIANTS: Mapping[str, tuple[str, ...]] = {
    "psnr": ("psnr", "psnr-pooled"),
    "ssim": ("ssim", "ssim-skimage", "ssim-range2"),
    "ms-ssim": ("ms-ssim",),
    "lpips": ("lpips-alex", "lpips-vgg", "lpips-squeeze"),
    "fid": ("fid", "clean-fid"),
}
"""Name in papers → what published scripts compute under that name."""

_PAPER_NAMES = {"rfid": "fid", "lpips-alex": "lpips", "lpips-vgg": "lpips", "clean-fid": "fid"}
_CROPS_LEFT_OUT = ("native",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A published evaluation script: its crop, rounding rule and metric variants."""

    name: str
    protocol: str
    rounding: RoundingRule
    variants: Mapping[str, str]


SCRIPTS = (
    Script(
        name="layton-bench canonical", protocol="canonical@1", rounding="round",
        variants={"psnr": "psnr", "ssim": "ssim", "fid": "fid"},
    ),
    Script(
        name="LlamaGen", protocol="adm-center-crop@1", rounding="floor-128",
        variants={"psnr": "psnr", "ssim": "ssim-range2", "fid": "fid"},
    ),
    Script(
        name="TiTok", protocol="canonical@1", rounding="round",
        variants={"fid": "fid"},
    ),
    Script(
        name="taming-transformers", protocol="taming-center-crop@1", rounding="truncate",
        variants={"fid": "fid"},
    ),
)  # fmt: skip
"""Scripts by name; docs/protocols.md has their sources."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """One way of measuring and what it gives.

    Attributes:
        protocol: the crop.
        rounding: from float to uint8.
        metric: the variant.
        value: what it gives; None where it is not available, with the reason in ``note``.
        gap: value − published number.
        scripts: published scripts that measure so.
        note: what must be known beside the value.
    """

    protocol: str
    rounding: RoundingRule
    metric: str
    value: float | None
    gap: float | None
    scripts: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Every combination for one published number, nearest first."""

    metric: str
    reported: float
    n: int
    combinations: tuple[Combination, ...]


def paper_metric(name: str) -> str:
    """``rfid`` → ``fid`` …; raises UserError for a metric without known variants."""
    found = _PAPER_NAMES.get(name.lower(), name.lower())
    if found not in VARIANTS:
        raise UserError(
            f"metric '{name}'", "no published variants of it are known",
            f"Use one of {', '.join(VARIANTS)}.",
        )  # fmt: skip
    return found


def explain_gap(
    plugins: Plugins,
    suite_name: str,
    model_name: str,
    reported: Mapping[str, float],
    options: RunOptions,
    *,
    settings: Sequence[str] = (),
    statistics: Sequence[Path] = (),
    reporter: Reporter | None = None,
) -> list[Explanation]:
    """Score a tokenizer under every combination and set each against published numbers.

    Args:
        plugins: where names are looked up.
        suite_name: gives the data set and the size; its own protocol is one among the others.
        model_name: a tokenizer.
        reported: metric as papers name it → published number.
        options: how to run; ``metrics`` and ``overwrite`` are not used.
        settings: ``name=value`` for the model's own options.
        statistics: other reference sets of FID, as ``.npz`` files (a training set's, ADM's
            reference batches): each is one more variant.
        reporter: told how it goes on, pass by pass.

    Raises:
        UserError: unknown names, missing data, a metric without known variants.
    """
    wanted = {paper_metric(name): value for name, value in reported.items()}
    variants = {name: _variants(name, statistics) for name in wanted}
    suite = plugins.suites[suite_name]
    crops = [p for p in plugins.protocols.entries.values() if p.name not in _CROPS_LEFT_OUT]
    passes = _Passes(plugins, suite, model_name, variants, options, settings, reporter or Silent())
    values: dict[tuple[str, RoundingRule, str], MetricValue] = {}
    for crop in crops:
        for (rounding, metric), value in passes.run(crop.id).items():
            values[crop.id, rounding, metric] = value
    names = passes.names
    return [_explain(m, number, names[m], values) for m, number in wanted.items()]


def _variants(metric: str, statistics: Sequence[Path]) -> tuple[str, ...]:
    """Variants of a metric; FID has one more of each convention for every file of statistics."""
    own = VARIANTS[metric]
    if metric != "fid":
        return own
    return (*own, *(f"{name}@{path}" for path in statistics for name in own))


def _explain(
    metric: str,
    reported: float,
    variants: Sequence[str],
    values: Mapping[tuple[str, RoundingRule, str], MetricValue],
) -> Explanation:
    chosen = {key: v for key, v in values.items() if key[2] in variants}
    made = [_combination(metric, reported, *key, value) for key, value in chosen.items()]
    made.sort(key=lambda c: (c.gap is None, abs(c.gap or 0.0)))
    n = max((value.n for value in chosen.values()), default=0)
    return Explanation(metric=metric, reported=reported, n=n, combinations=tuple(made))


def _combination(
    metric: str,
    reported: float,
    protocol: str,
    rounding: RoundingRule,
    variant: str,
    value: MetricValue,
) -> Combination:
    scripts = tuple(
        s.name for s in SCRIPTS
        if (s.protocol, s.rounding, s.variants.get(metric)) == (protocol, rounding, variant)
    )  # fmt: skip
    gap = None if value.value is None else value.value - reported
    return Combination(
        protocol=protocol, rounding=rounding, metric=variant, value=value.value, gap=gap,
        scripts=scripts, note=value.note,
    )  # fmt: skip


def rerounded(rounding: RoundingRule, batch: ScoredBatch) -> ScoredBatch:
    """The batch with the decoder's floats rounded by another rule; once a batch and rule."""

    def make() -> ScoredBatch:
        decoded = cast("Tensor", batch.memo["decoded"])
        return ScoredBatch(
            keys=batch.keys,
            references=batch.references,
            candidates=to_uint8(decoded.float(), rounding).cpu(),
            codes=batch.codes,
        )

    return batch.shared(("rounded", rounding), make)


class _Passes:
    """One model and data set, evaluated once for each crop."""

    def __init__(
        self,
        plugins: Plugins,
        suite: Suite,
        model_name: str,
        variants: Mapping[str, Sequence[str]],
        options: RunOptions,
        settings: Sequence[str],
        reporter: Reporter,
    ) -> None:
        self._plugins, self._suite, self._options = plugins, suite, options
        self._reporter = reporter
        spec = resolve_model(plugins, model_name, suite)
        self._name = spec.card.name
        self._device = resolve_device(options.device)
        torch_dtype(options.dtype)
        self._dataset = plugins.open_dataset(suite.dataset, options.data_root)
        self._items = select(self._dataset.items(), options.limit)
        self._fingerprint = fingerprint(self._dataset, self._items, reporter=reporter)
        found = {m: [plugins.metric(name) for name in names] for m, names in variants.items()}
        self.names = {m: [spec.name for spec in specs] for m, specs in found.items()}
        self._specs = {spec.name: spec for specs in found.values() for spec in specs}
        loaded = load_model(
            plugins, spec, self._device, options.dtype, parse_options(spec, settings)
        )
        assert isinstance(loaded, Tokenizer)
        self._tokenizer = loaded

    def run(self, protocol: str) -> dict[tuple[RoundingRule, str], MetricValue]:
        """Every rounding rule and variant under one crop."""
        features, metrics, missing = self._metrics(protocol)
        clock = Clock(device=self._device)
        seed_of = partial(sample_seed, self._suite.name, user_seed=self._options.seed)
        reconstruct = Reconstruct(
            self._tokenizer, seed_of=seed_of, rounding="round", clock=clock, device=self._device
        )
        self._reporter.start(f"{self._name}, {protocol}", len(self._items))
        try:
            self._evaluate(protocol, reconstruct, metrics, clock)
        finally:
            self._reporter.finish()
        features.save()
        values = {_key(text): metric.compute() for text, metric in metrics.items()}
        return values | {
            (rule, name): MetricValue(value=None, n=0, note=reason)
            for name, reason in missing.items()
            for rule in ROUNDING_RULES
        }

    def _metrics(self, protocol: str) -> tuple[FeatureRunner, dict[str, Metric], dict[str, str]]:
        features = FeatureRunner(
            self._plugins.backbones.entries,
            WeightsStore(self._plugins.weights.entries).find,
            device=self._device,
            cache=ReferenceCache(
                cache_folder() / "features",
                fingerprint=self._fingerprint,
                contents=sample_digests(self._dataset, self._items),
                protocol=f"{protocol}:{self._suite.size_px}",
            ),
        )
        context = MetricContext(features=features, device=self._device, seed=self._options.seed)
        missing = {
            name: f"unavailable: {reason}"
            for name, spec in self._specs.items()
            if (reason := unavailable_reason(self._plugins, spec))
        }
        metrics: dict[str, Metric] = {
            f"{rule} {name}": Viewed(spec.make(context), partial(rerounded, rule))
            for name, spec in self._specs.items()
            for rule in ROUNDING_RULES
            if name not in missing
        }
        return features, metrics, missing

    def _evaluate(
        self,
        protocol: str,
        reconstruct: Reconstruct,
        metrics: Mapping[str, Metric],
        clock: Clock,
    ) -> Evaluation:
        size_px = self._suite.size_px or 0
        batches = load(
            self._dataset,
            self._items,
            protocol=self._plugins.protocols[protocol],
            size_px=size_px,
            batch_size=self._options.batch_size or starting_batch_size(self._device, size_px),
            num_workers=self._options.num_workers,
        )
        with closing(batches):
            done = evaluate(
                batches, reconstruct, metrics, clock=clock, gallery=Gallery(None),
                strict=self._options.strict, on_progress=self._reporter.advance,
            )  # fmt: skip
        if done.interrupted:
            raise KeyboardInterrupt
        return done


def _key(text: str) -> tuple[RoundingRule, str]:
    rule, _, name = text.partition(" ")
    return cast("RoundingRule", rule), name

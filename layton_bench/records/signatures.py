"""A metric's signature: one short text with everything that affects its value.

sacreBLEU does the same for BLEU.
"""

from __future__ import annotations

from layton_bench.metrics import MetricSpec
from layton_bench.suite import Suite, SuiteKind

_PREFIX = {"reconstruction": "r", "generation": "g"}


def metric_label(spec: MetricSpec, kind: SuiteKind) -> str:
    """Return a metric's label; ``{kind}FID`` becomes rFID or gFID."""
    return spec.label.replace("{kind}", _PREFIX[kind])


def signature(spec: MetricSpec, suite: Suite, n: int) -> str:
    """Return the signature of ``spec`` over ``n`` samples of ``suite``.

    ``rfid|ref:in1k-val|crop:adm-center-crop@1|px:256|resize:tf1|…|n:50000|u8:round|v1``
    """
    name = spec.name if spec.name != "fid" else f"{_PREFIX[suite.kind]}fid"
    parts = [name, f"ref:{suite.reference}", f"crop:{suite.protocol}"]
    if suite.size_px is not None:
        parts.append(f"px:{suite.size_px}")
    parts += [f"{key}:{value}" for key, value in spec.signature.items()]
    return "|".join([*parts, f"n:{n}", f"u8:{suite.rounding}", f"v{spec.version}"])

"""Records and boards for the tests of the leaderboard."""

from __future__ import annotations

from fakes import record, result

from layton_bench.leaderboard.board import Board, boards
from layton_bench.records.record import RunRecord

FID = {"label": "rFID", "direction": "lower", "unit": "", "signature": "rfid|n:10|v1"}
BIAS = {"label": "Bias", "direction": "zero", "unit": "", "signature": "bias|n:10|v1"}
USAGE = {"label": "Usage", "direction": "none", "unit": "%", "signature": "usage|n:10|v1"}


def psnr(model: str, value: float | None, number: int = 1, **changes) -> RunRecord:
    metrics = {"psnr": result(value, **changes.pop("result", {}))}
    return record(model, number=number, metrics=metrics, **changes)


def one(records: list[RunRecord], **asked) -> Board:
    (board,) = boards(records, **asked)
    return board


def names(board: Board) -> list[str]:
    return [r.model.name for r in board.records]


def rows(markdown: str) -> list[list[str]]:
    """Cells of every table row but the alignment."""
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in lines
        if not line.startswith("|:-")
    ]


def scored(
    model: str, value: float | None, low: float | None = None, high: float | None = None, **changes
) -> RunRecord:
    known = {"low": low, "high": high, **changes.pop("result", {})}
    return record(model, metrics={"psnr": result(value, **known)}, **changes)


def rated(model: str, bits: float | None, psnr: float, lpips: float, number: int) -> RunRecord:
    lower = {"label": "LPIPS", "direction": "lower", "unit": "", "signature": "lpips|v1"}
    metrics = {"psnr": result(psnr), "lpips": result(lpips, **lower)}
    return record(model, number=number, bits_per_image=bits, metrics=metrics)

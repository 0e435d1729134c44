"""Backward error against the offset of x, in logarithms: the picture that tells sums of squares from deviations.

An honest variance does not feel the offset: slope 0. One that subtracts E[x]² from E[x²] loses as many digits as the
offset has: its backward error grows with it, slope 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from normcheck.case import Method, Output
from normcheck.report import EXPECTED, Comparison, Report
from normcheck.reports.figures import place
from normcheck.reports.text import roundoffs

LEAST_BETA, MOST_BETA = 0.01, 1e9  # what is beyond is drawn at the edge
LEAST_OFFSET = 0.1
RELEVANT = 4.0  # offsets below it hardly cost a digit
DECADE = 10.0  # by how much offsets must differ for a slope


@dataclass(frozen=True, slots=True, kw_only=True)
class Offsets:
    """The charts, one for each method, with what each shows in words; ``missing`` says why there is none."""

    charts: list[dict[str, Any]]
    words: list[tuple[str, list[str]]]
    missing: str


def offsets(report: Report) -> Offsets:
    """What is drawn of ``report``: y of each case whose offset is known."""
    results = [
        result
        for result in report.by_oracle()
        if result.output is Output.Y
        and result.case.id in report.offsets
        and result.backend != EXPECTED
        and result.verdict.compared
        and result.backward_error is not None
    ]
    charts, words = [], []
    everyone = list(dict.fromkeys(result.backend for result in results))
    for method in dict.fromkeys(result.case.method for result in results):
        own = [result for result in results if result.case.method is method]
        if _spans_a_decade([report.offsets[result.case.id] for result in own]):
            charts.append(_chart(method, own, report, everyone))
            words.append((f"{method} norm", list(_words(own, report))))
    if charts:
        return Offsets(charts=charts, words=words, missing="")
    missing = (
        "This run has no two cases whose offsets, the ratio of mean to standard deviation, differ by a factor of 10: "
        "how the error grows with the offset cannot be shown. Those of --fixture core differ so."
    )
    return Offsets(charts=[], words=[], missing=missing)


def slope(points: Sequence[tuple[float, float]]) -> float | None:
    """The slope of log β over log offset, by least squares; None where offsets do not span a decade."""
    logs = [
        (math.log(offset), math.log(max(beta, LEAST_BETA)))
        for offset, beta in points
        if offset >= RELEVANT and math.isfinite(beta)
    ]
    if not _spans_a_decade([math.exp(x) for x, _ in logs]):
        return None
    mean_x, mean_y = (sum(values) / len(logs) for values in zip(*logs, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _ in logs)
    found: float = sum((x - mean_x) * (y - mean_y) for x, y in logs) / spread
    return found


def _spans_a_decade(values: Sequence[float]) -> bool:
    known = [value for value in values if value > 0]
    return bool(known) and max(known) >= DECADE * min(known)


def _chart(
    method: Method, results: Sequence[Comparison], report: Report, everyone: Sequence[str]
) -> dict[str, Any]:
    """A chart; a backend has the same colour, its turn, in all of them."""
    names = list(dict.fromkeys(result.backend for result in results))
    found = [report.offsets[result.case.id] for result in results]
    right = 10.0 ** math.ceil(math.log10(max(*found, DECADE)))
    limits = [result.allowed for result in results if result.allowed]
    points: list[dict[str, Any]] = [
        {
            "offset": max(offset, LEAST_OFFSET),
            "beta": min(max(result.backward_error or 0.0, LEAST_BETA), MOST_BETA),
            "backend": result.backend,
            "case": place(result),
            "shownOffset": f"{offset:.3g}",
            "shownBeta": roundoffs(result.backward_error),
            "allowed": roundoffs(result.allowed),
            "verdict": result.verdict.value,
        }
        for result, offset in zip(results, found, strict=True)
    ]
    top = 10.0 ** math.ceil(math.log10(max([*(p["beta"] for p in points), *limits, 100.0])))
    return {
        "method": f"{method} norm",
        "points": points,
        "limits": [min(limits, default=None), max(limits, default=None)],
        "offset": [LEAST_OFFSET, right],
        "beta": [LEAST_BETA, top],
        "backends": names,
        "turns": [everyone.index(name) for name in names],
    }


def _words(results: Sequence[Comparison], report: Report) -> Any:
    """A sentence for each backend."""
    for backend in dict.fromkeys(result.backend for result in results):
        own = [result for result in results if result.backend == backend]
        points = [(report.offsets[result.case.id], result.backward_error or 0.0) for result in own]
        worst = max(own, key=lambda result: result.backward_error or 0.0)
        text = (
            f"{backend}: backward error up to {roundoffs(worst.backward_error)} (allowed {roundoffs(worst.allowed)}) "
            f"at offset {report.offsets[worst.case.id]:.3g}"
        )
        if (found := slope(points)) is None:
            yield f"{text}; too few offsets for a slope."
        else:
            yield f"{text}; slope {found:.2f}: {_meaning(found)}."


def _meaning(found: float) -> str:
    if found < 0.5:
        return "it does not grow with the offset"
    return "it grows with the offset, as that of a variance in one pass does"

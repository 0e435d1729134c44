"""How numbers and counts are written for people, in any format."""

from __future__ import annotations

from collections.abc import Sequence

from normcheck.verdict import Verdict

# One mark for each verdict, readable without colour.
MARKS = {
    Verdict.PASS: "✓",
    Verdict.LOOSE: "~",
    Verdict.FAIL: "✗",
    Verdict.INCONCLUSIVE: "?",
    Verdict.ERROR: "!",
    Verdict.CRASH: "!",
    Verdict.TIMEOUT: "!",
    Verdict.UNSUPPORTED: "–",
    Verdict.UNAVAILABLE: "–",
}

KNOWN = "†"  # in place of the mark of a verdict that the ledger knows of


def plural(count: int, noun: str, several: str = "") -> str:
    """``1 case``, ``2 cases``; ``several`` is what has another ending."""
    return f"{count} {noun if count == 1 else several or f'{noun}s'}"


def joined(names: Sequence[str]) -> str:
    """``numpy``, ``numpy and torch``, ``numpy, torch and jax``."""
    *rest, last = names
    return f"{', '.join(rest)} and {last}" if rest else last


def number(value: float | None) -> str:
    """A distance in a few characters: ``4.6e-08``, ``0``, ``nan``; empty where there is none."""
    if value is None:
        return ""
    return "0" if value == 0 else f"{value:.1e}"


def roundoffs(value: float | None) -> str:
    """A backward error in a few characters: ``0.83``, ``18.8``, ``1.3e+06``; empty where there is none."""
    if value is None:
        return ""
    if value == 0:
        return "0"
    if value < 0.01 or value >= 1000:
        return f"{value:.1e}" if value != float("inf") else "inf"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"

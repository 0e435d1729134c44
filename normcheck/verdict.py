"""Verdicts on comparisons, and their order of severity."""

from __future__ import annotations

import enum


class Verdict(enum.StrEnum):
    """The verdict on one output of one backend in one case. Only PASS and LOOSE are good."""

    PASS = "pass"  # noqa: S105 (not a password)
    LOOSE = "loose"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"
    CRASH = "crash"
    TIMEOUT = "timeout"
    UNSUPPORTED = "unsupported"
    UNAVAILABLE = "unavailable"

    @property
    def compared(self) -> bool:
        """True where an output was there to be compared with the oracle."""
        return self in {Verdict.PASS, Verdict.LOOSE, Verdict.FAIL, Verdict.INCONCLUSIVE}

    @property
    def good(self) -> bool:
        """True where the output is right as far as its dtype can tell."""
        return self in {Verdict.PASS, Verdict.LOOSE}


# The worst verdict of a run is its verdict: the first of these that occurs.
SEVERITY = (
    Verdict.FAIL,
    Verdict.INCONCLUSIVE,
    Verdict.CRASH,
    Verdict.TIMEOUT,
    Verdict.ERROR,
    Verdict.UNAVAILABLE,
    Verdict.LOOSE,
    Verdict.PASS,
    Verdict.UNSUPPORTED,
)

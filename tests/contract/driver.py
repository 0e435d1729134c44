"""What the tests of every adapter share: run it, or skip where it cannot be used; what went wrong; the verdicts."""

from __future__ import annotations

import re
from typing import Any

import pytest
from support import require_backend

import normcheck
from normcheck.case import Output
from normcheck.report import EXPECTED, Report
from normcheck.verdict import Verdict


def on_the_worker_of(backend: str) -> list[pytest.MarkDecorator]:
    """The marks of tests that share the worker of ``backend`` with all others of it, in whatever file."""
    return [pytest.mark.usefixtures("kept_workers"), pytest.mark.xdist_group(f"backend {backend}")]


def compare(*methods: Any, backend: str, **options: Any) -> Report:
    """Compare one backend; skip where it is installed but not usable, as tinygrad without a compiler."""
    host = re.match(r"(?:\w+=)?([\w.]+)", backend)  # of a target too, as in mine=torch:norm.py:layer
    assert host is not None
    require_backend(host[1])
    report = normcheck.compare(*methods, backends=[backend], **options)
    unavailable = [r.reason for r in report.results if r.verdict is Verdict.UNAVAILABLE]
    if unavailable:
        pytest.skip(f"{backend}: {unavailable[0]}")
    return report


def wrong(report: Report, *right: Verdict) -> list[Any]:
    """What is no pass, nor one of the other verdicts that are ``right``."""
    allowed = (Verdict.PASS, *right)
    return [(r.case.id, r.output, r.verdict, r.reason) for r in report.results if r.verdict not in allowed]


def verdicts(report: Report, output: Output = Output.Y) -> dict[str, set[Verdict]]:
    """The verdicts on ``output``, by method, of all but the fixtures' own expected values."""
    found: dict[str, set[Verdict]] = {}
    for r in report.results:
        if r.backend != EXPECTED and r.output is output:
            found.setdefault(r.case.method.value, set()).add(r.verdict)
    return found


def reasons(report: Report) -> str:
    return " ".join({r.reason or "" for r in report.results})

"""Renderings of a report, one module for each format. They see only :class:`normcheck.report.Report`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from normcheck import words
from normcheck.errors import UnknownNameError

if TYPE_CHECKING:
    from normcheck.report import Comparison, Report

# The module of each format; it has render(report) -> str.
FORMATS = {
    "table": "normcheck.reports.table",
    "json": "normcheck.reports.json",
    "markdown": "normcheck.reports.markdown",
    "junit": "normcheck.reports.junit",
    "github": "normcheck.reports.github",
    "html": "normcheck.reports.html",
}


def check(name: str) -> None:
    """Raise MissingExtraError where the format ``name`` needs what is not installed: before a run, not after it."""
    if name == "html":
        from normcheck.page import require

        require("the format html", "vl_convert")


def render(report: Report, name: str, **options: Any) -> str:
    """The report in the format ``name``, ending with a newline."""
    if name not in FORMATS:
        raise UnknownNameError("format", name, FORMATS)
    text: str = importlib.import_module(FORMATS[name]).render(report, **options)
    return text


def _comparison(result: Comparison) -> str:
    from normcheck.reports import table  # imports rich

    return table.comparison(result)


def _failures(report: Report) -> str:
    from normcheck.reports import table

    return table.failures(report)


words.teach(report=lambda report: render(report, "table"), comparison=_comparison, failures=_failures)

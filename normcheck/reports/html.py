"""The report as one HTML page, which opens from disk and asks for nothing else.

The answer is first, as in the table; then each failure with pictures of its error, the picture of the run, and every
result in a table that sorts and filters. All text is there without a script; pictures have their figures in words.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from normcheck.page import page, pictures_library, require, resource
from normcheck.report import Comparison, Report
from normcheck.reports.command import reproduce
from normcheck.reports.compose import compose
from normcheck.reports.figures import ROLES, mark, place, ratio, role
from normcheck.reports.heat import CLASSES, heat_map, histogram, worst_rows
from normcheck.reports.offsets import offsets
from normcheck.reports.paragraphs import described, paragraph
from normcheck.reports.text import number, plural, roundoffs
from normcheck.reports.view import Detail, Role
from normcheck.verdict import SEVERITY

PACKAGE = "normcheck.reports"
COLUMNS = (  # name, head, numeric
    ("verdict", "verdict", False),
    ("method", "method", False),
    ("case", "case", False),
    ("dtype", "dtype", False),
    ("backend", "backend", False),
    ("output", "output", False),
    ("beta", "error β", True),
    ("share", "β / allowed", True),
    ("difference", "max |Δ|", True),
    ("ulp", "ulp", True),
)
FILTERS = ("verdict", "method", "backend", "output", "dtype")


def render(report: Report) -> str:
    """The report as an HTML page, ending with a newline."""
    require("the format html", "vl_convert")
    view = compose(report, Detail.ALL)
    failures = list(_failures(report))
    pictures = offsets(report)
    drawn = any(failure["evidence"] for failure in failures) or bool(pictures.charts)
    rows = [_row(result, report) for result in report.results]
    return page(
        "report.html",
        styles=[resource("normcheck.page", "base.css"), resource(PACKAGE, "report.css")],
        scripts=[*([pictures_library()] if drawn else []), resource(PACKAGE, "report.js")],
        data={
            "failures": [failure["evidence"] for failure in failures],
            "offsets": pictures.charts,
            "specs": _specs() if drawn else {},
        },
        title=f"normcheck: {report.verdict.value}, {plural(len(report.cases), 'case')}",
        report=report,
        view=view,
        verdict=_verdict(report),
        css=_css,
        failures=failures,
        classes=CLASSES,
        offsets=pictures,
        columns=COLUMNS,
        rows=rows,
        filters={name: list(dict.fromkeys(row["filters"][name] for row in rows)) for name in FILTERS},
        environment=list(_environment(report)),
    )


def _specs() -> dict[str, Any]:
    import json

    return {name: json.loads(resource(PACKAGE, f"{name}.vl.json")) for name in ("heat", "ulp", "offset")}


def _css(of: Role) -> str:
    """The class of a piece of text."""
    return of.name.lower()


def _verdict(report: Report) -> tuple[str, str]:
    return ("known", "known") if report.all_known else (report.verdict.value, _css(ROLES[report.verdict]))


def _failures(report: Report) -> Iterator[dict[str, Any]]:
    """A paragraph for each result that the table has one for, and for each that can be drawn; the worst first."""
    shown = list(described(report))
    seen = {id(result) for result in shown}
    shown += [r for r in report.results if r.judgement.evidence and not r.known and id(r) not in seen]
    for result in sorted(shown, key=lambda result: SEVERITY.index(result.verdict)):
        evidence = result.judgement.evidence
        drawn = evidence is not None and result.allowed is not None
        yield {
            "paragraph": paragraph(result, report),
            "evidence": heat_map(result) | {"ulp": histogram(result)} if drawn else None,
            "worst": worst_rows(result) if drawn else [],
        }


def _row(result: Comparison, report: Report) -> dict[str, Any]:
    """A row of the table of all results: what is shown, what it is sorted and what it is filtered by."""
    case, word = result.case, result.verdict.value if result.known is None else "known"
    share = ratio(result) if result.backward_error is not None and result.allowed else None
    output = f"law {result.law} of {result.output}" if result.law else result.output.value
    shown = {
        "verdict": f"{mark(result)} {word}",
        "method": case.method.value,
        "case": place(result),
        "dtype": case.dtype.value,
        "backend": result.backend,
        "output": output,
        "beta": roundoffs(result.backward_error),
        "share": roundoffs(share),
        "difference": number(result.max_abs_diff),
        "ulp": "" if result.max_ulp is None else str(result.max_ulp),
    }
    figures = {
        "beta": result.backward_error,
        "share": share,
        "difference": result.max_abs_diff,
        "ulp": result.max_ulp,
    }
    plain = result.verdict.good and result.known is None
    return {
        "shown": shown,
        "figures": {name: "" if figure is None else repr(float(figure)) for name, figure in figures.items()},
        "filters": {**{name: shown[name] for name in FILTERS}, "verdict": word},
        "css": _css(role(result)),
        "reason": (result.known.reason if result.known else result.reason) or "",
        "command": "" if plain else reproduce(result, report),
    }


def _environment(report: Report) -> Iterator[tuple[str, str]]:
    own = report.environment
    yield "normcheck", report.normcheck_version
    yield "Python", own.python
    yield "platform", own.platform
    yield "CPU", own.cpu
    if own.seed is not None:
        yield "seed", str(own.seed)
    for name, facts in own.backends.items():
        yield name, ", ".join(f"{fact}: {value}" for fact, value in facts.items())

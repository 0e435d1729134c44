"""What a run left out: a pass says nothing about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from normcheck.case import Case, Mode, Output
from normcheck.dtype import DType
from normcheck.fixtures import catalogue
from normcheck.methods import definition
from normcheck.report import EXPECTED, Report
from normcheck.reports.text import joined
from normcheck.verdict import Verdict


def untested(report: Report) -> tuple[tuple[str, str], ...]:
    """What was not compared, as a kind and its members, such as ``("dtypes", "float64, float16")``."""
    compared = [r for r in report.by_oracle() if r.verdict.compared and r.backend != EXPECTED]
    cases = [result.case for result in compared]
    found = {
        "dtypes": _without(DType, (case.dtype for case in cases)),
        "modes": ", ".join(_modes(report)),
        "fixtures": ", ".join(_fixtures(report)),
        "outputs": "; ".join(_outputs(report)),
        "devices": _devices(report),
        "laws": "" if any(result.law for result in report.results) else "all of them",
    }
    return tuple((kind, members) for kind, members in found.items() if members)


def _argument(case: Case, report: Report) -> str:
    """The fixture as ``--fixture`` takes it, without a shape that it was made in."""
    return report.fixtures.get(case.fixture, case.fixture).partition("[")[0]


def _without(every: Iterable[str], some: Iterable[str]) -> str:
    some = set(some)
    return ", ".join(str(each) for each in every if each not in some)


def _modes(report: Report) -> Iterator[str]:
    """The modes that a method with running statistics was not run in."""
    for method in dict.fromkeys(case.method for case in report.cases):
        tracking = [c.mode for c in report.cases if c.method is method and c.params.momentum is not None]
        if tracking:
            yield from (f"{mode} of {method} norm" for mode in Mode if mode not in tracking)


def _fixtures(report: Report) -> Iterator[str]:
    """How many fixtures of each tag were not used, of those that come with normcheck for the methods of the run."""
    used = {_argument(r.case, report) for r in report.by_oracle() if r.verdict.compared}
    methods = {case.method for case in report.cases}
    by_tag: dict[str, list[str]] = {}
    for name, fixture in catalogue().items():
        if not all(fixture.excludes(definition(method), method) for method in methods):
            by_tag.setdefault(fixture.tags[0], []).append(name)
    for tag, names in by_tag.items():
        left = sum(name not in used for name in names)
        if left:
            yield f"{left} of {len(names)} {tag}"


def _outputs(report: Report) -> Iterator[str]:
    """The outputs that some backend was not compared in, though another one was or none was asked for them."""
    asked = {output for case in report.cases for output in case.outputs}
    if asked and not any(output.is_gradient for output in asked):
        yield "gradients"
    told: dict[str, list[str]] = {}
    for backend in dict.fromkeys(r.backend for r in report.results if r.backend != EXPECTED):
        own = [result for result in report.by_oracle() if result.backend == backend]
        seen = {result.output for result in own if result.verdict.compared}
        lacking = [o for o in Output if o not in seen and any(r.output is o for r in own)]
        if lacking and all(r.verdict is Verdict.UNSUPPORTED for r in own if r.output in lacking):
            told.setdefault(joined([output.value for output in lacking]), []).append(backend)
    for outputs, backends in told.items():
        yield f"{outputs} of {joined(backends)}"


def _devices(report: Report) -> str:
    """Every device but those that backends say they computed on."""
    used = {str(facts["device"]) for facts in report.environment.backends.values() if facts.get("device")}
    return f"all but {joined(sorted(used))}" if used else ""

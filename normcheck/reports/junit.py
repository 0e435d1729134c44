"""The report as JUnit XML, for Jenkins, GitLab and other CI: a suite for each backend, a test case for each comparison.

Known deviations and what is unsupported are ``skipped``; whatever fails the run is a ``failure``, or an ``error``
where a backend gave no answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from normcheck.change import Change
from normcheck.printable import one_line, printable
from normcheck.report import Comparison, Report
from normcheck.reports.outcome import Outcome, outcomes, troubles
from normcheck.reports.paragraphs import paragraph
from normcheck.reports.since import sentence
from normcheck.reports.untested import untested

_ELEMENTS = {Outcome.FAILED: "failure", Outcome.ERRORED: "error"}
_COUNTED = {"failures": "failure", "errors": "error", "skipped": "skipped"}
_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'


def render(report: Report) -> str:
    """The report as an XML document with the root ``testsuites``, ending with a newline."""
    root = Element("testsuites", name="normcheck")
    found = list(outcomes(report))
    for backend in dict.fromkeys(result.backend for result in report.results):
        _suite(root, backend, [each for each in found if each[0].backend == backend], report)
    if own := troubles(report):
        suite = _new_suite(root, "normcheck", report)
        for trouble in own:
            case = SubElement(suite, "testcase", classname="normcheck", name=one_line(trouble), time="0")
            SubElement(case, "failure", type=report.verdict.value, message=one_line(trouble))
    if left_out := untested(report):
        suite = _new_suite(root, "not tested", report)
        for kind, members in left_out:
            case = SubElement(
                suite, "testcase", classname="normcheck.not_tested", name=one_line(kind), time="0"
            )
            SubElement(case, "skipped", type="not tested", message=one_line(members))
    for suite in root:
        _count(suite)
    for name in ("tests", "failures", "errors"):  # those that Jenkins' schema knows
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    root.set("time", _total(case.get("time", "0") for case in root.iter("testcase")))
    ElementTree.indent(root)
    return f"{_DECLARATION}{ElementTree.tostring(root, encoding='unicode')}\n"


def _suite(
    root: Element,
    backend: str,
    found: Sequence[tuple[Comparison, Outcome, Change | None]],
    report: Report,
) -> None:
    suite = _new_suite(root, backend, report)
    timed = set()
    for result, outcome, change in found:
        once = result.case.id not in timed  # a call gives all outputs of its case
        timed.add(result.case.id)
        case = SubElement(
            suite,
            "testcase",
            classname=one_line(f"normcheck.{backend}.{result.case.method}"),
            name=one_line(f"{result.case_id} {result.output.value}"),
            time=f"{(result.seconds or 0.0) if once else 0.0:.6f}",
        )
        _told(case, result, outcome, change, report)
        if result.stderr.strip():
            SubElement(case, "system-err").text = printable(result.stderr)


def _new_suite(root: Element, name: str, report: Report) -> Element:
    suite = SubElement(root, "testsuite", name=one_line(name))
    facts = {
        "normcheck": report.normcheck_version,
        "version": str(report.environment.backends.get(name, {}).get("version", "")),
        "verdict": report.verdict.value,
        "exit_code": str(int(report.exit_code)),
    }
    properties = SubElement(suite, "properties")
    for key, value in facts.items():
        SubElement(properties, "property", name=key, value=one_line(value))
    return suite


def _told(case: Element, result: Comparison, outcome: Outcome, change: Change | None, report: Report) -> None:
    """What a comparison that is no plain pass says."""
    if outcome is Outcome.KNOWN and result.known is not None:
        SubElement(case, "skipped", type="known", message=one_line(f"known: {result.known.words}"))
    elif outcome is Outcome.SKIPPED:
        message = one_line(f"{result.verdict}: {result.reason or 'other cases decide it'}")
        SubElement(case, "skipped", type=result.verdict.value, message=message)
    elif outcome.red:
        kind = result.verdict.value if change is None or not result.verdict.good else "baseline"
        grown = [] if change is None else [sentence(change, report)]
        words = [*grown, *([result.reason] if result.reason else [])]
        element = SubElement(
            case, _ELEMENTS[outcome], type=kind, message=one_line(f"{kind}: {'; '.join(words)}")
        )
        told = paragraph(result, report)
        lines = (*grown, *told.lines, f"reproduce: {told.command}")
        element.text = printable("\n".join(lines))
    elif outcome is Outcome.LOOSE:
        SubElement(case, "system-out").text = printable(f"loose: {result.reason or ''}")


def _count(suite: Element) -> None:
    """The counts and the time of a suite, from its cases."""
    cases = suite.findall("testcase")
    suite.set("tests", str(len(cases)))
    for name, element in _COUNTED.items():
        suite.set(name, str(sum(case.find(element) is not None for case in cases)))
    suite.set("time", _total(case.get("time", "0") for case in cases))


def _total(seconds: Iterable[str]) -> str:
    """To the millisecond: Jenkins' schema allows a suite three digits."""
    return f"{sum(map(float, seconds)):.3f}"

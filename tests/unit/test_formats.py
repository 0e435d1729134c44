"""Markdown, JUnit and GitHub's annotations: the verdict of the exit code, told apart; no text of others is markup."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import fromstring

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped
from markdown_it import MarkdownIt
from test_reports import CASE, CRASHED, FAILED, PASSED, judged, report

from normcheck.case import Output
from normcheck.change import Change, Since, Trend
from normcheck.errors import ExitCode
from normcheck.report import Comparison, Known, Place, Report
from normcheck.reports import FORMATS, render
from normcheck.reports.github import LONGEST, SHOWN
from normcheck.reports.markdown import LIMIT
from normcheck.reports.outcome import Outcome, outcomes, troubles
from normcheck.verdict import Verdict

OTHER = replace(CASE, fixture="g")
LOOSE = judged(PASSED, verdict=Verdict.LOOSE, reason="naive order of summation")
UNDECIDED = judged(PASSED, verdict=Verdict.INCONCLUSIVE, reason="all zeros would pass as well")
UNSUPPORTED = judged(CRASHED, verdict=Verdict.UNSUPPORTED, reason="has no group norm")
KNOWN = replace(FAILED, known=Known(reason="one pass", link="docs/x.py"))
DECIDED = replace(PASSED, case=OTHER)
GROWN = Change(
    case=CASE.id, backend="numpy", output=PASSED.output, trend=Trend.WORSE, was=2.1, now=9.4
)  # of PASSED
BETTER = replace(GROWN, backend="bad", trend=Trend.BETTER, was=9.4, now=2.1)


def since(*changes: Change, **rest: Any) -> Since:
    given = {"compared": 1, "new": {}, "redrawn": 0, "not_run": 0, **rest}
    versions = {"numpy": ("2.3", "2.4"), "bad": ("1", "1")}
    return Since(file="b.json", factor=4.0, cpu="cpu", versions=versions, changes=changes, **given)


WORSE = report(PASSED, baseline=since(GROWN), arguments={"numpy": "numpy"})
NOT_HELD = report(PASSED, baseline=since(compared=0))
STALE = report(PASSED, stale=("n.toml, entry 1: no longer fails",))

RUNS = {
    "passed": report(PASSED),
    "loose": report(LOOSE),
    "failed": report(PASSED, FAILED),
    "crashed": report(PASSED, CRASHED),
    "undecided": report(UNDECIDED),
    "decided elsewhere": report(UNDECIDED, DECIDED),
    "known": report(PASSED, KNOWN),
    "unsupported here": report(PASSED, UNSUPPORTED, replace(DECIDED, backend="gone")),
    "unsupported": report(PASSED, UNSUPPORTED),
    "stale": STALE,
    "worse than the baseline": WORSE,
    "nothing held against the baseline": NOT_HELD,
    "better": report(PASSED, baseline=since(BETTER)),
    "nothing": report(),
}
each_run = pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)


def cases_of(found: Report) -> dict[str, list[type]]:
    """By suite and case, the elements that JUnit has beside a pass; without what was not tested."""
    kinds = (Failure, Error, Skipped)
    return {
        f"{suite.name}: {case.name}": [
            kind for kind in kinds if any(isinstance(r, kind) for r in case.result)
        ]
        for suite in JUnitXml.fromstring(render(found, "junit").encode())
        for case in suite
        if suite.name != "not tested"
    }


def commands(found: Report) -> list[tuple[str, dict[str, str], str]]:
    """Kind, properties and message of each annotation, read as the runner does."""
    return [read_command(line) for line in render(found, "github").splitlines()]


def read_command(line: str) -> tuple[str, dict[str, str], str]:
    parts = re.fullmatch(r"::(error|warning|notice) ([^:]*)::(.*)", line)
    assert parts is not None, line
    properties = dict(pair.split("=", 1) for pair in parts[2].split(","))
    found = {name: unescaped(value, ":", ",") for name, value in properties.items()}
    return parts[1], found, unescaped(parts[3])


def unescaped(text: str, *more: str) -> str:
    for sign in ("\r", "\n", *more, "%"):
        text = text.replace(f"%{ord(sign):02X}", sign)
    return text


# --- the verdict of the run --------------------------------------------------------------------------------


@each_run
def test_something_is_red_in_every_format_exactly_where_the_exit_code_is(run: Report) -> None:
    red = run.exit_code is not ExitCode.OK
    assert red == any(outcome.red for _, outcome, _ in outcomes(run)) or bool(troubles(run)) == red
    junit = JUnitXml.fromstring(render(run, "junit").encode())
    assert red == bool(junit.failures + junit.errors)
    assert red == any(kind == "error" for kind, _, _ in commands(run))
    first = render(run, "markdown").splitlines()[0]
    assert f" {run.verdict.value}</b>" in first or f" {run.verdict.value} " in first or run.all_known
    assert ("✗" in first or "!" in first or "?" in first or "–" in first) == red


def test_a_baseline_decides_the_verdict_and_the_exit_code() -> None:
    assert (Verdict.FAIL, ExitCode.MISMATCH) == (WORSE.verdict, WORSE.exit_code)
    assert (Verdict.ERROR, ExitCode.NOTHING_COMPARED) == (NOT_HELD.verdict, NOT_HELD.exit_code)
    assert ExitCode.OK is RUNS["better"].exit_code
    assert ExitCode.MISMATCH is replace(WORSE, results=(PASSED, CRASHED)).exit_code, "as a mismatch does"
    assert ExitCode.BACKEND is replace(NOT_HELD, results=(PASSED, CRASHED)).exit_code


def test_outcomes_are_told_apart() -> None:
    found = report(PASSED, LOOSE, FAILED, CRASHED, KNOWN, UNSUPPORTED, DECIDED, UNDECIDED)
    expected = ["PASSED", "LOOSE", "FAILED", "ERRORED", "KNOWN", "ERRORED", "PASSED", "SKIPPED"]
    assert expected == [outcome.name for _, outcome, _ in outcomes(found)]
    assert [Outcome.FAILED] == [outcome for _, outcome, _ in outcomes(WORSE)]


# --- JUnit -------------------------------------------------------------------------------------------------


def test_junit_tells_failures_errors_and_what_is_skipped_apart() -> None:
    name = f"{CASE.id} y"
    found = report(PASSED, FAILED, CRASHED, replace(KNOWN, backend="k"), replace(LOOSE, backend="l"))
    assert {
        f"numpy: {name}": [],
        f"bad: {name}": [Failure],
        f"gone: {name}": [Error],
        f"k: {name}": [Skipped],
        f"l: {name}": [],
    } == cases_of(found)
    assert [Skipped] == cases_of(RUNS["unsupported here"])[f"gone: {name}"]
    assert [Error] == cases_of(RUNS["unsupported"])[f"gone: {name}"], "of all its cases: exit code 4"
    assert [Failure] == cases_of(RUNS["undecided"])[f"numpy: {name}"]
    assert [Skipped] == cases_of(RUNS["decided elsewhere"])[f"numpy: {name}"]


def test_junit_has_a_case_for_what_is_of_no_comparison() -> None:
    (trouble,) = [name for name, kinds in cases_of(STALE).items() if kinds]
    assert "normcheck: stale: n.toml, entry 1: no longer fails" == trouble
    (trouble,) = [name for name, kinds in cases_of(NOT_HELD).items() if kinds]
    assert "nothing was compared with the baseline b.json" in trouble


def test_junit_counts_and_times_what_it_has() -> None:
    """A call gives all outputs of its case; its time counts once. What was not tested is there, and skipped."""
    root = fromstring(render(report(PASSED, replace(PASSED, output=Output.GRAD_X), FAILED), "junit"))
    assert ("7", "1", "0", "0.020") == tuple(root.get(k) for k in ("tests", "failures", "errors", "time"))
    suite, _, left_out = root
    assert ("not tested", "4", "4") == tuple(left_out.get(k) for k in ("name", "tests", "skipped"))
    assert ["dtypes", "fixtures", "outputs", "laws"] == [
        case.get("name") for case in left_out.iter("testcase")
    ]
    (skipped, *_) = left_out.iter("skipped")
    assert "float64" in str(skipped.get("message"))
    assert ("numpy", "2", "0.010") == (suite.get("name"), suite.get("tests"), suite.get("time"))
    assert "normcheck.numpy.group" == suite.findall("testcase")[0].get("classname")


def test_junit_has_the_elements_and_attributes_that_its_readers_know() -> None:
    """Those of Jenkins' schema; GitLab reads fewer."""
    known = {
        "testsuites": ({"testsuite"}, {"name", "tests", "failures", "errors", "time"}),
        "testsuite": (
            {"properties", "testcase"},
            {"name", "tests", "failures", "errors", "skipped", "time"},
        ),
        "properties": ({"property"}, set()),
        "property": (set(), {"name", "value"}),
        "testcase": (
            {"failure", "error", "skipped", "system-out", "system-err"},
            {"name", "classname", "time"},
        ),
        "failure": (set(), {"type", "message"}),
        "error": (set(), {"type", "message"}),
        "skipped": (set(), {"type", "message"}),
        "system-out": (set(), set()),
        "system-err": (set(), set()),
    }
    for run in RUNS.values():
        for element in fromstring(render(run, "junit")).iter():
            inside, attributes = known[element.tag]
            assert {each.tag for each in element} <= inside
            assert set(element.attrib) <= attributes


def test_junit_says_why_and_how_to_see_it_again() -> None:
    root = fromstring(render(report(FAILED), "junit"))
    failure = root.find(".//failure")
    assert failure is not None
    assert "fail: is nan where the oracle has 1" == failure.get("message")
    assert "3 of 24 elements" in str(failure.text)
    assert "reproduce: normcheck compare" in str(failure.text)
    assert "oh no" in str(root.findtext(".//system-err"))
    (grown,) = fromstring(render(WORSE, "junit")).iter("failure")
    assert "baseline: was 2.10 u, now 9.40 u: numpy 2.3 → 2.4" == grown.get("message")


# --- GitHub's annotations ----------------------------------------------------------------------------------


def test_an_annotation_is_at_the_line_of_the_users_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the top of the repository, wherever the command runs; a built-in and what is elsewhere have no place."""
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    for file, line, expected in (
        ("norm.py", 4, {"file": "sub/norm.py", "line": "4"}),
        ("norm.py", None, {"file": "sub/norm.py"}),
        ("/elsewhere/norm.py", 4, {}),
    ):
        kind, properties, _ = commands(report(FAILED, sources={"bad": Place(file=file, line=line)}))[0]
        assert ("error", expected) == (kind, {k: v for k, v in properties.items() if k != "title"})
    monkeypatch.delenv("GITHUB_WORKSPACE")
    _, properties, _ = commands(report(FAILED, sources={"bad": Place(file="norm.py", line=4)}))[0]
    assert "norm.py" == properties["file"]


def test_an_annotation_says_what_is_wrong_and_how_to_see_it_again() -> None:
    kind, properties, message = commands(report(PASSED, FAILED))[0]
    assert ("error", {"title": f"fail: bad, {CASE.id}, y"}) == (kind, properties)
    assert "3 of 24 elements (12%)" in message
    assert "reproduce: normcheck compare" in message.splitlines()[-1]
    assert "was 2.10 u, now 9.40 u: numpy 2.3 → 2.4" in commands(WORSE)[0][2]


def test_the_worst_come_first_and_the_rest_is_counted() -> None:
    """GitHub shows ten of each kind of a step."""
    many = [judged(FAILED, backward_error=float(n)) for n in range(30, 60)]
    many = [replace(each, case=replace(CASE, fixture=f"f{n}")) for n, each in enumerate(many)]
    errors = [(p["title"], m) for kind, p, m in commands(report(*many)) if kind == "error"]
    assert SHOWN == len(errors)
    assert ["f29", "f28"] == [title.split("/")[1] for title, _ in errors[:2]]
    assert errors[-1][1].startswith("21 more that fail: ✗ fail")
    few = [(p["title"], m) for kind, p, m in commands(report(*many[:SHOWN])) if kind == "error"]
    assert SHOWN == len(few)
    assert all("more that" not in message for _, message in few)


def test_loose_is_a_warning_and_what_is_known_or_better_a_notice() -> None:
    found = commands(report(LOOSE, KNOWN, baseline=since(BETTER)))
    assert ["warning", "notice", "notice", "notice"] == [kind for kind, _, _ in found]
    assert "known: bad" == found[2][1]["title"]
    assert "one pass (docs/x.py): 1 comparison" == found[2][2]
    assert found[3][2].startswith("was 9.40 u, now 2.10 u")


def test_a_message_is_not_endless() -> None:
    _, _, message = commands(report(judged(FAILED, reason="x" * 10**6)))[0]
    assert LONGEST + 1 == len(message)


# --- Markdown ----------------------------------------------------------------------------------------------


def html(text: str) -> str:
    """As GitHub's parser has it, where HTML that is written is HTML."""
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text)


def test_markdown_begins_with_the_answer_and_folds_what_passes() -> None:
    good, bad = render(report(PASSED), "markdown"), render(report(PASSED, FAILED), "markdown")
    assert good.startswith("## normcheck: ✓ pass  1 case, 1 comparison: 1 pass\n")
    assert bad.startswith("## normcheck: <b>✗ fail</b>  1 case, 2 comparisons: 1 pass, 1 fail\n")
    assert "<details><summary>max |Δ|" in good
    assert "<details open><summary>" in bad
    assert "```sh\nnormcheck compare --method group" in bad
    assert "- not tested: dtypes: float64, float16, bfloat16; fixtures: " in good
    assert "| f groups=0,1\\|2 | 1.0e-07 0.50 ✓ | <b>nan inf ✗</b> | 18.0 |" in bad


def test_a_row_of_a_table_has_a_cell_for_each_column() -> None:
    """Whatever a name has in it."""
    case = replace(CASE, fixture="a|b`|`\\|c\n|d")
    page = html(render(replace(report(replace(PASSED, case=case)), cases=(case,)), "markdown"))
    rows = [row for table in page.split("<table>")[1:] for row in table.split("<tr>")[1:]]
    assert [3, 3] == [len(re.findall(r"<t[hd][ >]", row)) for row in rows[:2]]
    assert "a|b`|`\\|c\\n|d groups=0,1|2" in rows[1]


def test_markdown_has_no_more_than_github_shows_and_says_so() -> None:
    many = [
        judged(replace(FAILED, case=replace(CASE, fixture=f"f{n}")), reason="é" * 4000) for n in range(300)
    ]
    whole = [replace(each, backend=f"b{n}") for n, each in enumerate(many)]
    text = render(report(*whole), "markdown")
    assert LIMIT - 10**5 < len(text.encode()) <= LIMIT
    assert text.startswith("## normcheck: <b>✗ fail")
    assert text.rstrip().endswith("`--format json` has all of it.")
    assert "" == render(report(PASSED), "markdown", limit=10)


# --- hostile text ------------------------------------------------------------------------------------------

POISON = {
    "script": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "terminal": "\x1b]0;owned\x07\x9b31m",
    "bidi": "\u202egpj.exe\u2066\u061c",
    "newlines": "a\r\n::error::forged\n::set-output name=x::y\u2028z",
    "cdata": "]]>&amp;<!-- <!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]> &e;",
    "commands": "::stop-commands::x %0A::error::y ##[error]z, file=/etc/passwd,line=1",
    "markup": "| a | **b** `c` ```d``` [e](javascript:alert(1)) ![f](g) @someone #1 $x$ ~~h~~",
    "no characters": "\x00\ud83d\ufffe\uffff\ufeff",
}


def poisoned(poison: str) -> Report:
    """A report with ``poison`` wherever text of others can be."""
    case = replace(CASE, fixture=f"f{poison}")
    results: list[Comparison] = [
        replace(PASSED, case=case),
        judged(replace(FAILED, case=case, backend=f"b{poison}", stderr=poison), reason=poison),
        judged(replace(CRASHED, case=case, backend=f"c{poison}"), reason=poison),
        replace(FAILED, case=case, backend=f"k{poison}", known=Known(reason=poison, link=poison)),
        judged(replace(UNSUPPORTED, case=case, backend=f"u{poison}"), reason=poison),
    ]
    change = replace(GROWN, case=case.id)
    rest = {
        "notes": (poison,),
        "stale": (poison,),
        "ledger": poison,
        "arguments": {f"b{poison}": poison},
        "fixtures": {f"f{poison}": poison},
        "sources": {f"b{poison}": Place(file=f"n{poison}.py", line=3)},
        "baseline": replace(since(change), file=poison, cpu=poison, versions={"numpy": (poison, poison)}),
    }
    found = replace(report(*results, **rest), cases=(case,))
    backends = {name: {"version": poison} for name in found.environment.backends}
    return replace(found, environment=replace(found.environment, backends=backends))


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "json"])
@pytest.mark.parametrize("poison", POISON.values(), ids=POISON)
def test_nothing_in_a_text_of_others_is_raw(name: str, poison: str) -> None:
    text = render(poisoned(poison), name)
    found = re.findall(
        r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]", text
    )
    assert [] == found
    text.encode()  # a lone surrogate would be an error


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON)
def test_junit_stays_well_formed_and_as_it_was(poison: str) -> None:
    text = render(poisoned(poison), "junit")
    tags = [element.tag for element in fromstring(text).iter()]
    assert [e.tag for e in fromstring(render(poisoned("x"), "junit")).iter()] == tags
    assert "<!" not in text


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON)
def test_annotations_stay_as_many_and_what_they_are(poison: str) -> None:
    """A text that forged a command, or a property of one, would be read as such here."""
    found, expected = commands(poisoned(poison)), commands(poisoned("x"))
    assert [(kind, set(properties)) for kind, properties, _ in expected] == [
        (kind, set(properties)) for kind, properties, _ in found
    ]
    assert {p["line"] for _, p, _ in found if "line" in p} == {"3"}
    assert all(p["file"].startswith("n") for _, p, _ in found if "file" in p)


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON)
def test_markdown_has_no_more_elements_than_with_harmless_names(poison: str) -> None:
    """What is put apart so that GitHub makes nothing of it is within spans of ours."""

    def elements(text: str) -> list[str]:
        return [tag for tag in re.findall(r"<[a-z/!][^>]*>", html(text)) if "span" not in tag]

    found, expected = render(poisoned(poison), "markdown"), render(poisoned("x"), "markdown")
    several = {"</li>", "<li>", "<ul>", "</ul>"}  # a reason of several lines is a list of as many
    assert [tag for tag in elements(expected) if tag not in several] == [
        tag for tag in elements(found) if tag not in several
    ]


def test_what_github_would_make_a_mention_of_is_apart() -> None:
    page = render(poisoned("@someone fixes #1"), "markdown")
    outside = re.sub(r"```.*?```", "", page, flags=re.DOTALL)  # code is not searched for them
    assert "@someone" not in outside
    assert "<span>@</span>someone" in outside
    assert "#1" not in outside

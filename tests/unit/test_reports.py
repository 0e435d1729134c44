"""Reports say the same in every format, as strict JSON and as text that cannot steer a terminal."""

from __future__ import annotations

import copy
import itertools
import json
import math
import re
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from normcheck.case import Case, Layout, Method, Mode, Output
from normcheck.conventions.catalogue import KEYS, spelled
from normcheck.dtype import DType
from normcheck.parameters import Params
from normcheck.printable import printable
from normcheck.report import EXPECTED, Comparison, Environment, Judgement, Known, Pair, Report, Worst
from normcheck.reports import FORMATS, render
from normcheck.reports.json import read
from normcheck.reports.text import MARKS, number, roundoffs
from normcheck.verdict import Verdict

CASE = Case(
    method=Method.GROUP,
    params=Params(groups=((0, 1), (2,))),
    fixture="f",
    shape=(2, 3, 4),
    dtype=DType.FLOAT32,
)
PASSED = Comparison(
    case=CASE,
    backend="numpy",
    output=Output.Y,
    judgement=Judgement(
        verdict=Verdict.PASS,
        max_abs_diff=1e-7,
        max_rel_diff=2e-7,
        max_ulp=1,
        backward_error=0.5,
        allowed=18.0,
        mismatched=0,
        total=24,
        worst=Worst(index=(1, 0), x=1.0, actual=2.0, expected=2.0000001),
    ),
    seconds=0.01,
)
FAILED = replace(
    PASSED,
    backend="bad",
    judgement=Judgement(
        verdict=Verdict.FAIL,
        reason="is nan where the oracle has 1",
        max_abs_diff=math.nan,
        backward_error=math.inf,
        allowed=18.0,
        mismatched=3,
        total=24,
        worst=Worst(index=(0, 2), x=-math.inf, actual=math.nan, expected=math.inf),
    ),
    stderr="oh no\n",
)
CRASHED = Comparison(
    case=CASE,
    backend="gone",
    output=Output.Y,
    judgement=Judgement(verdict=Verdict.CRASH, reason="was killed by SIGABRT"),
    stderr="\x1b[31m",
)


def judged(result: Comparison, **figures: Any) -> Comparison:
    """``result`` with other figures."""
    return replace(result, judgement=replace(result.judgement, **figures))


def report(*results: Comparison, **rest: Any) -> Report:
    """A report of ``results``, with a pair for every two backends."""
    environment = Environment(
        python="3.11", platform="Linux", cpu="cpu", backends={r.backend: {"version": "1"} for r in results}
    )
    pairs = tuple(
        Pair(case=CASE.id, output=Output.Y, backends=(a.backend, b.backend), max_abs_diff=math.nan)
        for a, b in itertools.pairwise(results)
    )
    return Report(
        normcheck_version="0", environment=environment, cases=(CASE,), results=results, pairs=pairs, **rest
    )


WHOLE = report(PASSED, FAILED, CRASHED)


# --- JSON --------------------------------------------------------------------------------------------------


def test_json_is_valid_against_the_schema(parsed: Any) -> None:
    found = parsed(render(WHOLE, "json"))
    assert ["pass", "fail", "crash"] == [result["verdict"] for result in found["results"]]
    assert ("fail", 3, 1) == (
        found["summary"]["verdict"],
        found["summary"]["comparisons"],
        found["summary"]["crash"],
    )


def test_numbers_that_are_not_finite_are_strings(parsed: Any) -> None:
    _, failed, _ = parsed(render(WHOLE, "json"))["results"]
    assert ("nan", None, "inf") == (failed["max_abs_diff"], failed["max_rel_diff"], failed["backward_error"])
    assert {"index": [0, 2], "x": "-inf", "actual": "nan", "expected": "inf"} == failed["worst"]


def test_json_keeps_every_figure_to_the_last_bit(parsed: Any) -> None:
    tenth = judged(PASSED, max_abs_diff=0.1 + 0.2, max_ulp=2**63 + 1)
    (found,) = parsed(render(report(tenth), "json"))["results"]
    assert (0.1 + 0.2, 2**63 + 1) == (found["max_abs_diff"], found["max_ulp"])


def test_json_ends_with_a_newline_and_keeps_foreign_text_as_it_is(parsed: Any) -> None:
    text = render(report(replace(CRASHED, stderr="\x1b[31m \ud83d größe")), "json")
    assert text.endswith("}\n")
    assert "\x1b" not in text
    assert parsed(text)["results"][0]["stderr"].startswith("\x1b[31m")


def objects(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all objects in a report but the free-form ones of the backends' environments."""
    if isinstance(value, dict):
        inner = [] if path[-1:] == ("backends",) and path[:1] == ("environment",) else list(value.items())
        own = [] if not inner else [path]
        return own + [p for key, item in inner for p in objects(item, (*path, key))]
    if isinstance(value, list):
        return [p for key, item in enumerate(value) for p in objects(item, (*path, key))]
    return []


Path = tuple[Any, ...]  # of keys and indices


def at(value: Any, path: Path) -> Any:
    for key in path:
        value = value[key]
    return value


GOOD = json.loads(render(WHOLE, "json"))
WORDS = "not_tested"  # is written for readers, and not read back
PATHS = [path for path in objects(GOOD) if WORDS not in path]


def with_a_surprise(path: Path) -> Any:
    """The good report with an additional key in the object at ``path``."""
    spoiled = copy.deepcopy(GOOD)
    at(spoiled, path)["surprise"] = 1
    return spoiled


def without(path: Path) -> Any:
    """The good report without the key that ``path`` ends with."""
    spoiled = copy.deepcopy(GOOD)
    del at(spoiled, path[:-1])[path[-1]]
    return spoiled


REQUIRED = [
    (*path, key)
    for path in PATHS
    for key in at(GOOD, path)
    if "params" not in path and key != WORDS  # these depend on the method
]


def test_the_report_that_all_these_spoil_is_valid_and_has_objects_of_every_kind(
    schema: jsonschema.Draft202012Validator,
) -> None:
    assert schema.is_valid(GOOD)
    assert {"summary", "environment", "cases", "results", "pairs"} <= {path[0] for path in PATHS if path}


def test_an_additional_key_is_invalid_in_every_object(schema: jsonschema.Draft202012Validator) -> None:
    assert [] == [path for path in PATHS if schema.is_valid(with_a_surprise(path))]


def test_a_missing_key_is_invalid_whichever_it_is(schema: jsonschema.Draft202012Validator) -> None:
    assert [] == [path for path in REQUIRED if schema.is_valid(without(path))]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema_version",), 2),
        (("summary", "verdict"), "passed"),
        (("summary", "pass"), -1),
        (("summary", "pass"), 1.5),
        (("results", 0, "verdict"), "PASS"),
        (("results", 0, "method"), "Bach!"),
        (("results", 0, "output"), "z"),
        (("results", 0, "max_abs_diff"), "NaN"),
        (("results", 0, "max_abs_diff"), -1e-7),
        (("results", 0, "max_abs_diff"), "1e-7"),
        (("results", 0, "max_ulp"), 1.5),
        (("results", 0, "worst"), {}),
        (("results", 0, "worst", "index"), [-1]),
        (("results", 0, "stderr"), None),
        (("results", 0, "params", "groups"), [[]]),
        (("results", 0, "params", "groups"), "0,1|2"),
        (("pairs", 0, "backends"), ["numpy"]),
        (("pairs", 0, "backends"), ["numpy", "numpy"]),
        (("environment", "backends", "numpy"), "1.0"),
    ],
    ids=str,
)
def test_a_wrong_value_is_invalid(path: Any, value: Any, schema: jsonschema.Draft202012Validator) -> None:
    spoiled = copy.deepcopy(GOOD)
    assert schema.is_valid(spoiled)
    at(spoiled, path[:-1])[path[-1]] = value
    assert not schema.is_valid(spoiled)


def test_a_backend_says_of_itself_what_it_likes(schema: jsonschema.Draft202012Validator) -> None:
    free = copy.deepcopy(GOOD)
    free["environment"]["backends"]["numpy"] = {"threads": "many", "flags": [1, {"a": None}]}
    assert schema.is_valid(free)


@pytest.mark.parametrize(
    ("names", "where"),
    [
        (Verdict, ("$defs", "verdict", "enum")),
        (Output, ("$defs", "output", "enum")),
        (DType, ("$defs", "dtype", "enum")),
        (Mode, ("$defs", "mode", "enum")),
        (Layout, ("$defs", "layout", "enum")),
    ],
)
def test_the_schema_names_every_member_of_the_model(names: Any, where: Any, schema: Any) -> None:
    assert sorted(names) == sorted(at(schema.schema, where))


def test_the_schema_names_every_convention(schema: Any) -> None:
    found = at(schema.schema, ("$defs", "convention", "properties"))
    spelt = {key: [spelled(value) for value in about["values"]] for key, about in KEYS.items()}
    assert spelt == {key: each.get("enum", ["true", "false"]) for key, each in found.items()}


def test_the_schema_is_itself_valid_and_closed_everywhere(schema: Any) -> None:
    jsonschema.Draft202012Validator.check_schema(schema.schema)

    def check(node: Any, path: str) -> None:
        if isinstance(node, dict):
            if "properties" in node:
                assert False is node.get("additionalProperties"), path
            for key, item in node.items():
                check(item, f"{path}.{key}")

    check(schema.schema, "")


# --- JSON, read back ---------------------------------------------------------------------------------------


KNOWN = replace(FAILED, known=Known(reason="r", link=None), backend="k")
FINITE = judged(PASSED, max_abs_diff=math.inf, worst=Worst(index=(), x=None, actual=-math.inf, expected=0.0))
EVERYTHING = report(
    FINITE,
    CRASHED,
    replace(PASSED, law="shift"),
    replace(PASSED, backend=EXPECTED),
    replace(CRASHED, known=Known(reason="r", link="l")),
    notes=("a note",),
    arguments={"bad": "bad=numpy:f.py:g"},
    fixtures={"f": "f.npz"},
    max_backward_error=3.5,
    stale=("no longer",),
)
SAME_PAIRS = tuple(replace(pair, max_abs_diff=None) for pair in EVERYTHING.pairs)


@pytest.mark.parametrize(
    "whole",
    [report(), report(replace(CRASHED)), replace(EVERYTHING, pairs=SAME_PAIRS)],
    ids=["empty", "a crash", "everything"],
)
def test_a_report_comes_back_as_it_was(whole: Report, parsed: Any) -> None:
    text = render(whole, "json")
    parsed(text)
    assert whole == read(text)


@pytest.mark.parametrize("whole", [WHOLE, EVERYTHING, report(KNOWN)], ids=["WHOLE", "EVERYTHING", "KNOWN"])
def test_nan_comes_back_as_nan(whole: Report) -> None:
    """NaN equals nothing, so the renderings are compared."""
    text = render(whole, "json")
    assert "nan" in text
    assert text == render(read(text), "json")


def test_a_report_that_is_read_has_the_same_verdict_and_exit_code() -> None:
    found = read(render(EVERYTHING, "json"))
    assert (EVERYTHING.verdict, EVERYTHING.exit_code) == (found.verdict, found.exit_code)


def complaint(data: Any) -> str:
    """What reading ``data`` says against it; empty where it is read."""
    try:
        read(json.dumps(data))
    except ValueError as error:
        return str(error)
    return ""


def test_a_good_report_is_read_without_complaint() -> None:
    assert "" == complaint(GOOD)


def test_an_additional_key_is_not_read_in_any_object() -> None:
    found = {path: complaint(with_a_surprise(path)) for path in PATHS}
    assert {} == {
        p: said for p, said in found.items() if not re.search(r"surprise|contradicts|unknown", said)
    }


def test_a_missing_key_is_not_made_up_whichever_it_is() -> None:
    assert [] == [path for path in REQUIRED if complaint(without(path)) == ""]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("schema_version",), 2, "schema_version is 2; this normcheck reads 1"),
        (("summary", "pass"), 7, "summary is missing, or contradicts"),
        (("cases", 0, "id"), "group/f/float32", "cases is missing, or contradicts"),
        (("cases",), 3, "cases is not an array of objects"),
        (("results", 0, "case"), "x", "'x' is none of the cases"),
        (("results", 0, "fixture"), "x", "results is missing, or contradicts"),
        (("results", 0, "max_ulp"), True, r"results\[0\].max_ulp: True is not an integer"),
        (("results", 0, "max_ulp"), "1", r"results\[0\].max_ulp: '1' is not an integer"),
        (("pairs", 0, "backends"), ["a"], r"pairs\[0\].backends: an array of 1, not of 2"),
    ],
    ids=str,
)
def test_a_report_that_is_none_says_so(path: Any, value: Any, message: str) -> None:
    spoiled = copy.deepcopy(GOOD)
    at(spoiled, path[:-1])[path[-1]] = value
    with pytest.raises(ValueError, match=message):
        read(json.dumps(spoiled))


# --- text --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\rb", "a\\rb"),
        ("bell\x07", "bell\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("\x00\x7f", "\\x00\\x7f"),
        ("right\u202eto left", "right\\u202eto left"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("line\u2028end", "line\\u2028end"),
        ("tab\tand\nnewline stay", "tab\tand\nnewline stay"),
        ("größe 数 é ✓", "größe 数 é ✓"),
    ],
)
def test_what_could_steer_a_terminal_is_written_out(text: str, expected: str) -> None:
    assert expected == printable(text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, ""), (0.0, "0"), (4.56e-8, "4.6e-08"), (math.nan, "nan"), (math.inf, "inf")],
)
def test_distances_are_short(value: float | None, expected: str) -> None:
    assert expected == number(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ""),
        (0.0, "0"),
        (0.834, "0.83"),
        (18.83, "18.8"),
        (1.3e6, "1.3e+06"),
        (0.001, "1.0e-03"),
        (math.inf, "inf"),
    ],
)
def test_roundoffs_are_short(value: float | None, expected: str) -> None:
    assert expected == roundoffs(value)


def test_every_verdict_has_a_mark() -> None:
    assert set(Verdict) == set(MARKS)


# --- table -------------------------------------------------------------------------------------------------


def test_the_table_has_neither_colour_nor_trailing_blanks() -> None:
    text = render(WHOLE, "table")
    assert "\x1b" not in text
    assert text.endswith("\n")
    assert [] == [line for line in text.splitlines() if line != line.rstrip()]


def test_the_table_marks_every_verdict() -> None:
    text = render(WHOLE, "table")
    for expected in ("0.50 ✓", "✗ FAIL", "! CRASH"):
        assert expected in text


def test_the_table_says_who_is_wrong_where_by_how_much_and_how_to_see_it_again() -> None:
    text = render(report(PASSED, FAILED, arguments={"bad": "bad=numpy:f.py:g"}), "table")
    assert "is nan where the oracle has 1" in text
    assert "[0, 2]" in text or "(0, 2)" in text
    assert "3 of 24 elements" in text
    assert "oh no" in text
    command = "normcheck compare --method group --fixture f --backend bad=numpy:f.py:g --groups '0,1|2'"
    assert command in text


def test_the_last_line_of_the_table_is_the_verdict_of_the_run() -> None:
    assert re.search(r"✗ fail .*1 pass, 1 fail, 1 crash", render(WHOLE, "table"))
    assert re.search(r"✓ pass .*1 pass$", render(report(PASSED), "table").rstrip())


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "json"])
def test_nothing_foreign_reaches_a_terminal_raw(name: str) -> None:
    poison = "\x1b]0;owned\x07"
    case = replace(CASE, fixture=f"f{poison}")
    hostile = judged(FAILED, reason=f"r{poison}")
    hostile = replace(hostile, case=case, backend=f"b{poison}", stderr=f"s{poison}")
    whole = replace(
        report(
            replace(PASSED, case=case), hostile, arguments={f"b{poison}": f"a{poison}"}, notes=(f"n{poison}",)
        ),
        cases=(case,),
    )
    text = render(whole, name)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\\x1b]0;owned" in text


def test_notes_are_shown() -> None:
    assert "torch was left out" in render(report(PASSED, notes=("torch was left out",)), "table")


def test_markup_of_foreign_text_is_text() -> None:
    assert "[red]x[/red]" in render(report(judged(FAILED, reason="[red]x[/red]")), "table")


def test_backends_stand_side_by_side_where_they_fit_and_below_each_other_where_not() -> None:
    many = [replace(PASSED, backend=f"backend{number}") for number in range(12)]
    assert "f  groups=0,1|2  1.0e-07 0.50 ✓" in render(report(PASSED), "table")
    assert re.search(r"\n  backend11 +1.0e-07  0.50     18.0  pass ✓\n", render(report(*many), "table"))

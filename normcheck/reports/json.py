"""The report as JSON, schema_version 1 (DESIGN §5), and back; ``schema.json`` beside this module describes it.

A result is written flat: the id of its case, what sets that apart, and the figures of its judgement. ``summary`` and
all that a result repeats of its case follow from the rest, and reading checks that they do. So does ``not_tested``, but
from the fixtures of the normcheck that wrote it too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from normcheck.case import Case
from normcheck.data import from_data, parse, to_data
from normcheck.report import Comparison, Judgement, Report
from normcheck.reports.untested import untested

SCHEMA_VERSION = 1

_OF_THE_CASE = ("method", "params", "fixture", "dtype", "mode")  # repeated in each result
_DERIVED = ("schema_version", "summary", "not_tested")
# A string has no line break in JSON: what these match is never inside one.
_NUMBER = r'(?:-?\d[^\s,]*|"nan"|"-?inf")'
_NUMBERS = re.compile(rf"\[\n\s+({_NUMBER}(?:,\n\s+{_NUMBER})*)\n\s+\]")
_BREAK = re.compile(r",\n\s+")
_JUDGEMENT = tuple(field.name for field in fields(Judgement))


def render(report: Report) -> str:
    """The report as indented JSON, ending with a newline; arrays of numbers are on one line."""
    text = json.dumps(to_dict(report), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return _NUMBERS.sub(lambda found: _BREAK.sub(", ", f"[{found[1]}]"), text)


def read(text: str) -> Report:
    """The report that ``text`` is a rendering of; ValueError with a sentence where it is none.

    ``read(render(report)) == report`` where the results are of the report's cases, whose ids are distinct (as those
    of a run are), where no figure is NaN (it is read back as NaN, which equals nothing), and where the facts of
    ``environment`` are what JSON can tell apart: a tuple is read back as a list, infinity as the string "inf".
    """
    document = parse(text)
    if not isinstance(document, dict):
        raise ValueError("a report is a JSON object")
    if document.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(
            f"schema_version is {document.get('schema_version')!r}; this normcheck reads {SCHEMA_VERSION}"
        )
    try:
        report = from_data(Report, _nested(document))
    except ValueError as error:
        raise ValueError(str(error).replace(".judgement", "", 1)) from None
    derived = to_dict(report)
    for name in derived.keys() - {"not_tested"}:
        if name not in document or document[name] != derived[name]:
            raise ValueError(f"{name} is missing, or contradicts the rest of the report")
    return report


def to_dict(report: Report) -> dict[str, Any]:
    """The report as plain data, in the order of the schema."""
    data = to_data(report)
    return {
        "schema_version": SCHEMA_VERSION,
        "normcheck_version": data.pop("normcheck_version"),
        "environment": data.pop("environment"),
        "summary": _summary(report),
        "results": [
            _flat(result, each) for result, each in zip(report.results, data.pop("results"), strict=True)
        ],
        "not_tested": dict(untested(report)),
        "pairs": data.pop("pairs"),
        "cases": [
            {"id": case.id, **each} for case, each in zip(report.cases, data.pop("cases"), strict=True)
        ],
        **data,
    }


def _summary(report: Report) -> dict[str, Any]:
    known = sum(result.known is not None for result in report.results)
    return {
        "verdict": report.verdict.value,
        "cases": len(report.cases),
        "comparisons": len(report.results),
        **{verdict.value: count for verdict, count in report.counts().items()},
        **({"known": known} if known else {}),
    }


def _flat(result: Comparison, data: dict[str, Any]) -> dict[str, Any]:
    """A result with its judgement's figures in its own place, and of its case what sets that apart."""
    case, judgement = data.pop("case"), data.pop("judgement")
    return {
        "case": result.case_id,
        **{name: case[name] for name in _OF_THE_CASE},
        "backend": data.pop("backend"),
        "output": data.pop("output"),
        **judgement,
        **data,
    }


def _nested(document: dict[str, Any]) -> dict[str, Any]:
    """The document as :func:`normcheck.data.to_data` spells a report."""
    rest = {name: value for name, value in document.items() if name not in _DERIVED}
    cases = [_without(each, "id") for each in _objects(document, "cases")]
    results = _objects(document, "results")
    by_id: dict[Any, dict[str, Any]] = {}
    laws = {law for result in results if isinstance(law := result.get("law"), str)}
    for case, data in zip(_cases(cases), cases, strict=True):
        by_id[case.id] = data
        by_id |= {case.id_with(f"law={law}"): data for law in laws - {""}}
    return {**rest, "cases": cases, "results": [_nested_result(result, by_id) for result in results]}


def _cases(data: list[dict[str, Any]]) -> tuple[Case, ...]:
    try:
        return from_data(tuple[Case, ...], data)
    except ValueError as error:
        raise ValueError(f"cases{error}") from None


def _nested_result(flat: dict[str, Any], by_id: Mapping[Any, dict[str, Any]]) -> dict[str, Any]:
    """A result with the case that it names, and its figures in a judgement."""
    name = flat.get("case")
    if not isinstance(name, str) or name not in by_id:
        raise ValueError(f"results: {name!r} is none of the cases")
    judgement = {field: flat[field] for field in _JUDGEMENT if field in flat}
    return {
        **_without(flat, *_JUDGEMENT, *_OF_THE_CASE),
        "case": by_id[name],
        "judgement": judgement,
    }


def _objects(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = document.get(name)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ValueError(f"{name} is not an array of objects")
    return found


def _without(data: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name not in names}

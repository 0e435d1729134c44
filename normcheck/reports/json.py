"""The report as JSON, schema_version 1 (DESIGN §5); ``schema.json`` beside this module describes it.

Numbers that are not finite are the strings "nan", "inf" and "-inf", so that the file is strict JSON.
"""

from __future__ import annotations

import json
import math
from typing import Any

from normcheck.report import Comparison, Known, Report, Worst

SCHEMA_VERSION = 1


def render(report: Report) -> str:
    """The report as indented JSON, ending with a newline."""
    return json.dumps(_strict(to_dict(report)), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def to_dict(report: Report) -> dict[str, Any]:
    """The report as plain data, in the order of the schema."""
    environment = report.environment
    return {
        "schema_version": SCHEMA_VERSION,
        "normcheck_version": report.normcheck_version,
        "environment": {
            "python": environment.python,
            "platform": environment.platform,
            "cpu": environment.cpu,
            "backends": {name: dict(facts) for name, facts in environment.backends.items()},
        },
        "summary": {
            "verdict": report.verdict.value,
            "cases": len(report.cases),
            "comparisons": len(report.results),
            **{verdict.value: count for verdict, count in report.counts().items()},
            **({"known": known} if (known := sum(r.known is not None for r in report.results)) else {}),
        },
        "results": [_result(result) for result in report.results],
        "pairs": [
            {
                "case": pair.case,
                "output": pair.output.value,
                "backends": list(pair.backends),
                "max_abs_diff": pair.max_abs_diff,
            }
            for pair in report.pairs
        ],
        **({"stale": list(report.stale)} if report.stale else {}),
    }


def _result(result: Comparison) -> dict[str, Any]:
    case = result.case
    return {
        "case": result.case_id,
        "method": case.method.value,
        "params": case.params.to_dict(),
        "fixture": case.fixture,
        "dtype": case.dtype.value,
        "mode": case.mode.value,
        "backend": result.backend,
        "output": result.output.value,
        "verdict": result.verdict.value,
        "reason": result.reason,
        "max_abs_diff": result.max_abs_diff,
        "max_rel_diff": result.max_rel_diff,
        "max_ulp": result.max_ulp,
        "backward_error": result.backward_error,
        "allowed": result.allowed,
        "mismatched": result.mismatched,
        "total": result.total,
        "worst": None if result.worst is None else _worst(result.worst),
        "seconds": result.seconds,
        "stderr": result.stderr,
        **({} if result.known is None else {"known": _known(result.known)}),
    }


def _known(known: Known) -> dict[str, Any]:
    return {"reason": known.reason, "link": known.link}


def _worst(worst: Worst) -> dict[str, Any]:
    return {"index": list(worst.index), "x": worst.x, "actual": worst.actual, "expected": worst.expected}


def _strict(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    return value

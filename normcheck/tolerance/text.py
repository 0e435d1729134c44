"""Audits as strict JSON, and as sentences."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from normcheck._version import __version__
from normcheck.data import to_data
from normcheck.methods import keywords
from normcheck.tolerance.audit import NEEDED, YOURS, Audit, Finding
from normcheck.tolerance.bounds import Tolerance

SCHEMA_VERSION = 1


def as_json(audits: Sequence[Audit], notes: Sequence[str]) -> str:
    """The audits as JSON, as docs/tolerance.md describes it."""
    data = {
        "schema_version": SCHEMA_VERSION,
        "normcheck_version": __version__,
        "output": "y",
        "verdict": verdict(audits),
        "audits": [_data(each) for each in audits],
        "notes": list(notes),
    }
    return json.dumps(to_data(data), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def verdict(audits: Sequence[Audit]) -> str | None:
    """``pass`` or ``fail`` for the user's own tolerance; None where none was given."""
    own = [f for each in audits for f in each.findings if f.tolerance.name == YOURS]
    if not own:
        return None
    return "pass" if all(each.sound for each in own) else "fail"


def call(tolerance: Tolerance, other: str) -> str:
    """The line that a test has."""
    return f"torch.testing.assert_close(y, {other}, rtol={tolerance.rtol:.3g}, atol={tolerance.atol:.3g})"


def sentences(finding: Finding) -> Iterator[str]:
    """What a tolerance does on a case: how much it is right about, then by name what it is wrong about."""
    own = finding.tolerance
    caught = finding.broken - len(finding.broken_passed)
    passed = finding.honest - len(finding.honest_accused)
    source = f"{own.source}, " if own.source else ""
    yield (
        f"{own.name} ({source}rtol={own.rtol:.3g}, atol={own.atol:.3g}) "
        f"catches {caught} of {finding.broken} broken, passes {passed} of {finding.honest} honest"
    )
    if finding.broken_passed:
        yield f"  passes the broken: {'; '.join(finding.broken_passed)}"
        if own.name == NEEDED:
            yield "  which normcheck fails: its bound is one for each element, not one line for all"
    if finding.honest_accused:
        every = len(finding.honest_accused) == finding.honest
        yield f"  accuses the honest: {'all of them' if every else '; '.join(finding.honest_accused)}"
    if not (finding.broken and finding.honest):
        yield "  which shows nothing: this data tells no broken implementation from a sound one; take other data"


def _data(audit: Audit) -> dict[str, Any]:
    case = audit.case
    needed = {"exact": audit.needed.exact, "each_other": audit.needed.each_other}
    return {
        "case": case.id,
        "method": case.method,
        "params": keywords(case.method, case.params),
        "fixture": case.fixture,
        "shape": case.shape,
        "dtype": case.dtype,
        "needed": {name: {"rtol": each.rtol, "atol": each.atol} for name, each in needed.items()},
        "implementations": audit.implementations,
        "tolerances": [
            {**to_data(each.tolerance), **_without_tolerance(each), "sound": each.sound}
            for each in audit.findings
        ],
    }


def _without_tolerance(finding: Finding) -> dict[str, Any]:
    return {name: value for name, value in to_data(finding).items() if name != "tolerance"}

"""What a ledger says of a report: which of its results are known, and which entries the run contradicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from normcheck.ledger.read import Entry, Ledger
from normcheck.report import Comparison, Report
from normcheck.verdict import Verdict

_INEXACT = {Verdict.LOOSE, Verdict.FAIL}
_NO_ANSWER = {Verdict.ERROR, Verdict.CRASH, Verdict.TIMEOUT, Verdict.UNAVAILABLE}


def applied(ledger: Ledger, report: Report) -> Report:
    """``report`` with its known deviations, the stale entries of ``ledger``, and its name."""
    found = list(report.results)
    stale = []
    for entry in ledger.entries:
        concerned = [place for place, result in enumerate(found) if _concerns(entry, result, report)]
        expected = [place for place in concerned if found[place].verdict is entry.verdict]
        for place in expected:
            if found[place].known is None:
                found[place] = replace(found[place], known=entry.known)
        shown = [found[place] for place in concerned if _contradicts(found[place], entry, report)]
        if shown and not expected:
            stale.append(_stale(entry, shown))
    return replace(
        report,
        results=tuple(found),
        stale=tuple(stale),
        ledger=ledger.name,
        notes=(*report.notes, *ledger.notes),
    )


def _concerns(entry: Entry, result: Comparison, report: Report) -> bool:
    """True for a comparison that the entry describes, whatever its verdict."""
    return (
        entry.output in (None, result.output)
        and matches(entry.backend, result.backend)
        and matches(entry.case, result.case_id)
        and _of_version(entry, report.environment.backends.get(result.backend, {}).get("version"))
    )


def _of_version(entry: Entry, version: object) -> bool:
    """True unless the entry is about other versions; a version that is not stated is none of them."""
    return entry.version is None or (version is not None and matches(entry.version, str(version)))


def _contradicts(result: Comparison, entry: Entry, report: Report) -> bool:
    """True where a result could have had the verdict of the entry, and says that it is no longer so.

    Where a backend gave no answer, or the case decided nothing, that could not be seen; nor how large an error is that
    --max-backward-error let pass. LOOSE and FAIL do not contradict each other: --strict makes one of the other.
    """
    found, known = result.verdict, entry.verdict
    if known in _INEXACT:
        return found is Verdict.PASS and report.max_backward_error is None
    if known is Verdict.INCONCLUSIVE:
        return found is Verdict.PASS or found in _INEXACT
    return found is not known and found not in _NO_ANSWER


def _stale(entry: Entry, shown: Sequence[Comparison]) -> str:
    verdicts = ", ".join(dict.fromkeys(result.verdict.value for result in shown))
    return (
        f"{entry.where}: {entry.backend} no longer gives {entry.verdict} in {entry.case} ({len(shown)} compared: "
        f"{verdicts}); remove or correct the entry"
    )


def matches(pattern: str, text: str) -> bool:
    """True if ``text`` is what ``pattern`` describes.

    As fnmatch, whose patterns do not backtrack, but brackets stand for themselves: ids have them.
    """
    return fnmatchcase(text, pattern.replace("[", "[[]"))

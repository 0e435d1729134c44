"""What each comparison, and the run as a whole, comes to for those who count tests: the exit code, told apart."""

from __future__ import annotations

import enum
from collections.abc import Iterator

from normcheck.change import Change
from normcheck.errors import ExitCode
from normcheck.report import Comparison, Report
from normcheck.verdict import Verdict


class Outcome(enum.Enum):
    """FAILED and ERRORED fail the run; every such run has one of them, or a trouble of the run as a whole."""

    PASSED = enum.auto()
    LOOSE = enum.auto()  # passed
    FAILED = enum.auto()  # a mismatch, what no case decides, more than the baseline allows: exit code 1
    ERRORED = enum.auto()  # no answer: exit code 4
    KNOWN = enum.auto()  # in the ledger
    SKIPPED = enum.auto()  # unsupported, or decided in another case

    @property
    def red(self) -> bool:
        """True for what fails the run."""
        return self in {Outcome.FAILED, Outcome.ERRORED}


def outcomes(report: Report) -> Iterator[tuple[Comparison, Outcome, Change | None]]:
    """Each comparison, in the order of the report, its outcome, and the growth since the baseline that failed it."""
    red = {id(result) for result in report.failures()}
    grown = {(c.backend, c.case, c.output): c for c in (report.baseline.failures if report.baseline else ())}
    for result in report.results:
        change = grown.get((result.backend, result.case_id, result.output))
        yield result, _outcome(result, red=id(result) in red, grown=change is not None), change


def _outcome(result: Comparison, *, red: bool, grown: bool) -> Outcome:
    verdict = result.verdict
    if red:
        mismatch = verdict in {Verdict.FAIL, Verdict.INCONCLUSIVE}
        return Outcome.FAILED if mismatch or grown else Outcome.ERRORED
    if result.known is not None:
        return Outcome.KNOWN
    if grown:
        return Outcome.FAILED
    if verdict.good:
        return Outcome.LOOSE if verdict is Verdict.LOOSE else Outcome.PASSED
    return Outcome.SKIPPED


def troubles(report: Report) -> list[str]:
    """What fails the run and is of no comparison: stale entries of the ledger, nothing that was compared."""
    found = [f"stale: {problem}" for problem in report.stale]
    if report.baseline is not None and report.misses_baseline:
        found.append(f"nothing was compared with the baseline {report.baseline.file}")
    if report.exit_code is not ExitCode.OK and not found:
        red = any(outcome.red for _, outcome, _ in outcomes(report))
        found += [] if red else [f"nothing was compared: exit code {int(report.exit_code)}"]
    return found

"""What a run found: comparisons, pairs, the environment. Every format and the exit code are derived from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from normcheck.case import Case, Method, Output
from normcheck.change import Since
from normcheck.data import ABSENT_BY_DEFAULT
from normcheck.errors import ExitCode, MismatchError, VerdictError
from normcheck.evidence import Evidence
from normcheck.verdict import SEVERITY, Excuse, Verdict
from normcheck.words import say

EXPECTED = "expected"  # the name under which a fixture's own expected values are compared


@dataclass(frozen=True, slots=True, kw_only=True)
class Worst:
    """The element that decides a comparison: where it is, what went in, what came out, what should have."""

    index: tuple[int, ...]
    x: float | None  # the input at that index, where the output has the shape of the input
    actual: float
    expected: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Why a result that is no pass is expected, and where there is more about it."""

    reason: str
    link: str | None = None

    @property
    def words(self) -> str:
        """The reason, and behind it the link."""
        return f"{self.reason} ({self.link})" if self.link else self.reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """Backward errors of the same code for x with other ``lengths`` of ``axis``, its own among them.

    The ``slope`` is that of log β over the logarithm of the length.
    """

    axis: int
    lengths: tuple[int, ...]
    backward_error: tuple[float, ...]
    slope: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdict on one array, and the figures behind it.

    The figures are None where none could be computed (no result, a wrong shape or dtype). Units: ``max_ulp`` in
    ulp of the array's dtype, ``backward_error`` and ``allowed`` in unit roundoffs of the inputs. ``mismatched``
    of ``total`` elements have a backward error of more than is allowed. ``decided`` counts the elements for which
    the case can tell a right result from a wrong one; None: all that are finite. LOOSE has an ``excuse``; where that is
    the order of summation, ``growth`` says what was found when the same code was asked for other sums. The first
    results of a backend that FAIL have ``evidence``: their errors, element by element.
    """

    verdict: Verdict
    reason: str | None = None
    max_abs_diff: float | None = None
    max_rel_diff: float | None = None
    max_ulp: int | None = None
    backward_error: float | None = None
    allowed: float | None = None
    mismatched: int | None = None
    total: int | None = None
    worst: Worst | None = None
    decided: int | None = None
    excuse: Excuse | None = field(default=None, metadata=ABSENT_BY_DEFAULT)
    growth: tuple[Growth, ...] = field(default=(), metadata=ABSENT_BY_DEFAULT)
    evidence: Evidence | None = field(default=None, metadata=ABSENT_BY_DEFAULT)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Comparison:
    """The judgement on one output of one backend: by the oracle, or by the ``law`` that is named.

    ``seconds`` is the wall time of the backend's computation of the case. ``known`` is what the ledger of known
    deviations says of the verdict; such a result does not fail the run. ``str`` of it is its paragraph in the table.
    """

    case: Case
    backend: str
    output: Output
    judgement: Judgement
    law: str = ""
    seconds: float | None = None
    stderr: str = ""
    known: Known | None = field(default=None, metadata=ABSENT_BY_DEFAULT)

    def __repr__(self) -> str:
        """In a line: ``<Comparison: fail, mine · group[num_groups=4]/nchw/float32 · y>``."""
        return f"<Comparison: {self.verdict}, {self.backend} · {self.case_id} · {self.output}>"

    def __str__(self) -> str:
        """The paragraph on it, as in the table."""
        return say("comparison", self)

    @property
    def case_id(self) -> str:
        """The id of the case, with the law by which it was judged, if any."""
        return self.case.id_with(f"law={self.law}") if self.law else self.case.id

    @property
    def verdict(self) -> Verdict:
        """What the judgement comes down to."""
        return self.judgement.verdict

    @property
    def reason(self) -> str | None:
        """The reason for the verdict; None where PASS needs none."""
        return self.judgement.reason

    @property
    def max_abs_diff(self) -> float | None:
        """The largest absolute difference from the oracle."""
        return self.judgement.max_abs_diff

    @property
    def max_rel_diff(self) -> float | None:
        """The largest relative difference from the oracle."""
        return self.judgement.max_rel_diff

    @property
    def max_ulp(self) -> int | None:
        """The largest difference from the oracle, in ulp of the array's dtype."""
        return self.judgement.max_ulp

    @property
    def backward_error(self) -> float | None:
        """The backward error, in unit roundoffs of the inputs."""
        return self.judgement.backward_error

    @property
    def allowed(self) -> float | None:
        """The backward error up to which a result passes."""
        return self.judgement.allowed

    @property
    def mismatched(self) -> int | None:
        """How many elements have a backward error of more than is allowed."""
        return self.judgement.mismatched

    @property
    def total(self) -> int | None:
        """How many elements the output has."""
        return self.judgement.total

    @property
    def worst(self) -> Worst | None:
        """The element that decides the comparison."""
        return self.judgement.worst


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """How far two backends are apart in one output of one case; None where that cannot be said."""

    case: str
    output: Output
    backends: tuple[str, str]
    max_abs_diff: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a backend's own code is: a file, and the line that defines it where that is known."""

    file: str
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The machine and the frameworks of a run; ``backends`` has the facts that each backend states, by its name.

    ``seed`` is what ``--seed`` has to be to draw the same inputs again, where some were drawn anew.
    """

    python: str
    platform: str
    cpu: str
    backends: Mapping[str, Mapping[str, Any]]
    seed: int | None = field(default=None, metadata=ABSENT_BY_DEFAULT)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Report:
    """Everything that a run found; every format and the exit code are derived from it. ``str`` of it is the table.

    ``offsets`` has, where a case takes a mean away, the largest |mean|/√(variance + eps) of its statistic sets.
    """

    normcheck_version: str
    environment: Environment
    cases: tuple[Case, ...]
    results: tuple[Comparison, ...]
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...] = ()  # what a reader should know: backends left out, and the like
    arguments: Mapping[str, str] = field(default_factory=dict)  # of --backend, by the backend's name
    fixtures: Mapping[str, str] = field(default_factory=dict)  # arguments of --fixture, by the fixture's name
    as_stored: tuple[str, ...] = field(default=(), metadata=ABSENT_BY_DEFAULT)  # files whose dtypes were kept
    offsets: Mapping[str, float] = field(
        default_factory=dict, metadata=ABSENT_BY_DEFAULT
    )  # of x, by the case's id
    max_backward_error: float | None = None  # what replaced the derived bound
    repeat: int = field(default=1, metadata=ABSENT_BY_DEFAULT)  # calls of each case
    suite: str | None = field(default=None, metadata=ABSENT_BY_DEFAULT)  # of the configuration, that was run
    ledger: str | None = field(default=None, metadata=ABSENT_BY_DEFAULT)  # the file of known deviations
    stale: tuple[str, ...] = field(default=(), metadata=ABSENT_BY_DEFAULT)  # what is wrong with the ledger
    sources: Mapping[str, Place] = field(
        default_factory=dict, metadata=ABSENT_BY_DEFAULT
    )  # of users' own code
    baseline: Since | None = field(default=None, metadata=ABSENT_BY_DEFAULT)  # what has changed since

    def __repr__(self) -> str:
        """In a line: ``<Report: fail, 13 cases, 52 comparisons>``."""
        return f"<Report: {self.verdict}, {len(self.cases)} cases, {len(self.results)} comparisons>"

    def __str__(self) -> str:
        """The table, as ``normcheck compare`` prints it into a pipe."""
        return say("report", self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """The table, where IPython or a notebook shows the report."""
        printer.text(str(self))

    def raise_for_verdict(self) -> None:
        """Return where the run passes, its ``exit_code`` is 0; else raise what is wrong, in the table's paragraphs.

        Raises :class:`normcheck.MismatchError` where a result is wrong or an output undecided (exit code 1), and
        :class:`normcheck.VerdictError`, of which that is one, where results are missing too: a backend that raised or
        is not there, all of it unsupported, nothing compared. Both are AssertionErrors.
        """
        __tracebackhide__ = True  # pytest shows the caller's line
        if self.exit_code is not ExitCode.OK:
            kind = MismatchError if self.exit_code is ExitCode.MISMATCH else VerdictError
            raise kind(say("failures", self), self.exit_code)

    def by_oracle(self) -> tuple[Comparison, ...]:
        """The comparisons with the oracle: all but those that a law judged."""
        return tuple(result for result in self.results if not result.law)

    def counts(self) -> dict[Verdict, int]:
        """The number of comparisons by verdict, every verdict included."""
        found = Counter(result.verdict for result in self.results)
        return {verdict: found[verdict] for verdict in Verdict}

    def unexpected(self) -> Counter[Verdict]:
        """The number of comparisons by verdict, without those that the ledger knows of."""
        return Counter(result.verdict for result in self.results if result.known is None)

    @property
    def all_known(self) -> bool:
        """True where the run passes, but not all of its results do: the ledger knows of the others."""
        return self.verdict is Verdict.PASS and self._any_known()

    def _any_known(self) -> bool:
        return any(result.known is not None for result in self.results)

    def undecided(self) -> frozenset[tuple[str, ...]]:
        """Each backend, method, dtype, output and law that is INCONCLUSIVE wherever it occurs in the run."""
        decided: dict[tuple[str, ...], bool] = {}
        for result in self.results:
            if result.verdict.compared and result.known is None:
                key = _kind(result)
                decided[key] = decided.get(key, False) or result.verdict is not Verdict.INCONCLUSIVE
        return frozenset(key for key, any_decided in decided.items() if not any_decided)

    def failures(self) -> tuple[Comparison, ...]:
        """The comparisons that keep the run from passing, whatever the baseline says."""
        undecided, uncovered = self.undecided(), self.uncovered()
        return tuple(
            result
            for result in self.results
            if result.known is None
            and (
                result.verdict in _FAILING
                or (result.verdict is Verdict.INCONCLUSIVE and _kind(result) in undecided)
                or (not result.verdict.compared and (result.backend, result.case.method) in uncovered)
            )
        )

    def decided_elsewhere(self) -> tuple[Comparison, ...]:
        """The INCONCLUSIVE comparisons of what another case of the run decides: they are no accusation."""
        undecided = self.undecided()
        return tuple(
            result
            for result in self.results
            if result.verdict is Verdict.INCONCLUSIVE
            and result.known is None
            and _kind(result) not in undecided
        )

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of the run that is not known; unsupported where a backend could compute no case of a
        method, fail where an entry of the ledger is stale or a backward error has grown since the baseline, error where
        nothing was compared with that. What is inconclusive in one case counts only where no other case decides it.
        """
        counts = self.unexpected()
        if not self.undecided():
            del counts[Verdict.INCONCLUSIVE]
        if self.stale or self._worse():
            return Verdict.FAIL
        if self.exit_code is ExitCode.OK and self._any_known() and set(counts) <= {Verdict.UNSUPPORTED}:
            return Verdict.PASS
        if not counts and self.results:  # all of it is known, and none of it was compared
            counts = Counter(self.counts())
        if self.misses_baseline:
            counts[Verdict.ERROR] += 1
        if counts[Verdict.UNSUPPORTED] and self.exit_code in {ExitCode.BACKEND, ExitCode.NOTHING_COMPARED}:
            failed = (v for v in SEVERITY[: SEVERITY.index(Verdict.LOOSE)] if counts[v])
            return next(failed, Verdict.UNSUPPORTED)
        return next((verdict for verdict in SEVERITY if counts[verdict]), Verdict.ERROR)

    @property
    def misses_baseline(self) -> bool:
        """True where there is a baseline, and nothing was compared with it."""
        return self.baseline is not None and not self.baseline.compared

    def _worse(self) -> bool:
        return self.baseline is not None and bool(self.baseline.failures)

    def uncovered(self) -> tuple[tuple[str, Method], ...]:
        """Each backend and method of which not one output was compared, in the order of the results.

        Laws do not count: wrong output may obey them.
        """
        compared: dict[tuple[str, Method], bool] = {}
        for result in self.by_oracle():
            key = (result.backend, result.case.method)
            answered = result.verdict.compared or result.known is not None
            compared[key] = compared.get(key, False) or answered
        return tuple(key for key, any_compared in compared.items() if not any_compared)

    @property
    def exit_code(self) -> ExitCode:
        """The exit code that follows: a mismatch outweighs a backend that gave no answer."""
        counts = self.unexpected()
        if counts[Verdict.FAIL] or self.undecided() or self.stale or self._worse():
            return ExitCode.MISMATCH
        if any(counts[v] for v in (Verdict.CRASH, Verdict.TIMEOUT, Verdict.ERROR, Verdict.UNAVAILABLE)):
            return ExitCode.BACKEND
        if not any(r.verdict.compared for r in self.by_oracle() if r.backend != EXPECTED):
            return ExitCode.NOTHING_COMPARED
        if self.uncovered():
            return ExitCode.BACKEND
        return ExitCode.NOTHING_COMPARED if self.misses_baseline else ExitCode.OK


_FAILING = {Verdict.FAIL, Verdict.ERROR, Verdict.CRASH, Verdict.TIMEOUT, Verdict.UNAVAILABLE}


def _kind(result: Comparison) -> tuple[str, ...]:
    """What one case may leave undecided and another decide."""
    case = result.case
    return (result.backend, case.method, case.dtype, result.output, result.law)

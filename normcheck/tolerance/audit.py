"""Audit a tolerance on one case: which broken implementations it passes, which honest ones it accuses."""

from __future__ import annotations

import enum
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from normcheck.answer import Answer
from normcheck.case import Case, Output
from normcheck.dtypes import numpy_dtype
from normcheck.errors import FixtureError
from normcheck.judge.case import CaseJudge
from normcheck.judge.distance import max_abs_difference
from normcheck.judge.scale import Scale
from normcheck.methods import sums_dtype
from normcheck.options import Options
from normcheck.oracle import Truth, truths_of
from normcheck.plan import PlannedCase
from normcheck.report import Comparison
from normcheck.tolerance.algorithms import HONEST, computed
from normcheck.tolerance.bounds import Needed, Tolerance, needed, usual
from normcheck.tolerance.others import broken, fitting
from normcheck.verdict import Verdict

Floats = NDArray[Any]
NEEDED, YOURS = "needed", "yours"


class Kind(enum.StrEnum):
    """What an implementation is, by how it is made."""

    BROKEN = "broken"
    HONEST = "honest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Implementation:
    """One implementation: the verdict of normcheck's own judge, and by the name of each tolerance if that passes it.

    ``max_abs_diff`` is from the expected y. What does not ``differ`` from it in any bit has no verdict. ``within`` says
    if its backward error is one that sound code may have: an INCONCLUSIVE one can be beyond that. An honest one passes
    if it does so against the expected y, and against each other honest one within the bound.
    """

    name: str
    kind: Kind
    differs: bool
    max_abs_diff: float | None
    verdict: Verdict | None
    within: bool
    passes: Mapping[str, bool]

    @property
    def counts(self) -> bool:
        """True for a broken one that the data tells from sound ones, and for an honest one that is sound on it.

        It is told apart where normcheck fails it, and where a tolerance that all sound code meets does.
        """
        if self.kind is Kind.HONEST:
            return self.within
        return self.verdict is Verdict.FAIL or not self.passes[NEEDED]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a tolerance does on one case: the names of the broken that it passes, and of the honest that it accuses.

    ``not_told_apart`` are broken ones that it passes, and that the bounds of sound code have room for too: the data is
    at fault, not the tolerance. ``broken`` and ``honest`` count those that it could have been wrong about.
    """

    tolerance: Tolerance
    broken_passed: tuple[str, ...]
    not_told_apart: tuple[str, ...]
    honest_accused: tuple[str, ...]
    broken: int
    honest: int

    @property
    def sound(self) -> bool:
        """True if it is right about all of them, and there are some of both kinds."""
        return bool(self.broken and self.honest) and not (self.broken_passed or self.honest_accused)


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What sound code needs on the data of one case, and what tolerances do there."""

    case: Case
    needed: Needed
    implementations: tuple[Implementation, ...]
    findings: tuple[Finding, ...]


def audit(planned: PlannedCase, given: Tolerance | None) -> Audit:
    """The audit of ``given``, or of the usual tolerances, on the y of one case; FixtureError where y is not finite."""
    case = replace(planned.case, outputs=(Output.Y,))
    arrays = planned.fixture.arrays().inputs(case)
    truth = truths_of(case, arrays)[Output.Y]
    expected = truth.value.astype(numpy_dtype(case.dtype_of(Output.Y)))
    _check_decided(planned, truth, expected)
    scale = Scale(dtype=case.dtype_of(Output.Y), unit=sums_dtype(case).output_roundoff)
    found = needed(truth, scale)
    tolerances = (replace(found.exact, name=NEEDED), *((given,) if given else usual(scale.dtype)))
    made = {Kind.BROKEN: dict(broken(case, arrays))}
    made[Kind.HONEST] = {n: computed(a, case, arrays) for n, a in fitting(HONEST, case).items()}
    comparisons = _judged(case, arrays, itertools.chain.from_iterable(e.items() for e in made.values()))
    implementations = tuple(
        Implementation(
            name=name,
            kind=kind,
            differs=(differs := not np.array_equal(y, expected)),
            max_abs_diff=max_abs_difference(y, expected),
            verdict=comparisons[name].verdict if differs else None,
            within=not differs or _within(comparisons[name]),
            passes={each.name: each.passes(y, expected) for each in tolerances},
        )
        for kind, group in made.items()
        for name, y in group.items()
    )
    implementations = _among_honest(implementations, made[Kind.HONEST], tolerances, found)
    findings = tuple(_finding(each, implementations) for each in tolerances)
    return Audit(case=case, needed=found, implementations=implementations, findings=findings)


def _check_decided(planned: PlannedCase, truth: Truth, expected: Floats) -> None:
    """FixtureError where no tolerance can say anything: y is not finite, or nothing bounds its error."""
    if expected.size == 0:
        raise FixtureError(f"fixture {planned.fixture.argument}: y is empty: there is nothing to compare")
    if not (np.isfinite(expected.astype(np.float64)).all() and np.isfinite(truth.cond + truth.cond2).all()):
        raise FixtureError(
            f"fixture {planned.fixture.argument}, {planned.case.method} norm in {planned.case.dtype}: some of y is not "
            "finite, or nothing bounds its error: no rtol and atol are right; take finite data that is not constant, "
            "such as --shape 8,1024, or compare, which judges these too"
        )


def _judged(
    case: Case, arrays: Mapping[str, Floats], made: Iterable[tuple[str, Floats]]
) -> Mapping[str, Comparison]:
    """What normcheck's own judge says of each y."""
    answers = {name: Answer(verdict=None, outputs={Output.Y: y}) for name, y in made}
    results = CaseJudge(case, arrays, Options()).judge(answers).results
    return {name: found[0] for name, found in results.items()}


def _within(comparison: Comparison) -> bool:
    beta, allowed = comparison.backward_error, comparison.judgement.allowed
    return beta is not None and allowed is not None and beta <= allowed


def _among_honest(
    implementations: Sequence[Implementation],
    ys: Mapping[str, Floats],
    tolerances: Sequence[Tolerance],
    found: Needed,
) -> tuple[Implementation, ...]:
    """``implementations``, with honest ones that are sound held against each other too, as two libraries are."""
    sound = [each.name for each in implementations if each.kind is Kind.HONEST and each.counts]
    apart = {
        each.name: {
            name
            for pair in itertools.permutations(sound, 2)
            if not (found.each_other if each.name == NEEDED else each).passes(ys[pair[0]], ys[pair[1]])
            for name in pair
        }
        for each in tolerances
    }
    return tuple(
        replace(each, passes={n: ok and each.name not in apart[n] for n, ok in each.passes.items()})
        if each.kind is Kind.HONEST
        else each
        for each in implementations
    )


def _finding(tolerance: Tolerance, implementations: Sequence[Implementation]) -> Finding:
    counted = [each for each in implementations if each.counts]
    bad, good = ([each for each in counted if each.kind is kind] for kind in Kind)
    return Finding(
        tolerance=tolerance,
        broken_passed=tuple(each.name for each in bad if each.passes[tolerance.name]),
        not_told_apart=tuple(
            each.name
            for each in implementations
            if each.kind is Kind.BROKEN and each.differs and not each.counts and each.passes[tolerance.name]
        ),
        honest_accused=tuple(each.name for each in good if not each.passes[tolerance.name]),
        broken=len(bad),
        honest=len(good),
    )

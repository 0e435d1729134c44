"""Inputs that are drawn anew in the run, and candidates that answer from a table of those that are published."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from normcheck.fixtures.drawn import any_seed, is_drawn, redrawn
from normcheck.plan import Plan
from normcheck.report import Comparison
from normcheck.run.backends import BackendSpec
from normcheck.verdict import Verdict

OF_RECORDINGS = 0  # the seed of what cannot be asked again, unless another one is stated
BAD = frozenset({Verdict.FAIL, Verdict.ERROR, Verdict.CRASH, Verdict.TIMEOUT})


def seed_for(plan: Plan, specs: Iterable[BackendSpec], stated: int | None) -> int | None:
    """The seed of what is drawn anew in this run; None where nothing is."""
    if not any(is_drawn(each.case.fixture) for each in plan.cases):
        return None
    if stated is not None:
        return stated
    return OF_RECORDINGS if any(spec.recording is not None for spec in specs) else any_seed()


def drawn(plan: Plan, seed: int | None) -> Plan:
    """The plan with the numbers of ``seed`` in the fixtures that are drawn anew."""
    if seed is None:
        return plan
    fixtures = {
        each.case.fixture: redrawn(each.fixture, seed) for each in plan.cases if is_drawn(each.case.fixture)
    }
    cases = (replace(each, fixture=fixtures.get(each.case.fixture, each.fixture)) for each in plan.cases)
    return replace(plan, cases=tuple(cases))


def told_apart(results: Sequence[Comparison], seed: int | None) -> tuple[Comparison, ...]:
    """``results``, with a sentence to those of a backend that is right on all published inputs, and only there."""
    if seed is None:
        return tuple(results)
    published: dict[tuple[str, ...], set[bool]] = defaultdict(set)
    for result in results:
        if not is_drawn(result.case.fixture):
            published[_kind(result)].add(result.verdict.good)
    return tuple(
        _suspected(result, seed)
        if is_drawn(result.case.fixture) and result.verdict in BAD and published[_kind(result)] == {True}
        else result
        for result in results
    )


def _kind(result: Comparison) -> tuple[str, ...]:
    case = result.case
    return result.backend, case.method, case.dtype, case.mode, result.output, result.law


def _suspected(result: Comparison, seed: int) -> Comparison:
    sentence = (
        "right on every input that is published, and not on those that were drawn anew in this run: "
        f"does it answer from a table of inputs? --seed {seed} draws the same"
    )
    reason = f"{result.reason}; {sentence}" if result.reason else sentence
    return replace(result, judgement=replace(result.judgement, reason=reason))

"""--repeat: a case is asked several times, and each answer judged; the worst one counts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from normcheck.answer import Answer
from normcheck.case import Output
from normcheck.judge.case import NO_EVIDENCE, CaseJudge, Judged
from normcheck.judge.laws import OWN
from normcheck.report import Comparison
from normcheck.verdict import SEVERITY, Verdict

WORDS = {Verdict.FAIL: "wrong", Verdict.LOOSE: "loose", Verdict.INCONCLUSIVE: "undecided"}


def names(repeat: int) -> tuple[str, ...]:
    """The names of the runs, one for each call."""
    return (OWN, *(f"call {number}" for number in range(2, repeat + 1)))


def shared(answer: Answer, earlier: Iterable[Answer]) -> Answer:
    """The ``earlier`` answer that is the same, so that nothing is held twice; ``answer`` if there is none."""
    return next((each for each in earlier if _same(each, answer)), answer)


def _same(a: Answer, b: Answer) -> bool:
    if a.outputs.keys() != b.outputs.keys():
        return False
    alike = replace(a, outputs={}, seconds=None, stderr="") == replace(b, outputs={}, seconds=None, stderr="")
    return alike and all(_same_bits(a.outputs[name], b.outputs[name]) for name in a.outputs)


def _same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    if (a.shape, a.dtype) != (b.shape, b.dtype):
        return False
    left, right = (np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in (a, b))
    return np.array_equal(left, right)


def judged(
    judge: CaseJudge,
    answers: Mapping[str, Mapping[str, Answer]],
    most_evidence: Mapping[str, int] = NO_EVIDENCE,
) -> Judged:
    """The worst comparison of each output over all calls; pairs are those of the first calls.

    Calls whose answers are the same object are judged once.
    """
    calls: dict[str, list[str]] = {}  # by backend, the name under which each call's answer is judged
    distinct: dict[str, Answer] = {}
    for backend, by_run in answers.items():
        seen: dict[int, str] = {}
        for number, answer in enumerate(by_run.values()):
            # a name of a backend has no line break
            name = seen.setdefault(id(answer), backend if number == 0 else f"{backend}\n{number}")
            distinct.setdefault(name, answer)
            calls.setdefault(backend, []).append(name)
    found = judge.judge(distinct, {name: most_evidence.get(name.partition("\n")[0], 0) for name in distinct})
    results = {
        name: own for name, own in found.results.items() if name not in distinct
    }  # those it states itself
    notes = []
    for backend, judged_as in calls.items():
        results[backend] = _worst(backend, [found.results[name] for name in judged_as])
        if len(set(judged_as)) > 1 and all(result.verdict.good for result in results[backend]):
            notes.append(backend)
    pairs = tuple(pair for pair in found.pairs if not any("\n" in name for name in pair.backends))
    return Judged(results=results, pairs=pairs, varying=tuple(notes), offset=found.offset)


def _worst(backend: str, calls: Sequence[tuple[Comparison, ...]]) -> tuple[Comparison, ...]:
    by_output: dict[Output, list[Comparison]] = defaultdict(list)
    for call in calls:
        for result in call:
            by_output[result.output].append(replace(result, backend=backend))
    return tuple(_of_calls(found, len(calls)) for found in by_output.values())


def _of_calls(found: Sequence[Comparison], calls: int) -> Comparison:
    """The worst of one output's comparisons; what some calls claim to have the others owe."""
    counts = Counter(result.verdict for result in found)
    verdict = next(each for each in SEVERITY if counts[each])
    worst = max((r for r in found if r.verdict is verdict), key=lambda result: result.backward_error or 0.0)
    count, reason = counts[verdict], worst.reason
    missing, unsupported = calls - len(found), counts[Verdict.UNSUPPORTED]
    if missing and verdict is not Verdict.FAIL:
        verdict, count, reason = Verdict.FAIL, missing, "was not returned, and is in other calls"
    elif verdict.good and unsupported:
        verdict, count, reason = Verdict.ERROR, unsupported, "unsupported, and is not in other calls"
    if verdict is not Verdict.PASS and (count < calls or verdict.compared):
        reason = f"{WORDS.get(verdict, 'no result')} in {count} of {calls} calls: {reason}"
    excuse = worst.judgement.excuse if verdict is worst.verdict else None
    return replace(worst, judgement=replace(worst.judgement, verdict=verdict, reason=reason, excuse=excuse))

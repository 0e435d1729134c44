"""Run the corpus through the public API and gather, for each implementation, method and dtype, what failed."""

from __future__ import annotations

import functools
import math
import sys
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from files import path_of
from registry import CORE, Implementation, Mutant

import normcheck
from normcheck import Comparison, Verdict
from normcheck.worker import target

AT_ONCE = 12  # the oracle's work is shared by a run; pairs, which nothing here looks at, grow with the square
BAD = {Verdict.FAIL, Verdict.ERROR, Verdict.CRASH, Verdict.TIMEOUT}
REASONS = {  # that are no matter of digits
    "dtype": ("has dtype",),
    "conduct": ("changed its input", "differs when the same call", "shares memory with"),
    "result": ("has shape", "was not returned", "is a ", "could not be differentiated"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A comparison that turned an implementation down; ``excess`` is β/allowed, infinite where β has no say."""

    fixture: str
    mode: str
    output: str
    aspect: str
    excess: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one implementation in one method and dtype, training and inference together.

    ``failures`` are in the order of ``excess``, the largest first; ``undecided`` are the cases with an
    INCONCLUSIVE output that no other case decides, ``compared`` is how many comparisons there were in all.
    """

    implementation: Implementation
    method: str
    dtype: str
    compared: int
    failures: tuple[Failure, ...]
    undecided: tuple[str, ...]

    @property
    def killed(self) -> bool:
        return bool(self.failures)

    @property
    def accused(self) -> bool:
        return bool(self.failures or self.undecided)

    @property
    def complaint(self) -> str:
        """The first thing that is said against it."""
        first = [f"{f.fixture} {f.mode} {f.output}: {f.reason}" for f in self.failures[:1]]
        return "; ".join([*first, *self.undecided[:1]])

    @property
    def fixtures(self) -> tuple[str, ...]:
        """The fixtures that turned it down, the one with the largest excess first."""
        return tuple(dict.fromkeys(failure.fixture for failure in self.failures))

    @property
    def aspects(self) -> frozenset[str]:
        return frozenset(failure.aspect for failure in self.failures)


Key = tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Implementations that share a run: of one host, for the same methods, fixtures and dtypes."""

    members: tuple[Implementation, ...]
    methods: tuple[str, ...]
    fixtures: tuple[str, ...]
    dtypes: tuple[str, ...]


def batches(
    implementations: Iterable[Implementation], dtypes: Callable[[Implementation], tuple[str, ...]]
) -> tuple[Batch, ...]:
    """Batches of ``implementations``, each to be run in ``dtypes`` of it."""
    alike: dict[Key, list[Implementation]] = defaultdict(list)
    for one in implementations:
        alike[one.host, one.methods, one.fixtures, dtypes(one)].append(one)
    return tuple(
        Batch(
            members=tuple(members[start : start + AT_ONCE]),
            methods=methods,
            fixtures=fixtures,
            dtypes=kinds,
        )
        for (_, methods, fixtures, kinds), members in alike.items()
        for start in range(0, len(members), AT_ONCE)
    )


@functools.cache
def run(batch: Batch) -> tuple[Outcome, ...]:
    """Run ``batch`` by normcheck's default options, but for its fixtures if it has any."""
    by_name = {one.name: one for one in batch.members}
    found: dict[tuple[str, str, str], list[Comparison]] = defaultdict(list)
    for result in _results(batch):
        if result.backend in by_name and result.verdict is not Verdict.UNSUPPORTED:
            found[result.backend, result.case.method, result.case.dtype].append(result)
    return tuple(
        _outcome(by_name[name], method, dtype, results) for (name, method, dtype), results in found.items()
    )


def _results(batch: Batch) -> Iterator[Comparison]:
    """The comparisons; methods that have one and the same target share a run."""
    fixtures = () if batch.fixtures == CORE else [path_of(name) for name in batch.fixtures]
    alike: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for method in batch.methods:
        alike[tuple(one.target(method) for one in batch.members)].append(method)
    for targets, methods in alike.items():
        with _as_in_a_worker():
            members = zip(batch.members, targets, strict=True)
            backends = {one.name: _backend(one, place) for one, place in members}
            report = normcheck.compare(methods, backends=backends, fixtures=fixtures, dtype=batch.dtypes)
        yield from report.results


def _backend(one: Implementation, place: str) -> Any:
    """What is at ``place``, for this process: to start one for each, with its framework, is most of what runs cost.

    The file is run anew for each, so that what one remembers is no other's.
    """
    return f"{one.host}:{place}" if one.ends_its_process else (one.host, target.load(place, one.host))


@contextmanager
def _as_in_a_worker() -> Iterator[None]:
    """Nothing is heard of warnings, and the folder of a target is on the path no longer than the run."""
    path = [*sys.path]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.path[:] = path


def _outcome(one: Implementation, method: str, dtype: str, results: Sequence[Comparison]) -> Outcome:
    failures = [_failure(result) for result in results if result.verdict in BAD]
    failures.sort(key=lambda failure: -failure.excess)
    decided = {result.output for result in results if result.verdict in {Verdict.PASS, Verdict.LOOSE}}
    undecided = dict.fromkeys(
        f"{result.case.id} {result.output}"
        for result in results
        if result.verdict is Verdict.INCONCLUSIVE and result.output not in decided
    )
    return Outcome(
        implementation=one,
        method=method,
        dtype=dtype,
        compared=len(results),
        failures=tuple(failures),
        undecided=tuple(undecided),
    )


def _failure(result: Comparison) -> Failure:
    excess = math.inf
    if result.backward_error is not None and result.allowed:
        excess = result.backward_error / result.allowed
    return Failure(
        fixture=result.case.fixture,
        mode=result.case.mode,
        output=result.output,
        aspect=_aspect(result),
        excess=excess,
        reason=result.reason or "",
    )


def _aspect(result: Comparison) -> str:
    """In which respect an implementation was found broken: see ``Mutant.breaks``."""
    reason = result.reason or ""
    for aspect, phrases in REASONS.items():
        if any(phrase in reason for phrase in phrases):
            return aspect
    if result.verdict is not Verdict.FAIL:
        return "result"
    if result.output.is_state:
        return "state"
    return "gradients" if result.output.is_gradient else "y"


def survivors(mutant: Mutant, outcomes: Iterable[Outcome]) -> list[str]:
    """The methods and dtypes of ``outcomes`` in which ``mutant`` should have been killed and was not."""
    return [
        f"{outcome.method} {outcome.dtype}"
        for outcome in outcomes
        if outcome.implementation == mutant and not outcome.killed
        if outcome.dtype in mutant.killed_in and (outcome.method, outcome.dtype) not in mutant.hidden
    ]

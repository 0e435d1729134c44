"""normcheck can fail: every mutant is killed by the suite that it is put to, and no honest layer is accused."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from broken import MUTANTS
from files import RESIDUAL
from honest import HONEST
from measuring import Outcome, batches, run, survivors
from registry import CATALOGUE, CORE, CORPUS, DTYPES, METHODS, NO_MUTANT, Implementation, Mutant

from normcheck import fixtures

ALL = (*MUTANTS, *HONEST)


def dtypes_in_time(one: Implementation) -> tuple[str, ...]:
    """The dtypes that a test has time for; ``make power`` measures all.

    Digits are lost in ways of their own in each dtype; other mistakes are the same in all of them.
    """
    quick = one.file == "precision" or (one.host == "numpy" and not isinstance(one, Mutant))
    return one.dtypes if quick or "float32" not in one.dtypes else ("float32",)


BATCHES = batches(ALL, dtypes_in_time)


def batched(*implementations: Implementation) -> list[Any]:
    """Parameters, those of a batch for one worker: its run is made once."""
    order = [next(n for n, batch in enumerate(BATCHES) if one in batch.members) for one in implementations]
    return [
        pytest.param(one, id=one.name, marks=pytest.mark.xdist_group(f"batch {number}"))
        for number, one in sorted(zip(order, implementations, strict=True), key=lambda pair: pair[0])
    ]


def outcomes(one: Implementation) -> list[Outcome]:
    """What became of ``one``; all of its batch is run when the first of them is asked for."""
    (batch,) = (batch for batch in BATCHES if one in batch.members)
    found = [outcome for outcome in run(batch) if outcome.implementation == one]
    seen = {(outcome.method, outcome.dtype) for outcome in found if outcome.compared}
    assert seen == {(method, dtype) for method in one.methods for dtype in dtypes_in_time(one)}, (
        "not all was run"
    )
    return found


@pytest.fixture(autouse=True)
def _framework(request: pytest.FixtureRequest) -> None:
    """A mutant in a framework that is missing cannot be killed."""
    if "one" in request.fixturenames:
        host = request.getfixturevalue("one").host
        request.getfixturevalue("requires")(host)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("one", batched(*(m for m in MUTANTS if m.survives is None)))
def test_a_mutant_is_killed_in_every_method_for_what_is_broken_in_it(one: Mutant) -> None:
    found = outcomes(one)
    assert survivors(one, found) == []
    assert {aspect for outcome in found for aspect in outcome.aspects} <= set(one.breaks)


@pytest.mark.parametrize("one", batched(*(m for m in MUTANTS if m.survives)))
def test_a_known_survivor_survives(one: Mutant) -> None:
    """One that is killed now has left the ledger: remove its reason."""
    assert survivors(one, outcomes(one))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("one", batched(*HONEST))
def test_an_honest_implementation_is_never_accused(one: Implementation) -> None:
    assert [f"{o.method} {o.dtype} {o.complaint}" for o in outcomes(one) if o.accused] == []


def test_a_worker_says_the_same_as_this_process() -> None:
    """Of a mutant and an honest one, to the last figure."""
    chosen = [one for one in ALL if one.name in {"affine.bias_ignored", "honest_numpy.two_pass"}]
    found = []
    for ends in (False, True):
        members = tuple(replace(one, ends_its_process=ends) for one in chosen)
        (batch,) = batches(members, lambda one: ("float32",))
        outcomes = run(replace(batch, methods=("layer", "rms"), fixtures=("nchw",)))
        found.append([replace(outcome, implementation=None) for outcome in outcomes])
    assert found[0] == found[1]
    assert {True, False} == {outcome.killed for outcome in found[0]}


def test_the_corpus_is_large_and_has_no_name_twice() -> None:
    assert len(MUTANTS) >= 60
    assert len(HONEST) >= 15
    assert len({one.name for one in ALL}) == len(ALL)


def test_most_mutants_need_nothing_but_the_default_suite() -> None:
    core = {*CORE, *(fixture.name for fixture in fixtures.select(CORE))}
    without_residual = [m for m in MUTANTS if RESIDUAL not in m.fixtures]  # no fixture has one
    on_core = [mutant for mutant in without_residual if core.issuperset(mutant.fixtures)]
    assert len(on_core) > 0.9 * len(without_residual)


def test_every_convention_is_in_the_corpus_or_there_is_a_reason() -> None:
    in_corpus = {convention for mutant in MUTANTS for convention in mutant.catalogue.split()}
    assert set(CATALOGUE) == in_corpus | set(NO_MUTANT)
    assert set() == in_corpus & set(NO_MUTANT)


def test_what_the_registry_says_can_be_meant() -> None:
    for one in ALL:
        assert (CORPUS / f"{one.file}.py").is_file(), one.name
        assert set(one.catalogue.split()) <= set(CATALOGUE), one.name
        assert set(one.methods) <= set(METHODS), one.name
        assert set(one.dtypes) <= set(DTYPES), one.name
    assert set(NO_MUTANT) <= set(CATALOGUE)


@pytest.mark.parametrize("one", batched(*(m for m in MUTANTS if m.name == "variance.one_pass_clipped")))
def test_failures_are_ordered_by_how_far_they_are_beyond_the_bound(one: Mutant) -> None:
    for outcome in outcomes(one):
        excesses = [failure.excess for failure in outcome.failures]
        assert excesses == sorted(excesses, reverse=True)
        assert 1 < excesses[0] < math.inf

"""Candidates never see the oracle: whoever imports it, or tries to, is named instead of being answered for."""

from __future__ import annotations

import sys

import pytest

import normcheck.oracle
from normcheck.api import compare
from normcheck.verdict import Verdict
from normcheck.worker.guard import Guard, is_oracle


@pytest.fixture
def guard(monkeypatch: pytest.MonkeyPatch) -> Guard:
    """A guard in a process that has not seen the oracle."""
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    for name in [name for name in sys.modules if is_oracle(name)]:
        monkeypatch.delitem(sys.modules, name)
    made = Guard()
    made.install()
    return made


@pytest.mark.parametrize("name", ["normcheck.oracle", "normcheck.oracle.evaluate", "normcheck.judge.case"])
def test_importing_it_fails_and_is_remembered_though_the_error_is_caught(guard: Guard, name: str) -> None:
    assert guard.complaint() is None
    package = ".".join(name.split(".")[:2])
    with pytest.raises(ImportError, match=f"it imports {package}, normcheck's own oracle"):
        __import__(name)
    assert f"it imports {package}, normcheck's own oracle" in (guard.complaint() or "")


@pytest.mark.parametrize("name", ["normcheck", "normcheck.api", "normcheck.run.session", "normcheck.judges"])
def test_the_rest_of_normcheck_may_be_imported(guard: Guard, name: str) -> None:
    """A file with an implementation may call normcheck.compare in its own tests."""
    assert guard.find_spec(name) is None
    assert guard.complaint() is None


def test_it_is_seen_though_the_guard_was_not_asked(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "normcheck.oracle", normcheck.oracle)
    assert "it imports normcheck.oracle" in (guard.complaint() or "")


def test_it_is_seen_under_another_name(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mine", normcheck.oracle)
    assert "it imports mine, normcheck's own oracle" in (guard.complaint() or "")


def by_import(x, weight, bias, *, eps):  # type: ignore[no-untyped-def]
    import normcheck.oracle

    return normcheck.oracle.evaluate(x)


def by_from(x, weight, bias, *, eps):  # type: ignore[no-untyped-def]
    from normcheck.oracle import evaluate

    return evaluate(x)


def by_a_global(x, weight, bias, *, eps):  # type: ignore[no-untyped-def]
    return normcheck.oracle.evaluate(x)


def by_a_helper(x, weight, bias, *, eps):  # type: ignore[no-untyped-def]
    return by_from(x, weight, bias, eps=eps)


@pytest.mark.parametrize("function", [by_import, by_from, by_a_global, by_a_helper])
def test_a_function_in_this_process_is_named_too(function: object) -> None:
    report = compare(method="layer", fixtures=["nc"], backends={"mine": ("numpy", function)}, gradients=False)
    assert {Verdict.ERROR} == {result.verdict for result in report.results}
    assert "normcheck's own oracle" in (report.results[0].reason or "")

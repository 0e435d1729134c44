"""normcheck's plugin for pytest: the mark ``normcheck``, and ``--normcheck-report``. Without it the rest works too.

pytest loads it at every start, so it imports next to nothing: what a test needs is imported when a test needs it.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from normcheck.testing.surroundings import Surroundings, within

if TYPE_CHECKING:
    from normcheck.report import Report

MARK = "normcheck"
KEYWORDS = {"known": str, "isolated": bool}
REPORT = "--normcheck-report"
MAX_SEED = 2**30

_reports = pytest.StashKey[list["Report"]]()  # of an item, since its last phase
_seed = pytest.StashKey[int]()  # of the session


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options."""
    group = parser.getgroup("normcheck")
    group.addoption(
        REPORT,
        dest="normcheck_reports",
        action="append",
        default=[],
        metavar="FORMAT=FILE",
        help="write what normcheck found in all tests to FILE, such as json=report.json; may be repeated",
    )
    group.addoption(
        "--normcheck-seed",
        type=int,
        metavar="N",
        help="draw the inputs of normcheck's fixture drawn from this seed; any by default",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark; refuse reports that cannot be written before anything runs."""
    config.addinivalue_line(
        "markers",
        "normcheck(known=REASON, isolated=True): known to fail, which fails once it passes; run in a worker process",
    )
    config.stash[_seed] = _seed_of(config)
    wanted = config.getoption("normcheck_reports")
    if wanted and not hasattr(config, "workerinput"):
        from normcheck.pytest_plugin.collector import Collector

        config.pluginmanager.register(Collector(wanted))


def _seed_of(config: pytest.Config) -> int:
    """One for all tests; that of xdist's controller in its workers."""
    given = config.getoption("--normcheck-seed")
    if given is None:
        import secrets

        given = getattr(config, "workerinput", {}).get("normcheck_seed", secrets.randbelow(MAX_SEED))
    if not 0 <= given < MAX_SEED:
        raise pytest.UsageError(f"--normcheck-seed is {given}; valid: 0 to {MAX_SEED - 1}")
    return int(given)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of xdist the seed."""
    node.workerinput["normcheck_seed"] = node.config.stash[_seed]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse marks that cannot be meant."""
    for item in items:
        _marked(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Say in what the test runs, its fixtures too."""
    item.stash[_reports] = []
    record = item.stash[_reports].append if item.config.getoption("normcheck_reports") else None
    around = Surroundings(
        isolated=_marked(item).get("isolated", False),
        seed=item.config.stash[_seed],
        module=getattr(item, "module", None),
        record=record,
    )
    with within(around):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A known mismatch is expected, and a test that no longer has it fails; what was found travels with the report."""
    report = yield
    known = _marked(item).get("known")
    stale = known is not None and call.when == "call" and report.passed
    if stale:
        report.outcome = "failed"
        report.longrepr = f"known to fail ({known}), but it passes: remove known= from its mark normcheck"
    elif known is not None and call.when == "call":
        _excuse(report, call, known)
    if found := item.stash.get(_reports, None):
        said = (f"{item.nodeid}: {report.longrepr}",) if stale else ()
        report.normcheck = [_spelled(each, known, said) for each in found]  # type: ignore[attr-defined]  # of any report
        found.clear()
    return report


def _excuse(report: pytest.TestReport, call: pytest.CallInfo[None], known: str) -> None:
    """As pytest's xfail is, if strict; of mismatches alone: what is missing or raises is no known result."""
    if report.failed and call.excinfo is not None:
        from normcheck.errors import MismatchError

        if isinstance(call.excinfo.value, MismatchError):
            report.outcome = "skipped"
            report.wasxfail = known  # as pytest's own


def _spelled(report: Report, known: str | None, stale: tuple[str, ...]) -> str:
    """The report as JSON, with what the test's mark says of it."""
    from normcheck.reports import json
    from normcheck.testing.gathered import with_known

    found = report if known is None else with_known(report, known)
    return json.render(replace(found, stale=(*found.stale, *stale)))


def _marked(item: pytest.Item) -> Mapping[str, Any]:
    """What the marks of a test say, the nearest one first."""
    found: dict[str, Any] = {}
    for mark in item.iter_markers(MARK):
        wrong = [name for name, value in mark.kwargs.items() if not _is_valid(name, value)]
        if mark.args or wrong or not mark.kwargs:
            said = (
                ", ".join([*map(repr, mark.args), *(f"{n}={mark.kwargs[n]!r}" for n in wrong)]) or "nothing"
            )
            raise pytest.UsageError(
                f"{item.nodeid}: the mark normcheck says {said}; valid: known='why', isolated=True"
            )
        found = {**mark.kwargs, **found}
    return found


def _is_valid(name: str, value: Any) -> bool:
    return name in KEYWORDS and type(value) is KEYWORDS[name] and value != ""

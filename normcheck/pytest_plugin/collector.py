"""``--normcheck-report``: what all tests found, of xdist's workers too, as one report in any of normcheck's formats.

A worker's findings come with the report on each test, as JSON: what it had finished is there if it crashes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest

from normcheck.cli.output import check_file, write_file
from normcheck.errors import NormcheckError, UnknownNameError
from normcheck.reports import FORMATS, json, render
from normcheck.testing.gathered import merged

ON_TERMINAL = "-"
SHOWN = 5  # ids of tests in a note


class Collector:
    """A plugin that gathers what tests found, and writes it to ``wanted``: ``["json=report.json"]``.

    Raises pytest.UsageError for a format that there is not, and for a file that cannot be written.
    """

    def __init__(self, wanted: Iterable[str]) -> None:
        self.wanted = [_target(each) for each in wanted]
        self.found: list[tuple[str, str]] = []  # the ids of tests, and reports as JSON
        self.without: list[str] = []  # the ids of tests that failed, and have none
        self.said: list[str] = []  # for the end of the session

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what a test found; one that is run again will say it again."""
        if report.outcome != "rerun":  # type: ignore[comparison-overlap]  # of pytest-rerunfailures
            found = getattr(report, "normcheck", ())
            self.found += [(report.nodeid, text) for text in found]
            self.without += [report.nodeid] if report.failed and not found else []

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the reports; where there is none, or one cannot be written, the session fails."""
        try:
            self._write()
        except NormcheckError as error:
            self.said.append(f"normcheck: {error}")
            if session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _write(self) -> None:
        if not self.found:
            raise NormcheckError("no test compared anything, so no report was written")
        report = merged((test, json.read(text)) for test, text in self.found)
        report = replace(report, notes=(*report.notes, *self._missing()))
        for name, file in self.wanted:
            text = render(report, name)
            if file == ON_TERMINAL:
                self.said.append(text)
            else:
                write_file(file, text)
                self.said.append(f"normcheck: {report.verdict.value}; {name} written to {file}")

    def _missing(self) -> Iterator[str]:
        """What a reader of the report would not know: that tests failed of which it says nothing."""
        if self.without:
            first, more = self.without[:SHOWN], len(self.without) - SHOWN
            others = f" and {more} more" if more > 0 else ""
            yield f"tests that failed, and compared nothing: {', '.join(first)}{others}"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say where the reports are."""
        for text in self.said:
            terminalreporter.line(text.rstrip("\n"))


def _target(text: str) -> tuple[str, str]:
    """The format and the file that ``FORMAT=FILE`` says."""
    name, equals, file = text.partition("=")
    try:
        if name not in FORMATS:
            raise UnknownNameError("format", name, FORMATS)
        if not (equals and file):
            raise NormcheckError(f"{text!r} says no file; write {name}=FILE, or {name}=- for the terminal")
        if file != ON_TERMINAL:
            check_file(file)
    except NormcheckError as error:
        raise pytest.UsageError(f"--normcheck-report: {error}") from None
    return name, file

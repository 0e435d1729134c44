"""``--baseline`` and ``--save-baseline`` of ``normcheck compare``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from normcheck.cli.output import OutputError, place_of, say, write_file
from normcheck.errors import ExitCode, UsageError
from normcheck.printable import printable
from normcheck.reports.text import plural

if TYPE_CHECKING:
    from normcheck.report import Report


def chosen(file: str | None, factor: float | None, saved: str | None) -> Callable[[Report], Report]:
    """What puts a report beside the baseline in ``file``, which is read and checked now; nothing without one."""
    if file is None:
        if factor is not None:
            raise UsageError(f"--baseline-factor {factor:g} is about a baseline: name one, --baseline FILE")
        return lambda report: report
    if saved is not None and place_of(saved) == place_of(file):
        raise UsageError(
            f"--baseline and --save-baseline are one file, {file}: look at the changes, then save"
        )
    from normcheck.baseline import FACTOR, applied, check_factor, read

    allowed = FACTOR if factor is None else factor
    check_factor(allowed)
    baseline = read(Path(file))
    return lambda report: applied(baseline, file, allowed, report)


def saved(report: Report, file: str) -> bool:
    """Save the backward errors of a report; False, and a line that says why, where that cannot be done."""
    from normcheck.baseline import render

    text, count = render(report)
    if not count:
        say(f"{printable(file)}: not written: no result of this run has a backward error")
        return False
    try:
        write_file(file, text)
    except OutputError as error:
        say(f"normcheck: {printable(str(error))}")
        return False
    failed = "" if report.exit_code is ExitCode.OK else ", of a run that did not pass"
    say(f"{printable(file)}: {plural(count, 'backward error')} saved{failed}")
    return True

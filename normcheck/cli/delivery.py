"""What is written where: the report in its format, and the other reports that were asked for."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from normcheck.cli.output import (
    OutputError,
    check_file,
    console,
    place_of,
    say,
    standard_output,
    write_file,
)
from normcheck.errors import UnknownNameError, UsageError
from normcheck.printable import printable
from normcheck.reports import FORMATS, check, render
from normcheck.reports.view import Detail

if TYPE_CHECKING:
    from normcheck.report import Report

STDOUT = "-"
BESIDE_THE_TABLE = "github"  # lines of a log; any other report is a document
SUMMARY = "GITHUB_STEP_SUMMARY"  # the file of a step, which each of its commands adds to


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A report in ``format``, and the file that it goes to: STDOUT, or a path."""

    format: str
    file: str


def destinations(
    format_name: str, output: str | None, reports: Iterable[str], others: Iterable[str]
) -> tuple[Destination, ...]:
    """Where each report goes, that of ``--format`` first; ``others`` are files that the command writes too.

    UsageError where ``reports`` cannot be read or stand in each other's way, OutputError where a file plainly cannot
    be written, MissingExtraError where a format needs more than is installed: all before the run.
    """
    main = Destination(format=format_name, file=STDOUT if output is None else output)
    found = (main, *map(_parsed, reports))
    _check_stdout([each.format for each in found if _is_stdout(each.file)])
    files = [*(each.file for each in found if not _is_stdout(each.file)), *others]
    _check_distinct(files)
    for file in files:
        check_file(file)
    for each in found:
        check(each.format)
    return found


def _check_distinct(files: Iterable[str]) -> None:
    """UsageError where two of ``files`` are one, so that the second would replace the first."""
    seen: dict[object, str] = {}
    for file in files:
        place = place_of(file)
        if place is not None and place in seen:
            raise UsageError(f"two outputs go to one file, {file}: give each its own file")
        seen[place] = file


def deliver(report: Report, to: Sequence[Destination], detail: Detail) -> bool:
    """Write every report, a table with ``detail``; False where one did not get where it should, which a line says.

    The one of ``--format`` goes to standard output then. Those on standard output come first.
    """
    main = to[0]
    shown = [each.format for each in to if _is_stdout(each.file)]
    delivered = not shown or _delivered_to_stdout(report, shown, detail)
    for each in to:
        if _is_stdout(each.file):
            continue
        try:
            _write(report, each, detail)
        except OutputError as error:
            delivered = False
            instead = "; the report goes to standard output" if each is main else ""
            say(f"normcheck: {printable(str(error))}{instead}")
            if each is main:
                with contextlib.suppress(OutputError):
                    _show(report, [each.format], detail)
    return delivered


def _parsed(text: str) -> Destination:
    name, equals, file = text.partition("=")
    valid = f"write FORMAT=FILE, such as junit=report.xml; formats: {', '.join(FORMATS)}"
    if not equals:
        raise UsageError(f"--report {text!r} has no '=': {valid}")
    if name not in FORMATS:
        raise UnknownNameError("format", name, FORMATS)
    if not file:
        raise UsageError(f"--report {text!r} names no file (is a variable not set?): {valid}")
    return Destination(format=name, file=file)


def _is_stdout(file: str) -> bool:
    return file == STDOUT or place_of(file) == 1


def _check_stdout(formats: Sequence[str]) -> None:
    """UsageError unless standard output is still something that can be read."""
    if len(formats) > 1 and sorted(formats) != sorted(("table", BESIDE_THE_TABLE)):
        raise UsageError(
            f"{' and '.join(formats)} cannot share standard output, only table and {BESIDE_THE_TABLE} can: "
            "give a file to all but one, by --report FORMAT=FILE or --output FILE"
        )


def _delivered_to_stdout(report: Report, formats: Sequence[str], detail: Detail) -> bool:
    try:
        _show(report, formats, detail)
    except OutputError as error:
        say(f"normcheck: {printable(str(error))}")
        return False
    return True


def _show(report: Report, formats: Sequence[str], detail: Detail) -> None:
    """Print the reports; beside annotations the text of others is kept from being taken for a command of theirs."""
    with standard_output():
        if len(formats) == 1:
            _print(report, formats[0], detail)
            return
        import secrets

        token = secrets.token_hex(16)
        click.echo(f"::stop-commands::{token}")
        for name in formats:
            if name != BESIDE_THE_TABLE:
                _print(report, name, detail)
        click.echo(f"::{token}::")
        _print(report, BESIDE_THE_TABLE, detail)


def _print(report: Report, format_name: str, detail: Detail) -> None:
    if format_name == "table":
        from normcheck.reports.table import show

        show(report, console(), detail)
    else:
        click.echo(render(report, format_name), nl=False)


def _write(report: Report, to: Destination, detail: Detail) -> None:
    summary, place = os.environ.get(SUMMARY), place_of(to.file)
    if not summary or to.format != "markdown" or place is None or place != place_of(summary):
        how = {"detail": detail} if to.format == "table" else {}
        write_file(to.file, render(report, to.format, **how))
        return
    from normcheck.reports.markdown import LIMIT

    try:
        before = Path(to.file).read_bytes() if os.path.exists(to.file) else b""
    except OSError as error:
        raise OutputError(f"cannot add to {to.file}: {error.strerror}") from None
    text = render(report, to.format, limit=LIMIT - len(before) - 1).encode(errors="backslashreplace")
    if not text:
        raise OutputError(
            f"cannot add to {to.file}: it has {len(before):,} bytes, and GitHub shows {LIMIT:,}"
        )
    write_file(to.file, before + (b"\n" if before else b"") + text)

"""``normcheck compare``: run the methods on the backends and say which are right."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import click

from normcheck.cli._selection import device_option, seed_option, selection, selection_options, timeout_option
from normcheck.cli._types import OneOf
from normcheck.cli.output import OutputError, check_file, console, is_stream, say, standard_output, write_file
from normcheck.errors import ExitCode, NormcheckError
from normcheck.printable import printable
from normcheck.report import Report
from normcheck.reports import FORMATS, check, render
from normcheck.reports.text import plural


@click.command(name="compare")
@click.option(
    "--backend",
    "backends",
    multiple=True,
    metavar="NAME|[ALIAS=]HOST:TARGET",
    help="See normcheck backends; your own code, torch:path/to/file.py:attribute; another interpreter, "
    "old=torch@path/to/python; or a recording, gpu=file:run.safetensors. Default: numpy, torch and jax.",
)
@selection_options
@click.option(
    "--max-backward-error",
    type=float,
    metavar="X",
    help="Allow this many roundoffs instead of the derived bound, 16 + √n.",
)
@click.option("--laws", is_flag=True, help="Also check the laws of normalization, which need no oracle.")
@click.option(
    "--repeat",
    type=int,
    default=1,
    metavar="N",
    help="Ask for each case N times, and judge each answer: the worst one counts. Default: 1.",
)
@click.option("--strict", is_flag=True, help="Treat LOOSE results as FAIL.")
@click.option(
    "--config",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="The file with the ledger of known deviations. Default: the nearest normcheck.toml or pyproject.toml.",
)
@click.option("--no-config", is_flag=True, help="Ignore known deviations.")
@click.option(
    "--write-known",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Add entries for what fails now to a ledger, such as normcheck.toml; their reasons are yours to fill in.",
)
@device_option
@timeout_option
@seed_option
@click.option(
    "--format", "format_name", type=OneOf("format", FORMATS), default="table", help="Default: table."
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, readable=False),
    metavar="FILE",
    help="Write to FILE instead of stdout.",
)
def command(**options: Any) -> int:
    """Run the methods on the backends, compare every result with the oracle, and say which are right.

    Exits 0 only if every comparison passed; a crash, a timeout, a NaN or an empty selection is never a pass.

    \b
    normcheck compare --method group
    normcheck compare --method group --fixture documents --groups '0,1|2'
    normcheck compare --method layer --fixture x.npy --backend torch --backend mine=torch:norm.py:layer_norm
    """
    format_name, output, known = (options.pop(name) for name in ("format_name", "output", "write_known"))
    for file in (output, known):
        if file is not None:
            check_file(file)
    if known is not None:
        _held(known)  # what cannot be understood is refused before the run
    check(format_name)
    report = _compare(**options)
    delivered = _delivered(report, format_name, output)
    if known is not None:
        delivered = _written(report, known) and delivered
    return report.exit_code or (ExitCode.OK if delivered else ExitCode.BAD_INPUT)


def _compare(*, backends: tuple[str, ...], config: str | None, no_config: bool, **options: Any) -> Report:
    from normcheck.cli.progress import progress_line
    from normcheck.ledger import read as ledger
    from normcheck.options import Options
    from normcheck.run.session import run

    names = ("timeout", "max_backward_error", "strict", "laws", "device", "repeat", "seed")
    how = Options(**{name: options.pop(name) for name in names})
    known = ledger.NO_LEDGER if no_config else ledger.find() if config is None else ledger.read(Path(config))
    with progress_line() as on_progress:
        return run(selection(**options), backends, how, on_progress, known)


def _delivered(report: Report, format_name: str, output: str | None) -> bool:
    """Write the report where it is wanted; False, and a line that says why, where it did not get there."""
    try:
        if output is not None:
            write_file(output, render(report, format_name))
        else:
            _show(report, format_name)
    except OutputError as error:
        instead = "" if output is None else "; the report goes to standard output"
        say(f"normcheck: {printable(str(error))}{instead}")
        if output is not None:
            with contextlib.suppress(OutputError):
                _show(report, format_name)
        return False
    return True


def _held(file: str) -> str:
    """The entries that a ledger has so far."""
    from normcheck.ledger.write import existing

    return "" if is_stream(file) else existing(Path(file))


def _written(report: Report, file: str) -> bool:
    """Write entries for what fails; False, and a line that says why, where that cannot be done."""
    from normcheck.ledger.write import extended

    try:
        text, count = extended(_held(file), Path(file), report)
        if count:
            write_file(file, text)
    except NormcheckError as error:
        say(f"normcheck: {printable(str(error))}")
        return False
    added = f"{plural(count, 'entry', 'entries')} added; fill in what is TODO" if count else "nothing to add"
    say(f"{printable(file)}: {added}")
    return True


def _show(report: Report, format_name: str) -> None:
    with standard_output():
        if format_name == "table":
            from normcheck.reports.table import show

            show(report, console())
        else:
            click.echo(render(report, format_name), nl=False)

"""``normcheck compare``: run the methods on the backends and say which are right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from normcheck.cli import _complete, baselines
from normcheck.cli._selection import device_option, seed_option, selection, selection_options, timeout_option
from normcheck.cli._types import OneOf
from normcheck.cli.delivery import deliver, destinations
from normcheck.cli.output import is_stream, say, write_file
from normcheck.errors import ExitCode, NormcheckError, UsageError
from normcheck.printable import printable
from normcheck.reports import FORMATS
from normcheck.reports.text import plural
from normcheck.reports.view import Detail

if TYPE_CHECKING:
    from normcheck.report import Report


@click.command(name="compare")
@click.option(
    "--backend",
    "backends",
    multiple=True,
    metavar="NAME|[ALIAS=]HOST:TARGET",
    shell_complete=_complete.backends,
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
    help="The file with suites and known deviations. Default: the nearest normcheck.toml or pyproject.toml.",
)
@click.option("--no-config", is_flag=True, help="Use no such file.")
@click.option(
    "--suite",
    metavar="NAME",
    shell_complete=_complete.suites,
    help="Take the options that the configuration has under this name; what is typed counts more.",
)
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
@click.option("-q", "--quiet", is_flag=True, help="Print the verdict alone.")
@click.option("-v", "--verbose", is_flag=True, help="Print every case, also those that pass.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, readable=False),
    metavar="FILE",
    help="Write to FILE instead of stdout.",
)
@click.option(
    "--report",
    "reports",
    multiple=True,
    metavar="FORMAT=FILE",
    help=f"Write one more report, such as junit=report.xml; - is stdout. Formats: {', '.join(FORMATS)}.",
)
@click.option(
    "--save-baseline",
    type=click.Path(dir_okay=False, readable=False),
    metavar="FILE",
    help="Save all backward errors, to compare later runs with them.",
)
@click.option(
    "--baseline",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Fail where a backward error has grown since FILE was saved; see docs/ci.md.",
)
@click.option(
    "--baseline-factor",
    type=float,
    metavar="X",
    help="How much it may grow: more than X times what it was, and above 2, fails. Default: 4.",
)
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> int:
    """Run the methods on the backends, compare every result with the oracle, and say which are right.

    Exits 0 only if every comparison passed; a crash, a timeout, a NaN or an empty selection is never a pass.

    \b
    normcheck compare --method group
    normcheck compare --method group --fixture documents --groups '0,1|2'
    normcheck compare --method layer --fixture x.npy --backend torch --backend mine=torch:norm.py:layer_norm
    """
    known, saved = options.pop("write_known"), options.pop("save_baseline")
    others = [file for file in (known, saved) if file is not None]
    format_name = options.pop("format_name")
    detail = _detail(options.pop("quiet"), options.pop("verbose"), format_name)
    to = destinations(format_name, options.pop("output"), options.pop("reports"), others)
    if known is not None:
        _held(known)  # what cannot be understood is refused before the run
    beside = baselines.chosen(options.pop("baseline"), options.pop("baseline_factor"), saved)
    report = beside(_compare(ctx, **options))
    delivered = deliver(report, to, detail)
    if known is not None:
        delivered = _written(report, known) and delivered
    if saved is not None:
        delivered = baselines.saved(report, saved) and delivered
    return report.exit_code or (ExitCode.OK if delivered else ExitCode.BAD_INPUT)


def _compare(
    ctx: click.Context, *, config: str | None, no_config: bool, suite: str | None, **options: Any
) -> Report:
    from normcheck import config as configuration
    from normcheck.cli import _suite
    from normcheck.cli.progress import progress_line
    from normcheck.ledger.read import ledger_of
    from normcheck.options import Options
    from normcheck.run.session import run

    if no_config:
        found = configuration.NO_CONFIG
    else:
        found = configuration.find() if config is None else configuration.read(Path(config))
    known = ledger_of(found)
    suites = _suite.suites_of(found, known, ctx)
    if suite is not None:
        if no_config:
            raise UsageError("--suite and --no-config contradict each other: give one")
        chosen = _suite.chosen(suite, suites, found)
        known, options = chosen.ledger, _suite.merged(options, chosen, ctx)
    names = ("timeout", "max_backward_error", "strict", "laws", "device", "repeat", "seed")
    how = Options(**{name: options.pop(name) for name in names})
    backends = options.pop("backends")
    with progress_line() as on_progress:
        report = run(selection(**options), backends, how, on_progress, known)
    return replace(report, suite=suite)


def _detail(quiet: bool, verbose: bool, format_name: str) -> Detail:
    """How much the table says; UsageError for what contradicts itself, or has no table to speak of."""
    if quiet and verbose:
        raise UsageError("--quiet and --verbose contradict each other: give one")
    if (quiet or verbose) and format_name != "table":
        raise UsageError(f"--format {format_name} has one form: --quiet and --verbose are for the table")
    return Detail.VERDICT if quiet else Detail.ALL if verbose else Detail.USUAL


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

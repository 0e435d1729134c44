"""``normcheck compare``: run the methods on the backends and say which are right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from normcheck.cli._selection import device_option, seed_option, selection, selection_options, timeout_option
from normcheck.cli._types import OneOf, console, write_atomically
from normcheck.report import Report
from normcheck.reports import FORMATS


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
@click.option("--strict", is_flag=True, help="Treat LOOSE results as FAIL.")
@click.option(
    "--config",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="The file with the ledger of known deviations. Default: the nearest normcheck.toml or pyproject.toml.",
)
@click.option("--no-config", is_flag=True, help="Ignore known deviations.")
@device_option
@timeout_option
@seed_option
@click.option(
    "--format", "format_name", type=OneOf("format", FORMATS), default="table", help="Default: table."
)
@click.option(
    "--output", type=click.Path(dir_okay=False), metavar="FILE", help="Write to FILE instead of stdout."
)
def command(**options: Any) -> int:
    """Run the methods on the backends, compare every result with the oracle, and say which are right.

    Exits 0 only if every comparison passed; a crash, a timeout, a NaN or an empty selection is never a pass.

    \b
    normcheck compare --method group
    normcheck compare --method group --fixture documents --groups '0,1|2'
    normcheck compare --method layer --fixture x.npy --backend torch --backend mine=torch:norm.py:layer_norm
    """
    report = _compare(
        **{name: value for name, value in options.items() if name not in ("format_name", "output")}
    )
    _write(report, options["format_name"], options["output"])
    return report.exit_code


def _compare(*, backends: tuple[str, ...], config: str | None, no_config: bool, **options: Any) -> Report:
    from normcheck import ledger
    from normcheck.cli.progress import progress_line
    from normcheck.options import Options
    from normcheck.run.session import run

    names = ("timeout", "max_backward_error", "strict", "laws", "device", "seed")
    how = Options(**{name: options.pop(name) for name in names})
    path = None if no_config else ledger.find(Path.cwd()) if config is None else Path(config)
    known = () if path is None else ledger.read(path)
    with progress_line() as on_progress:
        return run(selection(**options), backends, how, on_progress, known)


def _write(report: Report, format_name: str, output: str | None) -> None:
    if output is None and format_name == "table":
        from normcheck.reports.table import show

        show(report, console())
        return
    from normcheck.reports import render

    text = render(report, format_name)
    if output is None:
        click.echo(text, nl=False)
    else:
        write_atomically(output, text)

"""``normcheck compare``: run the methods on the backends and say who is right."""

from __future__ import annotations

from typing import Any

import click

from normcheck.cli._types import OneOf, console, write_atomically
from normcheck.model import DType, Method, Mode, Report
from normcheck.reports import FORMATS


@click.command(name="compare")
@click.option("--method", "methods", type=OneOf("method", Method), multiple=True, help="Default: all four.")
@click.option(
    "--fixture", "fixtures", multiple=True, metavar="NAME|TAG|PATH", help="Input data; default: the tag core."
)
@click.option(
    "--backend",
    "backends",
    multiple=True,
    metavar="NAME|[ALIAS=]HOST:TARGET",
    help="A built-in, or your own code: torch:path/to/file.py:attribute. Default: every built-in that is installed.",
)
@click.option(
    "--dtype",
    "dtypes",
    type=OneOf("dtype", DType),
    multiple=True,
    default=(DType.FLOAT32,),
    help="Default: float32.",
)
@click.option("--mode", type=OneOf("mode", Mode), default=Mode.TRAIN, help="For batch norm. Default: train.")
@click.option("--eps", type=float, metavar="E", help="Default: 1e-5.")
@click.option("--num-groups", type=int, metavar="G", help="Group norm: this many equal groups.")
@click.option("--groups", "groups_text", metavar="'0,1|2'", help="Group norm: these groups of channels.")
@click.option("--normalized-ndim", type=int, metavar="K", help="Layer norm: over the last K axes.")
@click.option(
    "--momentum", type=float, metavar="P", help="Batch norm: weight of the new batch. Default: 0.1."
)
@click.option("--channel-axis", type=int, metavar="A", help="Where the channels are: 1 or -1.")
@click.option("--gradients/--no-gradients", default=True, help="Differentiate too, or not. Default: do.")
@click.option(
    "--max-backward-error",
    type=float,
    metavar="X",
    help="Allow this many roundoffs instead of the derived bound, 16 + √n.",
)
@click.option(
    "--laws", is_flag=True, help="Put every case to the laws of normalization too, which need no oracle."
)
@click.option("--strict", is_flag=True, help="LOOSE results fail.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    metavar="S",
    help="Seconds for one case.",
)
@click.option(
    "--format", "format_name", type=OneOf("format", FORMATS), default="table", help="Default: table."
)
@click.option(
    "--output", type=click.Path(dir_okay=False), metavar="FILE", help="Write there instead of to stdout."
)
def command(**options: Any) -> int:
    """Run the methods on the backends, compare every result with the oracle, and say who is right.

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


def _compare(*, groups_text: str | None, backends: tuple[str, ...], **options: Any) -> Report:
    from normcheck.cli.progress import progress_line
    from normcheck.engine import Options, run
    from normcheck.plan import Selection, parse_groups

    how = Options(**{name: options.pop(name) for name in ("timeout", "max_backward_error", "strict", "laws")})
    groups = None if groups_text is None else parse_groups(groups_text)
    with progress_line() as on_progress:
        return run(Selection(groups=groups, **options), backends, how, on_progress)


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

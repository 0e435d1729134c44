"""``normcheck tolerance``: the rtol and atol that sound code needs, and what those that one has let through."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from normcheck.case import Method, Mode
from normcheck.cli import _complete
from normcheck.cli._selection import case_options, selection
from normcheck.cli._types import OneOf
from normcheck.cli.output import console, standard_output
from normcheck.dtype import DType
from normcheck.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from normcheck.tolerance.bounds import Tolerance

FORMATS = ("table", "json")


@click.command(name="tolerance")
@click.option("--method", type=OneOf("method", Method), required=True, help="The method that is tested.")
@click.option(
    "--fixture",
    metavar="NAME|PATH",
    shell_complete=_complete.fixtures,
    help="The data that the test has.",
)
@click.option("--shape", metavar="8,1024", help="Or the shape of its x: ordinary data of that shape is made.")
@click.option(
    "--dtype", type=OneOf("dtype", DType), help="Default: float32, or as a file of yours has its arrays."
)
@click.option("--rtol", type=float, metavar="R", help="With --atol: the tolerance that the test has.")
@click.option("--atol", type=float, metavar="A", help="With --rtol. Default of both: those of the libraries.")
@click.option(
    "--offset",
    "offsets",
    type=click.IntRange(0, 2**24),
    multiple=True,
    metavar="N",
    help="Standard deviations that are added to x; several times: several audits. Default: 0, and with --shape 100.",
)
@case_options
@click.option("--format", "style", type=OneOf("format", FORMATS), default=FORMATS[0], help="Default: table.")
def command(
    *,
    method: Method,
    fixture: str | None,
    shape: str | None,
    dtype: DType | None,
    rtol: float | None,
    atol: float | None,
    offsets: tuple[int, ...],
    style: str,
    **options: Any,
) -> int:
    """Show the rtol and atol that sound code needs in assert_close, and audit those that a test has.

    What sound code needs depends on shape, dtype and data: it follows from the bounds that normcheck judges by. The
    audit holds a tolerance against broken implementations, one for each convention, and against honest ones. Of y
    alone, in training; assert_parity and normcheck compare judge gradients too, and need no tolerance.

    Exit code 1: --rtol and --atol pass a broken implementation that the data tells apart, accuse an honest one, or the
    data tells nothing apart.

    \b
    normcheck tolerance --method layer --shape 8,1024
    normcheck tolerance --method layer --shape 8,1024 --rtol 1e-3 --atol 1e-3
    normcheck tolerance --method group --fixture activations.npz --dtype bfloat16
    """
    given = _given(rtol, atol)
    if (fixture is None) == (shape is None):
        raise UsageError("say what the data is: --fixture NAME|PATH or --shape 8,1024, one of them")
    from normcheck.plan import plan
    from normcheck.tolerance.inputs import OFFSETS, moved, ordinary, shape_of

    chosen = fixture if shape is None else ordinary(shape_of(shape))
    dtypes = () if dtype is None else (dtype,)
    found = plan(
        selection(
            methods=(method,),
            fixtures=(chosen,),
            dtypes=dtypes,
            modes=(Mode.TRAIN,),
            gradients=False,
            **options,
        )
    )
    # NumPy and rich: not before all is known to be valid
    from normcheck.cli._tolerance import show
    from normcheck.tolerance.audit import audit
    from normcheck.tolerance.text import as_json, verdict

    added = dict.fromkeys(offsets or (OFFSETS if shape else OFFSETS[:1]))
    audits = [audit(moved(each, offset), given) for each in found.cases for offset in added]
    with standard_output():
        if style == "json":
            click.echo(as_json(audits, found.notes), nl=False)
        else:
            show(audits, found.notes, console())
    return ExitCode.MISMATCH if verdict(audits) == "fail" else ExitCode.OK


def _given(rtol: float | None, atol: float | None) -> Tolerance | None:
    """The user's tolerance; UsageError for half a one, and for what no difference can be held against."""
    if rtol is None and atol is None:
        return None
    if rtol is None or atol is None:
        raise UsageError("--rtol and --atol: give both, as assert_close takes them, or none")
    for name, value in (("--rtol", rtol), ("--atol", atol)):
        if not (math.isfinite(value) and value >= 0):
            raise UsageError(f"{name} is {value:g}; valid: a finite number from 0 on")
    from normcheck.tolerance.audit import YOURS
    from normcheck.tolerance.bounds import Tolerance

    return Tolerance(name=YOURS, rtol=rtol, atol=atol)

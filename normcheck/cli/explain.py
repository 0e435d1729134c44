"""``normcheck explain``: which elements share statistics, as a picture, with the numbers."""

from __future__ import annotations

from typing import Any

import click

from normcheck.case import Method
from normcheck.cli._selection import case_options, selection
from normcheck.cli._types import OneOf
from normcheck.cli.output import console, standard_output
from normcheck.dtype import DType


@click.command(name="explain")
@click.option("--method", type=OneOf("method", Method), required=True, help="The method to explain.")
@click.option(
    "--fixture",
    default="documents",
    metavar="NAME|PATH",
    help="Input data. Default: documents, x of 2×3×2×2.",
)
@case_options
def command(*, method: Method, fixture: str, **options: Any) -> None:
    """Show which elements share a mean and a variance, with the numbers, the formula and the PyTorch call.

    Elements that share statistics have the same letter and the same colour. Samples, channels and positions
    are counted from 0, as in --groups.

    \b
    normcheck explain --method group
    normcheck explain --method group --groups '0,2|1'
    normcheck explain --method layer --fixture nchw --normalized-ndim 1
    """
    from normcheck.plan import plan

    # float64 holds the data of any fixture as it is
    chosen = selection(methods=(method,), fixtures=(fixture,), dtypes=(DType.FLOAT64,), **options)
    planned = plan(chosen).cases[0]
    # NumPy and rich: not before all is known to be valid
    from normcheck.explain.sets import explain
    from normcheck.explain.show import show

    with standard_output():
        show(explain(planned), console())

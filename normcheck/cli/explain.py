"""``normcheck explain``: which elements share statistics, as a picture, with the numbers."""

from __future__ import annotations

from typing import Any

import click

from normcheck.case import Method
from normcheck.cli._types import OneOf, console
from normcheck.dtype import DType


@click.command(name="explain")
@click.option("--method", type=OneOf("method", Method), required=True, help="The method to explain.")
@click.option(
    "--fixture",
    default="documents",
    metavar="NAME|PATH",
    help="Input data. Default: documents, x of 2×3×2×2.",
)
@click.option("--eps", type=float, metavar="E", help="Default: 1e-5.")
@click.option("--num-groups", type=int, metavar="G", help="Group norm: this many equal groups.")
@click.option("--groups", "groups_text", metavar="'0,1|2'", help="Group norm: these groups of channels.")
@click.option("--normalized-ndim", type=int, metavar="K", help="Layer norm: over the last K axes.")
@click.option("--channel-axis", type=int, metavar="A", help="The axis of the channels: 1 or -1.")
def command(*, method: Method, fixture: str, groups_text: str | None, **options: Any) -> None:
    """Show which elements share a mean and a variance, with the numbers, the formula and the PyTorch call.

    Elements that share statistics have the same letter and the same colour. Samples, channels and positions
    are counted from 0, as in --groups.

    \b
    normcheck explain --method group
    normcheck explain --method group --groups '0,2|1'
    normcheck explain --method layer --fixture nchw --normalized-ndim 1
    """
    from normcheck.plan import Selection, parse_groups, plan

    groups = None if groups_text is None else parse_groups(groups_text)
    # float64 holds the data of any fixture as it is
    selection = Selection(
        methods=(method,), fixtures=(fixture,), dtypes=(DType.FLOAT64,), groups=groups, **options
    )
    planned = plan(selection).cases[0]
    # NumPy and rich: not before all is known to be valid
    from normcheck.explain.sets import explain
    from normcheck.explain.show import show

    show(explain(planned), console())

"""``normcheck explain``: which elements share statistics, as a picture, with the numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from normcheck.case import Method
from normcheck.cli._selection import case_options, selection
from normcheck.cli._types import OneOf
from normcheck.cli.output import check_file, console, standard_output, write_file
from normcheck.dtype import DType
from normcheck.errors import UsageError

if TYPE_CHECKING:
    from normcheck.explain.html import Panel
    from normcheck.plan import Selection

STDOUT = "-"


@click.command(name="explain")
@click.option("--method", type=OneOf("method", Method), help="The method to explain. Needed without --html.")
@click.option(
    "--fixture",
    default="documents",
    metavar="NAME|PATH",
    help="Input data. Default: documents, x of 2×3×2×2.",
)
@case_options
@click.option(
    "--html",
    is_flag=False,
    flag_value=STDOUT,
    metavar="[FILE]",
    help="Write a page with all methods side by side, to FILE or to stdout.",
)
def command(*, method: Method | None, fixture: str, html: str | None, **options: Any) -> None:
    """Show which elements share a mean and a variance, with the numbers, the formula and the PyTorch call.

    Elements that share statistics have the same letter and the same colour. Samples, channels and positions
    are counted from 0, as in --groups.

    \b
    normcheck explain --method group
    normcheck explain --method group --groups '0,2|1'
    normcheck explain --method layer --fixture nchw --normalized-ndim 1
    normcheck explain --html explain.html
    """
    from normcheck.plan import plan

    # float64 holds the data of any fixture as it is
    methods = (method,) if method else ()
    chosen = selection(methods=methods, fixtures=(fixture,), dtypes=(DType.FLOAT64,), **options)
    if html is not None:
        _page(chosen, html)
        return
    if method is None:
        raise UsageError(f"--method is missing; valid: {', '.join(Method)}; --html FILE shows all of them")
    planned = plan(chosen).cases[0]
    # NumPy and rich: not before all is known to be valid
    from normcheck.explain.sets import explain
    from normcheck.explain.show import show

    with standard_output():
        show(explain(planned), console())


def _page(chosen: Selection, file: str) -> None:
    """Write the page of all methods of ``chosen``."""
    from normcheck.page import require

    require("--html")
    if file != STDOUT:
        check_file(file)
    from normcheck.explain.html import render

    text = render(*_panels(chosen))
    if file != STDOUT:
        write_file(file, text)
        return
    with standard_output():
        click.echo(text, nl=False)


def _panels(chosen: Selection) -> tuple[list[Panel], tuple[str, ...]]:
    """A panel for each method, group norm with every number of groups, and what was left out."""
    from normcheck.explain.groups import stops
    from normcheck.explain.html import Panel
    from normcheck.explain.sets import explain
    from normcheck.plan import plan

    found = plan(chosen)
    first = {each.case.method: each for each in reversed(found.cases)}
    panels = []
    for method in (each for each in Method if each in first):
        several, start = stops(first[method])
        panels.append(Panel(method=method, stops=[explain(each) for each in several], start=start))
    return panels, found.notes

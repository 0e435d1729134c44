"""The options that say which cases to run, the same for every command that runs some."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from normcheck.case import Method, Mode
from normcheck.cli._types import OneOf
from normcheck.dtype import DType

if TYPE_CHECKING:
    from normcheck.plan import Selection

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--method", "methods", type=OneOf("method", Method), multiple=True, help="Default: all four."
    ),
    click.option(
        "--fixture",
        "fixtures",
        multiple=True,
        metavar="NAME|TAG|PATH",
        help="Input data; default: the tag core.",
    ),
    click.option(
        "--dtype",
        "dtypes",
        type=OneOf("dtype", DType),
        multiple=True,
        default=(DType.FLOAT32,),
        help="Default: float32.",
    ),
    click.option(
        "--mode", type=OneOf("mode", Mode), default=Mode.TRAIN, help="For batch norm. Default: train."
    ),
    click.option("--eps", type=float, metavar="E", help="Default: 1e-5."),
    click.option("--num-groups", type=int, metavar="G", help="Group norm: this many equal groups."),
    click.option("--groups", "groups_text", metavar="'0,1|2'", help="Group norm: these groups of channels."),
    click.option("--normalized-ndim", type=int, metavar="K", help="Layer norm: over the last K axes."),
    click.option(
        "--momentum", type=float, metavar="P", help="Batch norm: weight of the new batch. Default: 0.1."
    ),
    click.option("--channel-axis", type=int, metavar="A", help="The axis of the channels: 1 or -1."),
    click.option(
        "--gradients/--no-gradients",
        default=True,
        help="Also compare gradients, or not. Default: compare them.",
    ),
)
device_option = click.option(
    "--device", default="cpu", metavar="D", help="Where to compute, such as cuda. Default: cpu."
)
timeout_option = click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    metavar="S",
    help="Seconds for one case.",
)


def selection_options(command: Command) -> Command:
    """The options of a Selection, in the order of the help page."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def selection(*, groups_text: str | None, **options: Any) -> Selection:
    """The Selection that the options describe."""
    from normcheck.plan import Selection, parse_groups

    return Selection(groups=None if groups_text is None else parse_groups(groups_text), **options)

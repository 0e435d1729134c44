"""The options that say which cases to run, the same for every command that runs some."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from normcheck.case import Method, Mode
from normcheck.cli import _complete
from normcheck.cli._types import OneOf
from normcheck.conventions.catalogue import parse
from normcheck.dtype import DType
from normcheck.fixtures.drawn import MAX_SEED
from normcheck.parameters import OPTIONS, Parameter

if TYPE_CHECKING:
    from normcheck.plan import Selection

Command = TypeVar("Command", bound=Callable[..., Any])


def parameter_option(row: Parameter) -> Any:
    """The option of a parameter of a normalization."""
    return click.option(row.flag, row.name, metavar=row.metavar, help=row.words)


_OF_CASE = (
    *(parameter_option(row) for row in OPTIONS),
    click.option(
        "--convention",
        "conventions",
        multiple=True,
        metavar="KEY=VALUE",
        shell_complete=_complete.conventions,
        help="Judge by this convention instead of PyTorch's, such as weight=1+w; see docs/conventions.md.",
    ),
)
_OPTIONS = (
    click.option(
        "--method", "methods", type=OneOf("method", Method), multiple=True, help="Default: all of them."
    ),
    click.option(
        "--fixture",
        "fixtures",
        multiple=True,
        metavar="NAME|TAG|PATH",
        shell_complete=_complete.fixtures,
        help="Input data; default: the tag core.",
    ),
    click.option(
        "--dtype",
        "dtypes",
        type=OneOf("dtype", DType),
        multiple=True,
        help="Default: float32, or as a file of yours has its arrays.",
    ),
    click.option(
        "--mode",
        "modes",
        type=OneOf("mode", Mode),
        multiple=True,
        default=tuple(Mode),
        help="For batch norm, and instance norm that keeps running statistics. Default: train and eval.",
    ),
    *_OF_CASE,
    click.option(
        "--gradients/--no-gradients",
        default=True,
        help="Also compare gradients, or not. Default: compare them.",
    ),
)
device_option = click.option(
    "--device", default="cpu", metavar="D", help="Where to compute, such as cuda. Default: cpu."
)
seed_option = click.option(
    "--seed",
    type=click.IntRange(0, MAX_SEED - 1),
    metavar="N",
    help="Draw the inputs of the fixture drawn from this seed. Default: any; a recording has those of 0.",
)
timeout_option = click.option(
    "--timeout",
    type=float,
    default=60.0,
    metavar="S",
    help="Seconds for one case.",
)


def selection_options(command: Command) -> Command:
    """The options of a Selection, in the order of the help page."""
    return _with(_OPTIONS, command)


def case_options(command: Command) -> Command:
    """The options that set one case of a method apart from others."""
    return _with(_OF_CASE, command)


def _with(options: Sequence[Any], command: Command) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def selection(*, conventions: tuple[str, ...], **options: Any) -> Selection:
    """The Selection that the options describe."""
    from normcheck.plan import Selection

    params = {row.name: value for row in OPTIONS if (value := options.pop(row.name, None)) is not None}
    return Selection(params=params, convention=parse(conventions), **options)

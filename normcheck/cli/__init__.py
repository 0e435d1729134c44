"""The command line. The group knows names and help lines; a command's module is imported when it is called."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from typing import Any

import click

from normcheck.cli.output import hold_standard_descriptors, say, standard_output
from normcheck.cli.shortage import shortage
from normcheck.cli.signals import Terminated, ended_by_signals
from normcheck.errors import ExitCode, NormcheckError
from normcheck.printable import printable

_BY_CLICK = frozenset({"-h", "--help", "--version"})

COMMANDS = {
    "compare": "Run the methods on the backends and say which are right.",
    "record": "Save a backend's outputs for comparison on another machine.",
    "tolerance": "Show the rtol and atol that assert_close needs, and audit yours.",
    "explain": "Show which elements share statistics, as a coloured picture.",
    "backends": "List the backends, their versions, and why some cannot be used here.",
    "fixtures": "List the input data and its purpose.",
    "init": "Write a commented configuration and a GitHub workflow to start from.",
}


class LazyGroup(click.Group):
    """A group of the commands in COMMANDS, each in the module of its name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the help page."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"normcheck.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, but the error for an unknown name suggests the nearest valid one."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from normcheck.errors import UnknownNameError  # rare

            raise UnknownNameError("command", args[0], COMMANDS)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _frameworks() -> Iterator[tuple[str, str]]:
    """What backends are made of, as far as it is installed here: by its distribution, without importing it."""
    import platform
    from importlib import metadata

    from normcheck.backends import BUILTIN

    yield "python", platform.python_version()
    distributions = metadata.packages_distributions()
    for module in dict.fromkeys(entry.requires for entry in BUILTIN.values()):
        for name in distributions.get(module, [])[:1]:
            yield name, metadata.version(name)


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        from normcheck._version import __version__

        click.echo(f"normcheck {__version__}")
        click.echo(" · ".join(f"{name} {version}" for name, version in _frameworks()))
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version, and those of the frameworks.",
)
def group() -> None:
    """Verify that normalization layers in different frameworks compute the same thing.

    normcheck runs batch, layer, instance and group norm on NumPy, PyTorch, JAX and your own code, compares
    every result with an oracle in twice the working precision, and says which results are wrong, where, and
    whether it matters.

    \b
    Start with:  normcheck compare --method group
    Exit codes:  0 passed, 1 mismatch, 2 usage, 3 bad input, 4 backend failed,
                 5 nothing compared, 70 bug in normcheck, 130 interrupted,
                 128+N ended by signal N
    """


def main(args: list[str] | None = None) -> None:
    """Run the command line and exit with its code; every error is one line on stderr."""
    hold_standard_descriptors()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a mark that the locale cannot show is no reason to stop
    try:
        with ended_by_signals():
            code = _run(args)
    except Terminated as end:
        say(f"normcheck: {end}")
        code = end.exit_code
    sys.exit(code)


def _run(args: list[str] | None) -> int:
    try:
        shown_by_click = not _BY_CLICK.isdisjoint(sys.argv[1:] if args is None else args)
        with standard_output() if shown_by_click else contextlib.nullcontext():
            result: Any = group.main(args=args, prog_name="normcheck", standalone_mode=False)
    except NormcheckError as error:
        _complain(str(error), error.details)
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        say(error.format_message())
        return ExitCode.USAGE
    except click.ClickException as error:
        where = getattr(error, "ctx", None)
        hint = f" (see: {where.command_path} --help)" if where is not None else ""
        _complain(error.format_message().replace("\n", " ") + hint)
        return ExitCode.USAGE
    except (KeyboardInterrupt, click.Abort):
        _complain("interrupted")
        return ExitCode.INTERRUPTED
    except Exception as error:  # the machine is out of something, or it is a bug
        return _not_the_users(error)
    return int(result) if isinstance(result, int) else ExitCode.OK


def _complain(message: str, details: str = "") -> None:
    if details.strip():
        say(printable(details.rstrip()))
    say(f"normcheck: {printable(message)}")


def _not_the_users(error: Exception) -> int:
    if (sentence := shortage(error)) is not None:
        _complain(sentence)
        return ExitCode.BACKEND
    what = (
        f"internal error: {type(error).__name__}: {error}. This is a bug in normcheck; please report it with "
    )
    try:
        from normcheck.cli import bug

        _complain(what + bug.write_log(error))
    except OSError:  # there is no room for it
        import traceback

        _complain(f"{what}this", "".join(traceback.format_exception(error)))
    return ExitCode.INTERNAL

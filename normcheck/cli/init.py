"""``normcheck init``: a configuration to start from, and a GitHub workflow that runs it."""

from __future__ import annotations

import os
import sys
from importlib.resources import files
from pathlib import Path

import click

from normcheck.backends import BUILTIN, DEFAULT, missing
from normcheck.cli.output import OutputError, check_file, standard_output, write_file
from normcheck.config import OWN_FILE, PROJECT_FILE, UnreadableError, content, understood
from normcheck.errors import ConfigError, ExitCode

WORKFLOW = Path(".github", "workflows", "normcheck.yml")


@click.command(name="init")
@click.option("--no-workflow", is_flag=True, help=f"Write no {WORKFLOW}.")
def command(no_workflow: bool) -> int:
    """Write a commented normcheck.toml with a suite ci for the frameworks that are installed here, and a GitHub
    workflow that runs it. What is there already is kept.

    \b
    normcheck init
    normcheck compare --suite ci
    """
    backends = [name for name in DEFAULT if missing(name) is None]
    written = [_written(Path(OWN_FILE), _configuration(backends), f"the suite ci, on {', '.join(backends)}")]
    if not no_workflow:
        written.append(
            _written(WORKFLOW, _workflow(backends), "runs the suite ci on every push and pull request")
        )
    with standard_output():
        for line in written:
            click.echo(line)
        click.echo("next: normcheck compare --suite ci")
    return ExitCode.OK


def _written(file: Path, text: str, what: str) -> str:
    """Write a file that is not there, and say what was done."""
    if os.path.lexists(file):
        return f"{file}: is there already, and was kept"
    if file.name == OWN_FILE and _in_project():
        return f"{PROJECT_FILE}: has [tool.normcheck] already, and was kept"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        check_file(str(file))
        write_file(str(file), text)
    except (OSError, OutputError) as error:
        raise ConfigError(f"{file} cannot be written: {getattr(error, 'strerror', None) or error}") from None
    return f"{file}: written; {what}"


def _in_project() -> bool:
    """True if pyproject.toml has a configuration, which a normcheck.toml beside it would hide."""
    project = Path(PROJECT_FILE)
    try:
        return project.is_file() and understood(content(project), project) is not None
    except UnreadableError:  # what it says can be hidden from nobody
        return False


def _configuration(backends: list[str]) -> str:
    return _start(OWN_FILE).replace("BACKENDS", ", ".join(f'"{name}"' for name in backends))


def _workflow(backends: list[str]) -> str:
    extras = [BUILTIN[name].requires for name in backends if BUILTIN[name].needs]
    return (
        _start(WORKFLOW.name)
        .replace("EXTRAS", f"[{','.join(extras)}]" if extras else "")
        .replace("PYTHON", f"{sys.version_info.major}.{sys.version_info.minor}")
    )


def _start(name: str) -> str:
    return files("normcheck.cli").joinpath("start", name).read_text(encoding="utf-8")

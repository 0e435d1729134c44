"""``normcheck record``: save a backend's outputs for comparison on another machine."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from normcheck.cli import _complete
from normcheck.cli._selection import device_option, seed_option, selection, selection_options, timeout_option
from normcheck.cli.output import check_file, say, write_file
from normcheck.errors import ExitCode
from normcheck.verdict import Verdict


@click.command(name="record")
@click.option(
    "--backend",
    required=True,
    metavar="NAME|[ALIAS=]HOST:TARGET",
    shell_complete=_complete.backends,
    help="The backend to record, as for compare.",
)
@click.option(
    "--output",
    required=True,
    type=click.Path(dir_okay=False, readable=False),
    metavar="FILE",
    help="A .safetensors file.",
)
@selection_options
@device_option
@timeout_option
@seed_option
def command(backend: str, output: str, **options: Any) -> int:
    """Save a backend's outputs for comparison on another machine.

    Nothing is judged here. The other machine needs only the file, not the framework. Exits 4 if a case crashed,
    hung or raised; the file records that too.

    \b
    normcheck record --backend torch --device cuda --output gpu.safetensors
    normcheck compare --backend torch --backend gpu=file:gpu.safetensors
    """
    from normcheck.cli.progress import progress_line
    from normcheck.options import Options
    from normcheck.printable import printable
    from normcheck.run.record import record
    from normcheck.run.recording import to_bytes

    check_file(output)
    how = Options(**{name: options.pop(name) for name in ("timeout", "device", "seed")})
    with progress_line() as on_progress:
        recording = record(selection(**options), backend, how, on_progress)
    write_file(output, to_bytes(recording))
    verdicts = Counter(recorded.answer.verdict for recorded in recording.cases.values())
    outputs = sum(len(recorded.answer.outputs) for recorded in recording.cases.values())
    without = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items() if verdict is not None)
    say(
        f"{printable(output)}: {outputs} outputs of {verdicts[None]} cases, {recording.backend} "
        f"{printable(str(recording.environment.get('version', '')))}{f'; without output: {without}' if without else ''}"
    )
    if any(verdict not in {None, Verdict.UNSUPPORTED} for verdict in verdicts):
        return ExitCode.BACKEND
    return ExitCode.OK if verdicts[None] else ExitCode.NOTHING_COMPARED

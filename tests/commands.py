"""The command in a process that stays, in which its workers are too, for a framework that a process has one kind of.

    python tests/commands.py

runs each line of its input, JSON of the arguments and the folder, and writes what became of it as such a line.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from in_process import without_processes
from support import Completed

from normcheck import cli


class Commands:
    """The caller's side. ``environment`` has the variables that the process starts with."""

    def __init__(self, **environment: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: object, cwd: Path) -> Completed:
        """What became of the command, as of one with a process of its own."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        print(json.dumps([[*map(str, arguments)], str(cwd)]), file=stdin, flush=True)
        answer = stdout.readline()
        assert answer, "the process has ended"
        return Completed(arguments, *json.loads(answer))

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def answers(arguments: list[str], cwd: str) -> tuple[Any, str, str]:
    """The exit code and what was written, to stdout and to stderr."""
    os.chdir(cwd)
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2)]
    with pytest.MonkeyPatch.context() as patch:
        without_processes(patch)
        patch.setattr(sys, "stdout", streams[0])
        patch.setattr(sys, "stderr", streams[1])
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
    out, err = (stream.buffer.getvalue().decode() for stream in streams if not stream.flush())
    return ended.value.code, out, err


if __name__ == "__main__":
    with os.fdopen(os.dup(1), "w") as replies:
        os.dup2(2, 1)  # what a framework prints is no reply
        for line in sys.stdin:
            print(json.dumps(answers(*json.loads(line))), file=replies, flush=True)

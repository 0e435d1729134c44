"""``normcheck explain`` as users run it, in a pipe and on a terminal."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest

from normcheck.case import Method

COMMAND = [sys.executable, "-m", "normcheck", "explain"]
COLOURED = re.compile(r"\x1b\[38;5;16;48;5;(\d+)m *(-?[\d.]+)([a-z]+)")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
        timeout=60,
        check=False,
    )


def on_terminal(*arguments: str, columns: int, **environment: str) -> list[str]:
    """The lines that the command writes to a terminal of so many columns, codes and all."""
    ours, theirs = pty.openpty()
    variables = {"TERM": "xterm-256color", "COLUMNS": str(columns), **environment}
    inherited = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "COLORTERM")}
    process = subprocess.Popen([*COMMAND, *arguments], stdout=theirs, env={**inherited, **variables})
    os.close(theirs)
    written = b""
    try:
        while data := os.read(ours, 65536):
            written += data
    except OSError:  # Linux's way to say that the other side was closed
        pass
    os.close(ours)
    assert process.wait(timeout=60) == 0
    return written.decode().splitlines()


def visible(line: str) -> str:
    return re.sub(r"\x1b\[[\d;]*m", "", line)


def test_group_norm_of_the_documents_is_shown_in_full():
    """R and G of a sample form one group, B the other: the note's own example, without any option."""
    result = run("--method", "group")
    assert (result.returncode, result.stderr) == (0, "")
    assert (
        """
channel    0 R        1 G        2 B
sample 0    1a  2a     5a  6a     9b 10b
            3a  4a     7a  8a    11b 12b

sample 1   13c 14c    17c 18c    21d 22d
           15c 16c    19c 20c    23d 24d

set  consists of                   n  mean  variance
 a   sample 0, channels 0,1 (R,G)  8   4.5      5.25
 b   sample 0, channel 2 (B)       4  10.5      1.25
 c   sample 1, channels 0,1 (R,G)  8  16.5      5.25
 d   sample 1, channel 2 (B)       4  22.5      1.25
"""
        in result.stdout
    )
    assert "y = weight·(x − mean)/√(var + 1e-05) + bias" in result.stdout
    assert "Detection, segmentation and diffusion models" in result.stdout


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize(
    "arguments", [["group"], ["layer", "--fixture", "nchw"], ["batch", "--fixture", "ncdhw"]]
)
def test_a_terminal_is_never_too_narrow(arguments, columns):
    lines = on_terminal("--method", *arguments, columns=columns)
    assert max(len(visible(line)) for line in lines) <= columns


@pytest.mark.parametrize("method", list(Method))
def test_on_a_terminal_letter_and_colour_say_the_same(method):
    """In the documents' tensor every set has a colour of its own, with black text on it."""
    cells = COLOURED.findall("\n".join(on_terminal("--method", method, columns=80)))
    assert len(cells) == 24
    pairs = {(colour, letter) for colour, _, letter in cells}
    assert len(pairs) == len({colour for colour, _ in pairs}) == len({letter for _, letter in pairs})


def test_no_color_is_respected_and_nothing_is_lost():
    plain = on_terminal("--method", "group", columns=80, NO_COLOR="1")
    coloured = on_terminal("--method", "group", columns=80)
    assert not re.search(r"\x1b\[[\d;]*[34]8;", "\n".join(plain))
    assert [visible(line) for line in plain] == [visible(line) for line in coloured]


def test_help_needs_neither_numpy_nor_rich():
    code = (
        "import sys, normcheck.cli.explain; "
        "print(sorted({'numpy', 'rich', 'torch'} & {name.partition('.')[0] for name in sys.modules}))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    assert result.stdout.strip() == "[]"
    assert "--normalized-ndim" in run("--help").stdout

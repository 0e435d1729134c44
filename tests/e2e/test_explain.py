"""``normcheck explain`` as users run it: in a pipe, on a terminal, and with its PyTorch code run."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from normcheck.case import Method, Output
from normcheck.dtype import DType
from normcheck.methods import parameter_axes, partition_of
from normcheck.oracle import Inputs, evaluate
from normcheck.plan import Selection, parse_groups, plan

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


def torch_code(output: str) -> str:
    block = output.partition("the same in PyTorch\n")[2].partition("\nused for")[0]
    assert block, output
    return textwrap.dedent(block)


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


@pytest.mark.parametrize(
    ("method", "letters", "first", "last"),
    [
        ("batch", "aaaabbbbccccaaaabbbbcccc", "all samples, channel 0 (R)  8   8.5     37.25", "c"),
        ("layer", "aaaaaaaaaaaabbbbbbbbbbbb", "sample 0, all channels  12   6.5  11.916667", "b"),
        ("instance", "aaaabbbbccccddddeeeeffff", "sample 0, channel 0 (R)  4   2.5      1.25", "f"),
        ("group", "aaaaaaaabbbbccccccccdddd", "sample 0, channels 0,1 (R,G)  8   4.5      5.25", "d"),
    ],
)
def test_elements_of_the_documents_have_the_letters_of_their_sets(method, letters, first, last):
    """The elements are 1 to 24, so that the number in a cell says which element it is."""
    output = run("--method", method).stdout
    found = {
        int(number): letter
        for number, letter in re.findall(r"\b(\d+)([a-z])\b", output.partition("\nset ")[0])
    }
    assert "".join(found[number] for number in range(1, 25)) == letters
    assert f" a   {first}\n" in output
    assert re.search(rf"^ {last} .*\n\n", output, re.MULTILINE), "the last set ends the table"


@pytest.mark.parametrize(
    ("method", "fixture", "options"),
    [
        ("batch", "documents", {}),
        ("layer", "documents", {}),
        ("instance", "documents", {}),
        ("group", "documents", {}),
        ("group", "documents", {"groups": "0,2|1"}),
        ("group", "documents", {"num_groups": 3, "eps": 0.5}),
        ("batch", "nc", {}),
        ("instance", "nc", {}),
        ("group", "nc", {"num_groups": 12}),
        ("layer", "ncl", {"normalized_ndim": 1}),
        ("batch", "ncdhw", {"eps": 1e-3}),
        ("instance", "ncdhw", {}),
        ("group", "odd", {}),
        ("group", "nchw", {"groups": "0,1,2,3|4,5,6,7"}),
        ("group", "nchw", {"groups": "0,1,2,3,4,5|6,7"}),
        ("batch", "nhwc", {}),
        ("layer", "nhwc", {}),
        ("instance", "nhwc", {}),
        ("group", "nhwc", {}),
        ("group", "nhwc", {"groups": "5,0|1,2,3|4"}),
        ("group", "documents", {"channel_axis": -1, "num_groups": 2}),
    ],
    ids=str,
)
def test_the_printed_pytorch_code_computes_the_case(method, fixture, options, requires):
    """Run what is printed on the fixture's data; the oracle says what it should give."""
    requires("torch")
    import torch

    given = [word for k, v in options.items() for word in (f"--{k.replace('_', '-')}", str(v))]
    result = run("--method", method, "--fixture", fixture, *given)
    assert result.returncode == 0, result.stderr

    groups = parse_groups(options["groups"]) if "groups" in options else None
    selection = Selection(
        methods=[Method(method)], fixtures=[fixture], dtypes=[DType.FLOAT64], **{**options, "groups": groups}
    )
    case = plan(selection).cases[0].case
    inputs = plan(selection).cases[0].fixture.arrays().inputs(case)
    arrays = {name: inputs.get(name) for name in ("x", "weight", "bias")}
    names = {name: None if array is None else torch.from_numpy(array) for name, array in arrays.items()}
    exec(torch_code(result.stdout), names)  # noqa: S102 (that it runs is what is tested)

    x = inputs["x"]
    given = Inputs(**arrays, parameter_axes=parameter_axes(case.method, x.shape, case.params))
    own = partition_of(case.method, x.shape, case.params)
    truth = evaluate(given, [Output.Y], eps=case.params.eps, partition=own, precise=True)[Output.Y]
    np.testing.assert_allclose(names["y"].numpy(), truth.value, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--method", "grop"], 2, ["unknown method 'grop'", "Did you mean 'group'?"]),
        ([], 2, ["--method"]),
        (["--method", "group", "--num-groups", "2"], 3, ["3 channels", "2 equal groups", "1, 3"]),
        (["--method", "group", "--groups", "0,1|1,2"], 3, ["repeats channel 1"]),
        (["--method", "group", "--groups", "0|1"], 3, ["omits channel 2"]),
        (["--method", "group", "--groups", "R,G|B"], 2, ["'R,G|B'", "'0,1|2'"]),
        (["--method", "group", "--groups", "0,1|2", "--num-groups", "3"], 2, ["exclude each other"]),
        (["--method", "batch", "--fixture", "document"], 2, ["Did you mean 'documents'?"]),
        (["--method", "layer", "--normalized-ndim", "5"], 3, ["normalized_ndim is 5"]),
        (["--method", "batch", "--channel-axis", "2"], 3, ["channel_axis is 2"]),
    ],
)
def test_mistakes_get_one_line_and_their_exit_code(arguments, code, words):
    result = run(*arguments)
    assert (result.returncode, result.stdout) == (code, "")
    assert len(result.stderr.splitlines()) == 1
    for word in words:
        assert word in result.stderr


@pytest.mark.parametrize(
    "arguments", [["group"], ["layer", "--fixture", "nchw"], ["group", "--fixture", "odd"]]
)
def test_a_pipe_gets_plain_text_without_trailing_blanks(arguments):
    output = run("--method", *arguments).stdout
    assert "\x1b" not in output
    assert all(line == line.rstrip() for line in output.splitlines())


def test_what_is_left_out_is_said():
    """nchw, 3x8x5x7, has 120 sets when only the last axis is normalized."""
    output = run("--method", "layer", "--fixture", "nchw", "--normalized-ndim", "1").stdout
    assert "the first 2 of 3 samples, 3 of 8 channels, 3 of 5 rows, 2 of 7 columns." in output
    table = output.partition("consists of")[2].partition("\n\n")[0]
    assert len(re.findall(r"^ +[a-z]+ +sample", table, re.MULTILINE)) == 12
    assert "… and 108 more sets" in table


def test_whole_tensors_have_no_remark():
    output = run("--method", "instance").stdout
    assert "Only the beginning" not in output
    assert "more set" not in output


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


def test_a_hostile_file_name_cannot_steer_the_terminal(tmp_path):
    path = tmp_path / "\x1b[31m[bold]x.npy"
    np.save(path, np.arange(24.0).reshape(2, 3, 2, 2))
    result = run("--method", "batch", "--fixture", str(path))
    assert result.returncode == 0, result.stderr
    assert "\\x1b[31m[bold]x" in result.stdout
    assert "\x1b" not in result.stdout


def test_help_needs_neither_numpy_nor_rich():
    code = (
        "import sys, normcheck.cli.explain; "
        "print(sorted({'numpy', 'rich', 'torch'} & {name.partition('.')[0] for name in sys.modules}))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    assert result.stdout.strip() == "[]"
    assert "--normalized-ndim" in run("--help").stdout

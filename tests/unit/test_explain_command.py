"""``normcheck explain``: the picture, the numbers, and PyTorch code that computes the same."""

from __future__ import annotations

import re
import textwrap

import numpy as np
import pytest

from normcheck.case import Method, Output
from normcheck.conventions.catalogue import listed, parse
from normcheck.dtype import DType
from normcheck.oracle import truths_of
from normcheck.plan import Selection, plan


def torch_code(output: str) -> str:
    block = output.partition("the same in PyTorch\n")[2].partition("\nused for")[0]
    assert block, output
    return textwrap.dedent(block)


@pytest.mark.parametrize(
    ("method", "letters", "first", "last"),
    [
        ("batch", "aaaabbbbccccaaaabbbbcccc", "all samples, channel 0 (R)  8   8.5     37.25", "c"),
        ("layer", "aaaaaaaaaaaabbbbbbbbbbbb", "sample 0, all channels  12   6.5  11.916667", "b"),
        ("instance", "aaaabbbbccccddddeeeeffff", "sample 0, channel 0 (R)  4   2.5      1.25", "f"),
        ("group", "aaaaaaaabbbbccccccccdddd", "sample 0, channels 0,1 (R,G)  8   4.5      5.25", "d"),
    ],
)
def test_elements_of_the_documents_have_the_letters_of_their_sets(invoke, method, letters, first, last):
    """The elements are 1 to 24, so that the number in a cell says which element it is."""
    output = invoke("explain", "--method", method).stdout
    found = {
        int(number): letter
        for number, letter in re.findall(r"\b(\d+)([a-z])\b", output.partition("\nset ")[0])
    }
    assert "".join(found[number] for number in range(1, 25)) == letters
    assert f" a   {first}\n" in output
    assert re.search(rf"^ {last} .*\n\n", output, re.MULTILINE), "the last set ends the table"


CONVENTIONS = [
    f"{k}={value}" for k, _, value, _ in listed() if k in ("eps_placement", "variance", "weight", "bias")
]


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
        ("rms", "documents", {}),
        ("rms", "offset-1", {}),  # with a bias
        ("rms", "nchw", {"normalized_axes": "1,2"}),
        ("layer", "nhwc", {"normalized_axes": "1"}),
        *(("layer", "nchw", {"convention": each}) for each in CONVENTIONS),
        *(("rms", "ncl", {"convention": each}) for each in CONVENTIONS),
        ("batch", "nhwc", {"convention": "variance=unbiased"}),
        ("group", "odd", {"convention": "variance=unbiased"}),
        ("group", "nchw", {"num_groups": 4, "convention": "statistics=group_interleaved"}),
    ],
    ids=str,
)
def test_the_printed_pytorch_code_computes_the_case(invoke, method, fixture, options, requires):
    """Run what is printed on the fixture's data; the oracle says what it should give."""
    requires("torch")
    import torch

    given = [word for k, v in options.items() for word in (f"--{k.replace('_', '-')}", str(v))]
    result = invoke("explain", "--method", method, "--fixture", fixture, *given)
    assert result.returncode == 0, result.stderr

    params = {name: value for name, value in options.items() if name != "convention"}
    selection = Selection(
        methods=[Method(method)],
        fixtures=[fixture],
        dtypes=[DType.FLOAT64],
        params=params,
        convention=parse([options["convention"]] if "convention" in options else []),
    )
    case = plan(selection).cases[0].case
    inputs = plan(selection).cases[0].fixture.arrays().inputs(case)
    arrays = {name: inputs.get(name) for name in ("x", "weight", "bias")}
    names = {name: None if array is None else torch.from_numpy(array) for name, array in arrays.items()}
    exec(torch_code(result.stdout), names)  # noqa: S102 (that it runs is what is tested)

    truth = truths_of(case, inputs)[Output.Y]
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
def test_mistakes_get_one_line_and_their_exit_code(invoke, arguments, code, words):
    result = invoke("explain", *arguments)
    assert (result.returncode, result.stdout) == (code, "")
    assert len(result.stderr.splitlines()) == 1
    for word in words:
        assert word in result.stderr


@pytest.mark.parametrize(
    "arguments", [["group"], ["layer", "--fixture", "nchw"], ["group", "--fixture", "odd"]]
)
def test_a_pipe_gets_plain_text_without_trailing_blanks(invoke, arguments):
    output = invoke("explain", "--method", *arguments).stdout
    assert "\x1b" not in output
    assert all(line == line.rstrip() for line in output.splitlines())


def test_what_is_left_out_is_said(invoke):
    """nchw, 3x8x5x7, has 120 sets when only the last axis is normalized."""
    output = invoke("explain", "--method", "layer", "--fixture", "nchw", "--normalized-ndim", "1").stdout
    assert "the first 2 of 3 samples, 3 of 8 channels, 3 of 5 rows, 2 of 7 columns." in output
    table = output.partition("consists of")[2].partition("\n\n")[0]
    assert len(re.findall(r"^ +[a-z]+ +sample", table, re.MULTILINE)) == 12
    assert "… and 108 more sets" in table


def test_whole_tensors_have_no_remark(invoke):
    output = invoke("explain", "--method", "instance").stdout
    assert "Only the beginning" not in output
    assert "more set" not in output


def test_a_hostile_file_name_cannot_steer_the_terminal(invoke, tmp_path):
    path = tmp_path / "\x1b[31m[bold]x.npy"
    np.save(path, np.arange(24.0).reshape(2, 3, 2, 2))
    result = invoke("explain", "--method", "batch", "--fixture", str(path))
    assert result.returncode == 0, result.stderr
    assert "\\x1b[31m[bold]x" in result.stdout
    assert "\x1b" not in result.stdout

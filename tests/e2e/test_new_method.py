"""A method is one file and one line: one that normcheck does not have runs everywhere once these are there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest
from support import CHECKOUT, Completed, run_normcheck

METHOD = '''
"""Position norm: each position of each sample over its channels."""

from normcheck.methods.definition import Definition, channel_alone, positive_axis
from normcheck.methods.sets import over


def _over_channels(shape, params):
    return over(shape, (positive_axis(params.channel_axis, len(shape)),), params)


DEFINITION = Definition(
    statistics=_over_channels,
    parameters=("channel_axis",),
    parameter_axes=channel_alone,
    shares="one position of one sample, over its channels",
    used="Image translation.",
)
'''
OWN = """
import numpy as np

def position(x, weight, bias, *, eps, channel_axis=1):
    d = x - x.mean(channel_axis, keepdims=True)
    y = d / np.sqrt((d * d).mean(channel_axis, keepdims=True) + x.dtype.type(eps))
    shape = [1] * x.ndim
    shape[channel_axis] = -1
    y = y if weight is None else y * weight.reshape(shape)
    return y if bias is None else y + bias.reshape(shape)

def wrong(x, weight, bias, **keywords):
    return position(x, weight, bias, **keywords | {"eps": 1e-3})
"""
Run = Callable[..., Completed]


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The command of a copy of the package with the method in it."""
    folder = tmp_path_factory.mktemp("extended")
    for name in ("normcheck", "fixtures"):
        shutil.copytree(CHECKOUT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "normcheck" / "methods" / "position.py").write_text(METHOD)
    registry = folder / "normcheck" / "case.py"
    text = registry.read_text()
    line = '    RMS = "rms"\n'
    assert line in text
    registry.write_text(text.replace(line, f'{line}    POSITION = "position"\n'))
    (folder / "own.py").write_text(OWN)
    return lambda *words: run_normcheck(*words, cwd=folder, PYTHONPATH=str(folder))


@pytest.mark.parametrize(("attribute", "code", "verdict"), [("position", 0, "pass"), ("wrong", 1, "fail")])
def test_ones_own_function_of_it_is_judged(
    extended: Run, parsed: Any, attribute: str, code: int, verdict: str
) -> None:
    done = extended(
        *("compare", "--method", "position", "--backend", f"mine=numpy:own.py:{attribute}", "--laws"),
        *("--format", "json"),
    )
    report = parsed(done.stdout)
    assert (code, verdict) == (done.returncode, report["summary"]["verdict"])
    assert "position[channel_axis=-1]/nhwc/float32" in {row["case"] for row in report["results"]}


def test_backends_that_do_not_have_it_say_so(extended: Run, parsed: Any) -> None:
    done = extended("compare", "--method", "position", "--backend", "numpy", "--format", "json")
    rows = parsed(done.stdout)["results"]
    assert {("unsupported", "has no position norm")} == {(row["verdict"], row["reason"]) for row in rows}


def test_it_is_explained_and_listed(extended: Run) -> None:
    shown = extended("explain", "--method", "position", "--convention", "eps_placement=max").stdout
    assert "one position of one sample, over its channels (8 sets)" in shown
    assert "√max(var, 1e-05)" in shown
    assert "position" in extended("compare", "--help").stdout
    assert "position" in extended("backends", "numpy").stdout.splitlines()[0]

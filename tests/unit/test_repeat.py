"""A case that is asked several times: each answer is judged, and the worst one counts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import Completed

import normcheck
from normcheck import Comparison, Report, Verdict
from normcheck.errors import UsageError
from normcheck.reports import render
from normcheck.reports.json import read

Run = Callable[..., Completed]


def right(x: Any, weight: Any, bias: Any, eps: float) -> Any:
    deviation = x - x.mean(axis=-1, keepdims=True)
    return (
        deviation / np.sqrt(np.square(deviation).mean(axis=-1, keepdims=True) + x.dtype.type(eps)) * weight
        + bias
    )


class Sometimes:
    """A layer norm that does something else in some of its calls."""

    def __init__(self, wrong: Callable[[Any], Any], calls: set[int]) -> None:
        self.wrong, self.calls, self.count = wrong, calls, 0

    def __call__(self, x: Any, weight: Any, bias: Any, *, eps: float) -> Any:
        self.count += 1
        y = right(x, weight, bias, eps)
        return self.wrong(y) if self.count in self.calls else y


def raising(y: Any) -> Any:
    raise ValueError("now and then")


def refusing(y: Any) -> Any:
    raise NotImplementedError("not today")


def compared(function: Any, repeat: int) -> Report:
    return normcheck.compare(
        "layer", backends={"mine": function}, fixtures=["nc"], gradients=False, repeat=repeat
    )


def only(report: Report) -> Comparison:
    (result,) = (result for result in report.results if result.backend == "mine")
    return result


@pytest.mark.parametrize(
    ("wrong", "verdict", "reason"),
    [
        (lambda y: y * 1.5, Verdict.FAIL, "wrong in 2 of 5 calls: backward error"),
        (lambda y: np.where(y == y.max(), np.nan, y), Verdict.FAIL, "wrong in 2 of 5 calls: is nan"),
        (lambda y: y[:2], Verdict.FAIL, "wrong in 2 of 5 calls: has shape"),
        (raising, Verdict.ERROR, "no result in 2 of 5 calls: ValueError: now and then"),
        (refusing, Verdict.ERROR, "no result in 2 of 5 calls: "),
    ],
)
def test_the_worst_answer_counts(wrong: Any, verdict: Verdict, reason: str) -> None:
    result = only(compared(Sometimes(wrong, {2, 4}), 5))
    assert verdict is result.verdict
    assert (result.reason or "").startswith(reason)


def test_each_call_is_one_call_and_a_right_one_passes() -> None:
    function = Sometimes(raising, set())
    report = compared(function, 5)
    assert (5, Verdict.PASS, None) == (function.count, only(report).verdict, only(report).reason)
    assert [] == [note for note in report.notes if "differ" in note]
    assert 5 == report.repeat


def test_bits_that_differ_within_the_bound_are_a_note() -> None:
    nudged = Sometimes(lambda y: np.nextafter(y, np.float32(np.inf)), {3})
    report = compared(nudged, 4)
    assert Verdict.PASS is report.verdict
    assert [True] == ["mine: results differ in their bits from call to call" in note for note in report.notes]


def test_what_is_always_wrong_is_wrong_in_every_call() -> None:
    assert "wrong in 3 of 3 calls" in (only(compared(Sometimes(np.negative, {1, 2, 3}), 3)).reason or "")


def test_an_answer_that_the_next_call_overwrites_fails() -> None:
    memory = np.empty((16, 12), np.float32)

    def in_one_place(x: Any, weight: Any, bias: Any, *, eps: float) -> Any:
        y = memory[: x.shape[0], : x.shape[1]]
        y[...] = right(x, weight, bias, eps)
        return y

    result = only(compared(in_one_place, 3))
    assert Verdict.FAIL is result.verdict
    assert "shares memory" in (result.reason or "")


def test_a_report_says_how_often_and_comes_back() -> None:
    report = compared(Sometimes(np.negative, {2}), 3)
    text = render(report, "json")
    assert 3 == json.loads(text)["repeat"]
    assert report == read(text)
    assert "repeat" not in json.loads(render(compared(Sometimes(np.negative, set()), 1), "json"))


def test_pairs_are_of_the_first_calls() -> None:
    report = normcheck.compare(
        "layer",
        backends={"mine": Sometimes(np.negative, {2}), "numpy": "numpy"},
        fixtures=["nc"],
        gradients=False,
        repeat=3,
    )
    (pair,) = report.pairs
    assert ("mine", "numpy") == pair.backends


def test_the_command_repeats_and_says_how_to_do_it_again(invoke: Run, tmp_path: Path) -> None:
    (tmp_path / "norm.py").write_text(
        """
import numpy as np
calls = 0

def norm(x, weight, bias, *, eps):
    global calls
    calls += 1
    d = x - x.mean(-1, keepdims=True)
    y = d / np.sqrt(np.square(d).mean(-1, keepdims=True) + x.dtype.type(eps)) * weight + bias
    return y * 2 if calls == 5 else y
"""
    )
    options = (
        "--method",
        "layer",
        "--fixture",
        "nc",
        "--no-gradients",
        "--backend",
        "mine=numpy:norm.py:norm",
    )
    done = invoke("compare", *options, "--repeat", "6", cwd=tmp_path)
    assert 1 == done.returncode
    assert "wrong in 1 of 6 calls" in done.stdout
    assert "--repeat 6" in done.stdout


@pytest.mark.parametrize("repeat", [0, -1, 1001, 2.0, True])
def test_a_number_of_calls_that_is_none_is_an_error(repeat: Any) -> None:
    with pytest.raises(UsageError, match="from 1 to 1000"):
        compared(right, repeat)

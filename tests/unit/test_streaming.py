"""Whatever the tiles are and however many threads go through them, the judgement is the same; nothing is held."""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

from normcheck.answer import Answer
from normcheck.case import Case, Method, Mode, Output
from normcheck.dtype import DType
from normcheck.dtypes import numpy_dtype
from normcheck.fixtures.generate import bell
from normcheck.judge import traversal
from normcheck.judge.case import CaseJudge, Judged, Stated
from normcheck.judge.laws import OWN, Run
from normcheck.methods import definition, parameter_shape
from normcheck.options import Options
from normcheck.oracle import oracle_of, truths_of
from normcheck.oracle.whole import whole
from normcheck.parameters import Params
from normcheck.run import session
from normcheck.run.backends import BackendSpec
from normcheck.run.sources import Question
from normcheck.verdict import Verdict

SHAPE = (6, 4, 5)


def case_of(method: Method, mode: Mode, dtype: DType, shape: tuple[int, ...] = SHAPE) -> Run:
    """A case with everything that a layer can have."""
    channels, tracks = shape[1], method is Method.BATCH
    params = Params(
        normalized_ndim=len(shape) - 1 if "normalized_ndim" in definition(method).parameters else None,
        groups=((0, 3), (2,), (1,)) if method is Method.GROUP else None,
        momentum=0.1 if tracks else None,
    )
    own = parameter_shape(method, shape, params)
    size = int(np.prod(shape))
    arrays = {
        "x": bell(1, size, offset=3).reshape(shape),
        "weight": bell(2, int(np.prod(own))).reshape(own),
        "bias": bell(3, int(np.prod(own))).reshape(own),
        "grad_y": bell(4, size).reshape(shape),
    }
    outputs = [Output.Y, Output.GRAD_X, Output.GRAD_WEIGHT, Output.GRAD_BIAS]
    if tracks:
        arrays |= {"running_mean": bell(5, channels), "running_var": 2 + bell(6, channels)}
        outputs += [Output.RUNNING_MEAN, Output.RUNNING_VAR] if mode is Mode.TRAIN else []
    case = Case(
        method=method,
        params=params,
        fixture="f",
        shape=shape,
        dtype=dtype,
        mode=mode,
        steps=2,
        outputs=tuple(outputs),
    )
    return Run(case=case, arrays={name: a.astype(numpy_dtype(dtype)) for name, a in arrays.items()})


@pytest.mark.parametrize("dtype", [DType.FLOAT32, DType.FLOAT64])
@pytest.mark.parametrize(
    ("method", "mode"), [*((method, Mode.TRAIN) for method in Method), (Method.BATCH, Mode.EVAL)]
)
@pytest.mark.parametrize("tile", [1, 7, 40])
def test_the_oracle_does_not_depend_on_its_tiles(method: Method, mode: Mode, dtype: DType, tile: int) -> None:
    run = case_of(method, mode, dtype)
    at_once = truths_of(run.case, run.arrays)
    in_tiles = whole(oracle_of(run.case, run.arrays, tile))
    for output, truth in at_once.items():
        other = in_tiles[output]
        claimed = truth.claimed_error() + other.claimed_error()
        gap = truth.value - other.value
        if truth.tail is not None and other.tail is not None:
            gap = gap + (truth.tail - other.tail)
        assert (np.abs(gap) <= claimed).all()
        np.testing.assert_allclose(other.cond, truth.cond, rtol=1e-12)
        np.testing.assert_allclose(other.cond2, truth.cond2, rtol=1e-12)
        assert truth.n == other.n


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [DType.FLOAT32, DType.FLOAT64])
def test_what_is_not_finite_stays_in_its_set_in_any_tiles(dtype: DType, value: float) -> None:
    run = case_of(Method.BATCH, Mode.TRAIN, dtype)
    x = run.arrays["x"].copy()
    x[0, 1, 2] = value
    poisoned = replace(run, arrays={**run.arrays, "x": x})
    at_once = truths_of(poisoned.case, poisoned.arrays)
    in_tiles = whole(oracle_of(poisoned.case, poisoned.arrays, 4))
    for output, truth in at_once.items():
        other = in_tiles[output].value
        np.testing.assert_array_equal(np.isnan(other), np.isnan(truth.value), err_msg=output)
        np.testing.assert_array_equal(np.isinf(other), np.isinf(truth.value), err_msg=output)


LARGE = {
    Method.BATCH: (130_000, 2, 2),  # few sets, of more than a tile each
    Method.LAYER: (300, 4, 500),
    Method.INSTANCE: (2, 4, 70_000),
    Method.GROUP: (40, 4, 3_500),
    Method.RMS: (300, 4, 500),
}


@pytest.mark.parametrize("dtype", [DType.FLOAT32, DType.FLOAT16, DType.BFLOAT16])
@pytest.mark.parametrize("method", Method)
def test_the_judgement_does_not_depend_on_the_number_of_threads(
    method: Method, dtype: DType, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = case_of(method, Mode.TRAIN, dtype, LARGE[method])
    run = replace(run, case=replace(run.case, steps=1))
    if method is Method.GROUP:
        run = replace(run, case=replace(run.case, params=Params(num_groups=2)))
    truths = truths_of(run.case, run.arrays)
    outputs = {o.value: t.value.astype(numpy_dtype(dtype)) for o, t in truths.items()}
    wrong = {name: array.copy() for name, array in outputs.items()}
    for array in wrong.values():
        array[(-1,) * array.ndim] = np.nan
        array[(-2,) * array.ndim] = np.nan
    answers = {
        "right": Answer(verdict=None, outputs=outputs),
        "wrong": Answer(verdict=None, outputs=wrong),
    }
    judged = {}
    for threads in (1, 3):
        monkeypatch.setattr(os, "cpu_count", lambda threads=threads: threads)
        judged[threads] = CaseJudge(run.case, run.arrays, Options()).judge(answers)
    assert {Verdict.PASS} == {result.verdict for result in judged[1].results["right"]} - {
        Verdict.INCONCLUSIVE
    }
    assert {Verdict.FAIL} == {result.verdict for result in judged[1].results["wrong"]}
    assert {2} == {result.mismatched for result in judged[1].results["wrong"]}
    for name in answers:
        for one, three in zip(judged[1].results[name], judged[3].results[name], strict=True):
            assert one.verdict is three.verdict
            assert (one.worst and one.worst.index) == (three.worst and three.worst.index)
            assert one.mismatched == three.mismatched
            assert one.backward_error == pytest.approx(three.backward_error, rel=1e-6, nan_ok=True)
            assert one.max_abs_diff == pytest.approx(three.max_abs_diff, rel=1e-6, nan_ok=True)
    assert judged[1].pairs == judged[3].pairs


def test_a_large_case_is_gone_through_on_several_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    pool = traversal.ThreadPoolExecutor
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    monkeypatch.setattr(traversal, "ThreadPoolExecutor", lambda n: (seen.append(n), pool(n))[1])
    for shape in ((2, 4, 10), (300, 4, 1000)):
        run = case_of(Method.LAYER, Mode.TRAIN, DType.FLOAT32, shape)
        CaseJudge(run.case, run.arrays, Options()).judge({})
    assert [3, 3] == seen  # to prepare, and to judge; the small one on one


class Recorder:
    """A task that knows how many of its kind are alive."""

    alive: ClassVar[weakref.WeakSet[Recorder]] = weakref.WeakSet()
    most = 0

    def __init__(self, number: int, nbytes: int) -> None:
        self.number, self.once = number, False
        x = np.zeros((1, nbytes), np.uint8)
        case = Case(
            method=Method.LAYER, params=Params(), fixture=f"f{number}", shape=x.shape, dtype=DType.FLOAT32
        )
        self.runs = {OWN: Run(case=case, arrays={"x": x})}
        type(self).alive.add(self)
        type(self).most = max(type(self).most, len(type(self).alive))

    def asked(self, spec: BackendSpec) -> tuple[str, ...]:
        return (OWN,)

    def prepare(self) -> None: ...

    def judge(self, answers: Mapping[str, Mapping[str, Answer]]) -> Judged:
        return Judged(results=dict.fromkeys(answers, ()), pairs=())


class Tasks:
    """So many recorders, in the place of a TaskList."""

    total = 8

    def __init__(self, nbytes: int) -> None:
        self.nbytes, self.recorded = nbytes, 0

    def __iter__(self) -> Iterator[Recorder]:
        return (Recorder(number, self.nbytes) for number in range(self.total))

    def record(self, task: Recorder, judged: Judged) -> None:
        self.recorded += 1


class Echo:
    """A source that answers at once."""

    environment: Mapping[str, Any] = {}

    def __init__(self, name: str) -> None:
        self.spec = BackendSpec(name=name, host="numpy", argument=name)

    def answer(self, question: Question) -> Answer:
        return Answer(verdict=None, outputs={"y": question.arrays["x"]})

    def close(self) -> None: ...


@pytest.fixture
def stream() -> Callable[[int], Tasks]:
    """Run tasks of so many bytes on two sources."""

    def stream(nbytes: int) -> Tasks:
        Recorder.alive, Recorder.most = weakref.WeakSet(), 0
        gc.collect()
        sources = {name: Echo(name) for name in ("a", "b")}
        run = session._Session([source.spec for source in sources.values()], Options(), session.ignore)
        run.sources.update(sources)
        run._start_threads()
        tasks = Tasks(nbytes)
        run._run(tasks)  # type: ignore[arg-type]
        for requests in run.queues.values():
            requests.put(None)
        return tasks

    return stream


def test_large_tasks_are_dropped_as_soon_as_they_are_judged(stream: Callable[[int], Tasks]) -> None:
    assert Tasks.total == stream(session.AT_MOST).recorded
    assert Recorder.most <= session.AT_LEAST + 2  # one is asked while another is judged, and one is made


def test_small_tasks_go_out_before_the_answers_are_there(
    stream: Callable[[int], Tasks], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Echo.answer
    waiting: list[int] = []

    def late(self: Echo, question: Question) -> Answer:
        while not waiting and Recorder.most < Tasks.total:
            pass
        waiting.append(1)
        return answer(self, question)

    monkeypatch.setattr(Echo, "answer", late)
    assert Tasks.total == stream(16).recorded
    assert Tasks.total == Recorder.most


def test_several_stated_values_of_one_output_are_each_judged() -> None:
    run = case_of(Method.LAYER, Mode.TRAIN, DType.FLOAT32)
    right = truths_of(run.case, run.arrays)[Output.Y].value
    stated = [
        Stated(output=Output.Y, values=np.full(SHAPE, 9.0), decimals=None),
        Stated(output=Output.Y, values=np.ones((1, 1)), decimals=None),
        Stated(output=Output.Y, values=right, decimals=None),
    ]
    judged = CaseJudge(run.case, run.arrays, Options(), stated).judge({})
    assert [Verdict.FAIL, Verdict.FAIL, Verdict.PASS] == [r.verdict for r in judged.results["expected"]]
    assert "has shape (1, 1)" in str(judged.results["expected"][1].reason)

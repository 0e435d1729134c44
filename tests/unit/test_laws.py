"""Each law holds for the oracle's own outputs, is broken by what it is there to catch, and fails closed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from unit_helpers import shaped_params

from normcheck.answer import Answer
from normcheck.case import Case, Method, Mode, Output
from normcheck.dtype import DType
from normcheck.dtypes import numpy_dtype
from normcheck.judge.laws import LAWS, OWN, Law, Run, Trial
from normcheck.judge.laws.judge import LawJudge
from normcheck.methods import outputs, parameter_shape
from normcheck.options import Options
from normcheck.oracle import truths_of
from normcheck.report import Comparison
from normcheck.verdict import Verdict

SHAPE = (3, 4, 5, 2)
BY_NAME = {law.name: law for law in LAWS}
Change = Callable[[str, dict[Output, Any]], None]


def run(
    method: Method = Method.GROUP,
    dtype: DType = DType.FLOAT32,
    *,
    mode: Mode = Mode.TRAIN,
    shape: tuple[int, ...] = SHAPE,
    offset: float = 0.0,
    **params: Any,
) -> Run:
    """A case with random weight, bias, state and grad_y."""
    random = np.random.default_rng(7)
    momentum = {"momentum": 0.1} if method is Method.BATCH else {}
    chosen = shaped_params(
        method, len(shape), **{"num_groups": 2} if method is Method.GROUP else {}, **momentum
    )
    case = Case(
        method=method,
        params=replace(chosen, **params),
        fixture="random",
        shape=shape,
        dtype=dtype,
        mode=mode,
        steps=int(mode is Mode.TRAIN),
        outputs=outputs(mode, tracks=method is Method.BATCH, weight=True, bias=True, gradients=True),
    )
    own = parameter_shape(method, shape, case.params)
    arrays = {
        "x": random.normal(size=shape) + offset,
        "grad_y": random.normal(size=shape),
        "weight": random.normal(size=own),
        "bias": random.normal(size=own),
    }
    if method is Method.BATCH:
        arrays |= {"running_mean": random.normal(size=own), "running_var": 1 + random.random(size=own)}
    return Run(case=case, arrays={name: array.astype(numpy_dtype(dtype)) for name, array in arrays.items()})


def honest(run: Run) -> dict[Output, Any]:
    """The oracle's outputs, rounded to their dtypes."""
    truths = truths_of(run.case, run.arrays)
    return {o: t.value.astype(numpy_dtype(run.case.dtype_of(o))) for o, t in truths.items()}


def answer(found: Mapping[Output, Any], **more: Any) -> Answer:
    return Answer(verdict=None, outputs={o.value: a for o, a in found.items()}, **more)


def trial(law: Law, own: Run) -> Trial:
    found = law.trial(own.case, own.arrays)
    assert found is not None
    return found


def judge_for(law: Law, own: Run, put: Trial, **options: Any) -> LawJudge:
    truths = truths_of(own.case, own.arrays)
    return LawJudge(law, put, own, truths, Options(**options))


def nothing_changed(name: str, found: dict[Output, Any]) -> None: ...


def judged(law: Law, own: Run, change: Change = nothing_changed) -> dict[Output, Comparison]:
    """The comparisons by ``law`` of honest outputs, after ``change`` has had a hand in each run's."""
    put = trial(law, own)
    answers = {}
    for name, each in {OWN: own, **put.runs}.items():
        found = honest(each)
        change(name, found)
        answers[name] = answer(found)
    return {c.output: c for c in judge_for(law, own, put).judge("b", answers)}


def verdicts(found: Mapping[Output, Comparison]) -> set[Verdict]:
    return {comparison.verdict for comparison in found.values()}


CASES = [
    *((method, Mode.TRAIN) for method in Method),
    (Method.BATCH, Mode.EVAL),
]
APPLY = {
    (Method.BATCH, Mode.TRAIN): {"shift", "scale", "permutation", "sum", "projection", "linearity"},
    (Method.BATCH, Mode.EVAL): {"scale", "permutation", "alone", "affine", "linearity"},
    (Method.LAYER, Mode.TRAIN): {
        "shift",
        "scale",
        "permutation",
        "alone",
        "sum",
        "projection",
        "linearity",
        "one-group",
    },
    (Method.RMS, Mode.TRAIN): {"scale", "permutation", "alone", "projection", "linearity"},
    (Method.INSTANCE, Mode.TRAIN): {
        *("shift", "scale", "permutation", "alone", "sum", "projection", "linearity", "own-groups"),
    },
    (Method.GROUP, Mode.TRAIN): {
        *(
            "shift",
            "scale",
            "permutation",
            "alone",
            "sum",
            "projection",
            "linearity",
            "one-group",
            "own-groups",
        ),
    },
}


@pytest.mark.parametrize(("method", "mode"), CASES)
def test_which_laws_apply(method: Method, mode: Mode) -> None:
    own = run(method, mode=mode)
    assert APPLY[method, mode] == {law.name for law in LAWS if law.trial(own.case, own.arrays) is not None}


@pytest.mark.parametrize("dtype", DType)
@pytest.mark.parametrize(("method", "mode"), CASES)
def test_the_oracle_obeys_every_law(method: Method, mode: Mode, dtype: DType) -> None:
    """Its outputs are off by one rounding each: far less than is allowed, half precisions included."""
    own = run(method, dtype, mode=mode, offset=3.0)
    for name in APPLY[method, mode]:
        found = judged(BY_NAME[name], own)
        assert verdicts(found) == {Verdict.PASS}, name
        assert all((c.backward_error or 0.0) <= 2.0 for c in found.values()), name


@pytest.mark.parametrize(
    "law", [law for law in LAWS if law.name not in {"sum", "projection"}], ids=lambda law: law.name
)
def test_a_law_is_broken_by_one_run_that_is_a_thousandth_off(law: Law) -> None:
    own = run(Method.BATCH, mode=Mode.EVAL) if law.name == "affine" else run()
    first = next(iter(trial(law, own).runs))

    def spoil(name: str, found: dict[Output, Any]) -> None:
        if name == first:
            for output, array in found.items():
                found[output] = array * np.float32(1.001)

    assert verdicts(judged(law, own, spoil)) == {Verdict.FAIL}


@pytest.mark.parametrize("law", ["sum", "projection"])
def test_the_laws_of_the_sums_are_broken_by_a_constant_added_or_a_share_of_x_hat(law: str) -> None:
    def spoil(name: str, found: dict[Output, Any]) -> None:
        grad_x = found[Output.GRAD_X]
        found[Output.GRAD_X] = grad_x + np.float32(1e-3) * (1 if law == "sum" else found[Output.Y])

    assert verdicts(judged(BY_NAME[law], run(), spoil)) == {Verdict.FAIL}


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_all_zero_output_obeys_laws(law: Law) -> None:
    """Why laws stand beside the oracle and replace nothing. The projection alone needs y to be y."""
    own = run(Method.BATCH, mode=Mode.EVAL) if law.name == "affine" else run()

    def nothing(name: str, found: dict[Output, Any]) -> None:
        found.update({output: np.zeros_like(array) for output, array in found.items()})

    if law.name != "projection":
        assert verdicts(judged(law, own, nothing)) == {Verdict.PASS}


@pytest.mark.parametrize("offset", [0.0, -0.3, 100.0, -1e4])
@pytest.mark.parametrize("dtype", DType)
def test_the_shift_is_exact(dtype: DType, offset: float) -> None:
    own = run(dtype=dtype, offset=offset)
    runs = trial(BY_NAME["shift"], own).runs
    before = runs["rounded"].arrays["x"] if "rounded" in runs else own.arrays["x"]
    shifted = runs["shifted"].arrays["x"]
    steps = {Fraction(float(b)) - Fraction(float(a)) for a, b in zip(before.flat, shifted.flat, strict=True)}
    (c,) = steps
    assert abs(c).numerator == 1 or abs(c).denominator == 1
    largest = float(np.abs(own.arrays["x"].astype(np.float64)).max())
    assert abs(c) <= Fraction(largest) < 2 * abs(c)


@pytest.mark.parametrize("dtype", DType)
def test_the_two_gradients_add_up_exactly(dtype: DType) -> None:
    runs = trial(BY_NAME["linearity"], run(dtype=dtype)).runs
    a, b, both = (
        [Fraction(float(v)) for v in runs[name].arrays["grad_y"].flat] for name in ("a", "b", "a + b")
    )
    assert both == [left + right for left, right in zip(a, b, strict=True)]
    assert a != b


def test_explicit_groups_are_reversed_with_their_channels() -> None:
    own = run(groups=((0, 3), (1, 2)), num_groups=None)
    reversed_run = trial(BY_NAME["permutation"], own).runs["reversed"]
    assert ((3, 0), (2, 1)) == reversed_run.case.params.groups
    assert verdicts(judged(BY_NAME["permutation"], own)) == {Verdict.PASS}


def test_what_overflows_when_it_is_transformed_is_left_out() -> None:
    own = run(dtype=DType.FLOAT16)
    large = replace(own, arrays={**own.arrays, "x": np.full(SHAPE, 60000, np.float16)})
    assert BY_NAME["scale"].trial(large.case, large.arrays) is None


def test_a_law_that_says_no_more_than_0_is_0_gives_no_result() -> None:
    own = run()
    zero = replace(own, arrays={**own.arrays, "x": np.zeros(SHAPE, np.float32)})
    assert {} == judged(BY_NAME["projection"], zero)


def test_nan_stays_in_its_statistic_set() -> None:
    own = run(Method.INSTANCE)
    x = own.arrays["x"].copy()
    x[0, 0, 0, 0] = np.nan
    poisoned = replace(own, arrays={**own.arrays, "x": x})
    for name in APPLY[Method.INSTANCE, Mode.TRAIN]:
        found = judged(BY_NAME[name], poisoned)
        compared = [c for c in found.values() if c.output in {Output.Y, Output.GRAD_X}]
        assert {c.verdict for c in compared} == {Verdict.PASS}, name


def failing(wrong: Answer) -> Comparison:
    """What the shift law says of y where its run gave ``wrong``."""
    own, law = run(), BY_NAME["shift"]
    put = trial(law, own)
    answers = {name: answer(honest(each)) for name, each in {OWN: own, **put.runs}.items()}
    answers["shifted"] = wrong
    return judge_for(law, own, put).judge("b", answers)[0]


def test_a_law_run_that_gives_no_output_is_never_a_pass() -> None:
    good = honest(run())
    crash = failing(Answer(verdict=Verdict.CRASH, reason="died of signal 11", stderr="boom"))
    assert (Verdict.CRASH, "its run 'shifted': died of signal 11") == (crash.verdict, crash.reason)
    assert "boom" in crash.stderr
    without = {o: a for o, a in good.items() if o is not Output.Y}
    assert Verdict.FAIL is failing(answer(without)).verdict
    assert Verdict.FAIL is failing(answer({**good, Output.Y: good[Output.Y][:1]})).verdict
    assert Verdict.FAIL is failing(answer({**good, Output.Y: good[Output.Y].astype(np.float64)})).verdict
    assert Verdict.FAIL is failing(answer({**good, Output.Y: np.full(SHAPE, np.nan, np.float32)})).verdict
    assert Verdict.FAIL is failing(answer(good, nondeterministic=frozenset({"y"}))).verdict
    assert Verdict.ERROR is failing(answer(good, errors={"y": "no"})).verdict


def test_gradients_that_a_backend_does_not_claim_to_have_are_left_out() -> None:
    own, law = run(), BY_NAME["shift"]
    put = trial(law, own)
    absent = frozenset({"grad_x", "grad_weight", "grad_bias"})
    answers = {
        name: answer({Output.Y: honest(each)[Output.Y]}, absent=absent)
        for name, each in {OWN: own, **put.runs}.items()
    }
    assert [Output.Y] == [c.output for c in judge_for(law, own, put).judge("b", answers)]


def test_the_id_names_the_law_and_nothing_else_of_the_case_changes() -> None:
    own = run()
    for comparison in judged(BY_NAME["scale"], own).values():
        assert "group[num_groups=2;law=scale]/random/float32" == comparison.case_id
        assert own.case == comparison.case


def test_where_the_slack_lets_a_wrong_run_pass_the_law_decides_nothing() -> None:
    own = run(Method.INSTANCE, offset=3e6)
    found = judged(BY_NAME["alone"], own)
    assert Verdict.INCONCLUSIVE is found[Output.Y].verdict
    assert "this case decides nothing" in str(found[Output.Y].reason)


def test_strict_and_a_bound_of_ones_own_are_the_comparisons_own() -> None:
    own, law = run(), BY_NAME["sum"]
    answers = {OWN: answer(honest(own))}
    (found,) = judge_for(law, own, trial(law, own), max_backward_error=1e-9).judge("b", answers)
    assert (Verdict.LOOSE, 1e-9) == (found.verdict, found.allowed)
    (found,) = judge_for(law, own, trial(law, own), max_backward_error=1e-9, strict=True).judge("b", answers)
    assert Verdict.FAIL is found.verdict

"""``normcheck tolerance``: what sound code needs is derived, and an audit says what a tolerance is wrong about."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from normcheck.case import Method, Mode, Output
from normcheck.conventions.catalogue import KEYS, PYTORCH, Convention, parse
from normcheck.dtype import DType
from normcheck.dtypes import numpy_dtype
from normcheck.errors import FixtureError, UsageError
from normcheck.fixtures.generate import bell
from normcheck.judge.scale import Scale
from normcheck.methods import sums_dtype
from normcheck.methods.conventions import OF_STATE
from normcheck.oracle import truths_of
from normcheck.plan import PlannedCase, Selection, plan
from normcheck.tolerance.algorithms import HONEST, ONE_PASS, computed
from normcheck.tolerance.audit import NEEDED, YOURS, Audit, Kind, audit
from normcheck.tolerance.bounds import Tolerance, allowed, lowest, needed, rounded_up, usual
from normcheck.tolerance.inputs import moved, ordinary, shape_of
from normcheck.tolerance.others import broken, fitting
from normcheck.tolerance.others import expected as oracle_rounded
from normcheck.tolerance.text import sentences

SHAPE = (4, 6, 5)
VAST = Tolerance(name=YOURS, rtol=1e3, atol=1e3)
EXACT = Tolerance(name=YOURS, rtol=0.0, atol=0.0)


def planned(
    method: Method,
    dtype: DType = DType.FLOAT32,
    *,
    fixture: object = None,
    convention: Convention = PYTORCH,
    offset: int = 0,
    **params: str,
) -> PlannedCase:
    selection = Selection(
        methods=(method,),
        fixtures=(fixture or ordinary(SHAPE),),
        dtypes=(dtype,),
        modes=(Mode.TRAIN,),
        gradients=False,
        params=params,
        convention=convention,
    )
    return moved(plan(selection).cases[0], offset)


def audited(
    method: Method, dtype: DType = DType.FLOAT32, given: Tolerance | None = None, **how: object
) -> Audit:
    return audit(planned(method, dtype, **how), given)


@pytest.mark.parametrize("offset", [0, 100])
@pytest.mark.parametrize("dtype", DType)
@pytest.mark.parametrize("method", Method)
def test_what_sound_code_needs_accuses_no_honest_algorithm(method: Method, dtype: DType, offset: int) -> None:
    found = audited(method, dtype, offset=offset)
    first = found.findings[0]
    assert (first.tolerance.name, first.honest_accused) == (NEEDED, ())
    assert first.honest == len(fitting(HONEST, found.case)) >= 3, "normcheck's own judge passes all of them"
    assert first.broken >= 8
    assert len(first.broken_passed) <= 4


@pytest.mark.parametrize("dtype", DType)
def test_what_sound_code_needs_holds_for_the_worst_that_the_bound_allows(dtype: DType) -> None:
    case = replace(planned(Method.LAYER, dtype).case, outputs=(Output.Y,))
    arrays = planned(Method.LAYER, dtype).fixture.arrays().inputs(case)
    truth, kind = truths_of(case, arrays)[Output.Y], numpy_dtype(dtype)
    scale = Scale(dtype=dtype, unit=sums_dtype(case).output_roundoff)
    bound, expected = allowed(truth, scale), truth.value.astype(kind)
    found = needed(truth, scale)

    def worst(sign: int) -> np.ndarray:
        moved = (truth.value + sign * bound).astype(kind)
        inside = np.abs(moved.astype(np.float64) - truth.value) <= bound
        return np.where(inside, moved, expected)

    assert not np.array_equal(worst(1), expected)
    for each in (worst(1), worst(-1)):
        assert found.exact.passes(each, expected)
    assert found.each_other.passes(worst(1), worst(-1))
    assert found.each_other.passes(worst(-1), worst(1))
    if not dtype.half:  # half as much is not enough: there is no slack of note
        half = Tolerance(name="half", rtol=found.exact.rtol / 2, atol=found.exact.atol / 2)
        assert not half.passes(worst(1), expected)


@pytest.mark.parametrize("seed", range(20))
def test_the_line_is_above_all_points_and_lowest_on_average(seed: int) -> None:
    draw = np.random.default_rng(seed)
    a = draw.exponential(size=50)
    c = draw.exponential(size=50) * 1e-3 + draw.choice([-1e-4, 1e-4, 1e-3]) * a
    c = np.maximum(c, 0.0)
    found = lowest("it", a, c)
    assert np.all(c <= found.atol + found.rtol * a)
    slopes = [0.0, *((c[i] - c[j]) / (a[i] - a[j]) for i in range(50) for j in range(i))]
    heights = [max(float(np.max(c - r * a)), 0.0) + r * a.mean() for r in slopes if r >= 0]
    assert min(heights) * (1 - 1e-12) <= found.atol + found.rtol * a.mean() <= min(heights) * 1.21


def test_elements_near_zero_have_room_for_the_smallest_numbers() -> None:
    """RMS norm without a bias is as exact near 0 as it is elsewhere, but for the rounding of subnormal numbers."""
    found = audited(Method.RMS, DType.FLOAT16).needed
    least = DType.FLOAT16.smallest_subnormal
    assert found.exact.passes(np.array([least]), np.zeros(1))
    assert found.each_other.passes(np.array([least]), np.zeros(1))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("dtype", DType)
def test_what_sound_code_needs_serves_other_data_of_the_same_kind(dtype: DType, seed: int) -> None:
    given = audited(Method.RMS, dtype).needed
    other = planned(Method.RMS, dtype)
    arrays = other.fixture.arrays().inputs(other.case)
    arrays["x"] = bell(seed + 10, arrays["x"].size).reshape(SHAPE).astype(arrays["x"].dtype)
    ys = [computed(each, other.case, arrays) for each in fitting(HONEST, other.case).values()]
    assert all(given.exact.passes(y, oracle_rounded(other.case, arrays)) for y in ys)
    assert all(given.each_other.passes(a, b) for a in ys for b in ys)


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("fixture", ["ncl", "nhwc", "odd", "mixed", "n-2"])
def test_roundoffs_do_not_keep_the_line_from_being_found(method: Method, fixture: str) -> None:
    """Many points are on one line but for a roundoff."""
    assert audited(method, fixture=fixture).findings[0].honest_accused == ()


def test_points_on_one_line_are_no_endless_search() -> None:
    a = np.linspace(0.1, 1.0, 1000)
    for slope in np.linspace(1e-7, 1e-6, 200):
        found = lowest("it", a, slope * a + 1e-7)
        assert slope <= found.rtol * (1 + 1e-6) <= 1.2 * slope


def test_an_output_of_zeros_needs_an_atol_alone() -> None:
    assert lowest("it", np.zeros(3), np.array([0.0, 0.25, 0.125])) == Tolerance(
        name="it", rtol=0.0, atol=0.25
    )


@pytest.mark.parametrize(
    ("value", "expected"), [(0.0, 0.0), (1.01e-6, 1.1e-6), (1.1e-6, 1.2e-6), (99.5, 100.0)]
)
def test_two_digits_are_rounded_up(value: float, expected: float) -> None:
    assert value <= rounded_up(value) <= expected


@pytest.mark.parametrize(
    ("actual", "expected", "passes"),
    [
        (1.01, 1.0, True),
        (1.03, 1.0, False),
        (np.nan, np.nan, False),
        (np.inf, np.inf, True),
        (np.inf, 1.0, False),
    ],
)
def test_a_tolerance_passes_what_assert_close_passes(actual: float, expected: float, passes: bool) -> None:
    tolerance = Tolerance(name="it", rtol=0.01, atol=0.01)
    assert passes is tolerance.passes(np.array([1.0, actual]), np.array([1.0, expected]))


def test_a_vast_tolerance_passes_all_that_is_broken() -> None:
    (_, found) = audited(Method.LAYER, given=VAST).findings
    assert len(found.broken_passed) == found.broken >= 8
    assert found.honest_accused == ()
    assert not found.sound


def test_a_tolerance_of_zero_accuses_all_that_is_honest() -> None:
    (_, found) = audited(Method.LAYER, given=EXACT).findings
    assert len(found.honest_accused) == found.honest == len(HONEST)
    assert found.broken_passed == found.not_told_apart == ()
    assert not found.sound


def test_the_default_of_torch_accuses_honest_code_on_data_with_an_offset() -> None:
    (_, plain, _), (_, hard, _) = (audited(Method.LAYER, offset=each).findings for each in (0, 1000))
    assert plain.honest_accused == ()
    assert len(hard.honest_accused) == hard.honest >= 4


def test_data_that_tells_nothing_apart_is_no_pass() -> None:
    (_, full) = audited(Method.LAYER, given=usual(DType.FLOAT32)[0]).findings
    assert full.sound
    for nothing in (replace(full, broken=0), replace(full, honest=0)):
        assert not nothing.sound
        assert "shows nothing" in "".join(sentences(nothing))


@pytest.mark.parametrize("method", Method)
def test_broken_ones_are_every_other_value_of_the_catalogue(method: Method) -> None:
    each = planned(method, DType.BFLOAT16)
    names = dict(broken(each.case, each.fixture.arrays().inputs(each.case)))
    keys = {name.partition("=")[0] for name in names if name not in ONE_PASS}
    of_batch = {"centered"} if method is Method.BATCH else set()  # it keeps a running mean
    assert keys == KEYS.keys() - {*OF_STATE, "residual_sum", *of_batch}
    assert (names.keys() >= ONE_PASS.keys()) is (method is not Method.RMS)
    assert {"stats_dtype=float64", "stats_dtype=float32"}.isdisjoint(names), "finer is not broken"


@pytest.mark.parametrize(
    "convention",
    [
        *("eps_placement=outside_sqrt", "eps_placement=max", "eps_placement=none", "variance=unbiased"),
        *("weight=1+w", "weight=ignored", "bias=ignored", "centered=false", "statistics=instance"),
        "stats_dtype=float64",
    ],
)
def test_honest_algorithms_follow_the_convention_of_the_case(convention: str) -> None:
    found = audited(Method.LAYER, convention=parse((convention,)))
    assert [] == [each.name for each in found.implementations if each.kind is Kind.HONEST and not each.counts]
    assert convention not in [each.name for each in found.implementations]


def test_a_cast_before_the_affine_step_is_honest_where_it_is_the_convention() -> None:
    found = audited(Method.RMS, DType.BFLOAT16, convention=parse(("cast_order=cast_then_affine",)))
    honest = [each for each in found.implementations if each.kind is Kind.HONEST]
    assert all(each.counts and each.passes[NEEDED] for each in honest)


def test_what_is_no_other_result_has_no_verdict_and_counts_for_nothing() -> None:
    found = audited(Method.RMS)  # ordinary data have no bias for it
    (same,) = [each for each in found.implementations if each.name == "bias=ignored"]
    assert (same.differs, same.verdict, same.counts) == (False, None, False)


def test_not_finite_or_empty_results_have_no_tolerance() -> None:
    for fixture in ("one-nan", "one-inf"):
        with pytest.raises(FixtureError, match="not finite"):
            audited(Method.LAYER, fixture=fixture)
    with pytest.raises(FixtureError, match="nothing bounds its error"):
        audited(Method.LAYER, fixture="constant", convention=parse(("eps_placement=outside_sqrt",)), eps="0")
    with pytest.raises(FixtureError, match="y is empty"):
        audited(Method.LAYER, fixture="empty-batch")
    with pytest.raises(FixtureError, match="standard deviation of x is 0"):
        audited(Method.LAYER, fixture="constant-image", offset=3)


@pytest.mark.parametrize("text", ["", "8,", "8,x", "0,4", "-1,4", "8;4"])
def test_a_shape_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--shape"):
        shape_of(text)


def test_the_usual_tolerances_are_those_of_the_libraries() -> None:
    testing = pytest.importorskip("torch.testing._comparison")
    torch = pytest.importorskip("torch")
    for dtype in DType:
        of_torch = usual(dtype)[0]
        assert testing.default_tolerances(getattr(torch, str(dtype))) == (of_torch.rtol, of_torch.atol)
    import inspect

    signature = inspect.signature(np.testing.assert_allclose).parameters
    of_numpy = usual(DType.FLOAT32)[1]
    assert (signature["rtol"].default, signature["atol"].default) == (of_numpy.rtol, of_numpy.atol)


def test_the_command_shows_lines_to_paste_and_what_normcheck_says(invoke) -> None:
    done = invoke("tolerance", "--method", "group", "--num-groups", "3", "--shape", "2,6,4,4")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("  torch.testing.assert_close(y, expected, rtol=") == 2
    assert "group[num_groups=3]/ordinary[2,6,4,4]+100σ/float32" in done.stdout
    assert "variance as E[x²] - E[x]²" in done.stdout, "no markup"


@pytest.mark.parametrize(("rtol", "atol", "code"), [("1e-5", "1e-5", 0), ("10", "10", 1), ("0", "0", 1)])
def test_the_exit_code_is_that_of_the_given_tolerance(invoke, rtol: str, atol: str, code: int) -> None:
    options = ("--shape", "4,6,5", "--offset", 0, "--format", "json", "--rtol", rtol, "--atol", atol)
    done = invoke("tolerance", "--method", "layer", *options)
    found = json.loads(done.stdout)
    assert done.returncode == code, done.stdout
    assert found["verdict"] == ("fail" if code else "pass")
    (only,) = found["audits"]
    assert [each["name"] for each in only["tolerances"]] == [NEEDED, YOURS]
    assert set(only["needed"]) == {"exact", "each_other"}


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--shape", "4,6", "--rtol", "1"), 2, "give both"),
        (
            ("--shape", "4,6", "--rtol", "nan", "--atol", "0"),
            2,
            "--rtol is nan; valid: a finite number from 0 on",
        ),
        (("--shape", "4,6", "--rtol", "1", "--atol", "-1"), 2, "--atol is -1"),
        ((), 2, "--fixture NAME|PATH or --shape 8,1024"),
        (("--shape", "4,6", "--fixture", "nc"), 2, "one of them"),
        (("--shape", "4,6", "--convention", "variance=n"), 2, "Valid: biased, unbiased"),
        (("--shape", "4"), 3, "normcheck takes 2 to 5"),
        (("--fixture", "missing.npz"), 3, "no such file"),
    ],
)
def test_wrong_options_and_data_are_said(invoke, options: tuple[str, ...], code: int, words: str) -> None:
    done = invoke("tolerance", "--method", "layer", *options)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr


def test_what_it_says_real_assert_close_does() -> None:
    """The line to paste, in the dtype in which assert_close computes."""
    torch = pytest.importorskip("torch")
    for dtype in DType:
        each = planned(Method.LAYER, dtype, offset=100)
        case = replace(each.case, outputs=(Output.Y,))
        arrays = each.fixture.arrays().inputs(case)
        found = audit(each, None).needed
        tensors = [
            torch.tensor(computed(algorithm, case, arrays).astype(np.float64)).to(getattr(torch, str(dtype)))
            for algorithm in HONEST.values()
        ]
        for one in tensors:
            for other in tensors:
                torch.testing.assert_close(one, other, rtol=found.each_other.rtol, atol=found.each_other.atol)

"""``normcheck.judge``: arrays that one already has, whoever computed them, against the oracle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from normcheck.answer import Answer
from normcheck.api import arguments
from normcheck.api.arguments import Conventions
from normcheck.case import Case, Method, Mode, Output
from normcheck.dtype import DType, promoted
from normcheck.errors import FixtureError, UsageError
from normcheck.options import Options
from normcheck.plan import PlannedCase, Selection, plan
from normcheck.report import Comparison
from normcheck.verdict import Verdict

if TYPE_CHECKING:
    from normcheck.fixtures import Fixture

NAME, BACKEND = "arrays", "yours"  # in the case's id, and before what was given


def judge(
    y: Any,
    x: Any,
    *,
    method: str,
    weight: Any = None,
    bias: Any = None,
    residual: Any = None,
    running_mean: Any = None,
    running_var: Any = None,
    grad_y: Any = None,
    output: str = "y",
    mode: str = "train",
    dtype: str | None = None,
    convention: Conventions = (),
    max_backward_error: float | None = None,
    strict: bool = False,
    **parameters: Any,
) -> Comparison:
    """Judge ``y``, the result of a normalization of ``x`` that was computed elsewhere, against the oracle.

    ``method`` is batch, layer, instance, group or rms. x has 2 to 5 axes, the channels in axis 1, or last with
    ``channel_axis=-1``; y, ``residual`` and ``grad_y`` have its shape. ``weight`` and ``bias`` have the shape of the
    method's parameters, (C,) or that of the normalized axes, or with the batch before it; None is none.
    ``running_mean`` and ``running_var``, of shape (C,), are those before the call. All are NumPy's, PyTorch's on any
    device and with or without a gradient, JAX's or another framework's that is loaded; nothing is written to.
    ``parameters`` are those of :func:`normcheck.compare`: ``eps``, ``num_groups``, ``normalized_ndim`` and so on, with
    PyTorch's defaults; group norm needs ``num_groups`` or ``groups``.

    ``output`` says what the first array is, if not y: ``grad_x``, ``grad_weight``, ``grad_bias`` or ``grad_residual``,
    which need ``grad_y``, the incoming gradient; ``sum``, of x and ``residual``; ``running_mean`` or ``running_var``
    after a step of training. In ``mode`` "eval" of batch norm, or of instance norm with ``track_running_stats=True``,
    the running statistics take the place of the batch's.

    The dtypes are float64, float32, float16 and bfloat16. y must have that of x, as in :func:`normcheck.compare`, or a
    narrower one: then x is the data before it was rounded, it is taken as it is, and y's dtype is that of the case.
    ``dtype`` says otherwise what y must be, and that of x does not matter: ``"float32"`` for a kernel that returns
    float32 for a bfloat16 x; with it integers are taken as numbers. The other arrays keep their dtypes; gradients of
    parameters must have those of the parameters.

    Returns the :class:`normcheck.Comparison`: its ``verdict``, ``reason``, ``backward_error`` and ``allowed`` in unit
    roundoffs, ``max_abs_diff``, ``max_ulp`` and the ``worst`` element; ``str`` of it is a paragraph. A wrong shape or
    dtype, and NaN or infinity where the oracle has none, is a FAIL; data that cannot tell right from wrong is
    INCONCLUSIVE. LOOSE, a backward error between 16 + √n and 16 + n, is that of a naive sum, or of something else:
    one array does not tell, :func:`normcheck.compare` does. It has no truth value: ask for its ``verdict``.

    Raises :class:`normcheck.NormcheckError` for unknown names, parameters and arrays that do not fit x, integers, what
    is no array, and arrays that the case does not use.
    """
    wanted = arguments.named(Output, output, "output")
    given = {
        "x": x,
        "weight": weight,
        "bias": bias,
        "residual": residual,
        "running_mean": running_mean,
        "running_var": running_var,
        "grad_y": grad_y,
    }
    fixture, judged = arguments.held(NAME, given), arguments.array(y, output)
    chosen = None if dtype is None else arguments.named(DType, dtype, "dtype")
    expected = _dtype(fixture, judged.dtype.name) if chosen is None else chosen
    selection = Selection(
        methods=(arguments.named(Method, method, "method"),),
        fixtures=(_stated(fixture, expected, all_numbers=chosen is not None),),
        modes=(arguments.named(Mode, mode, "mode"),),
        params=arguments.params_of(parameters),
        convention=arguments.convention_of(convention),
        gradients=wanted.is_gradient,
    )
    planned = plan(selection).cases[0]
    _check_used(planned.case, wanted, given, mode)
    case = _as_given(planned)
    options = Options(max_backward_error=max_backward_error, strict=strict)
    from normcheck.judge.case import CaseJudge  # imports NumPy

    arrays = planned.fixture.arrays().inputs(case)
    answer = Answer(verdict=None, outputs={wanted: judged})
    found = CaseJudge(case, arrays, options).judge({BACKEND: answer}).results[BACKEND]
    comparison = next(each for each in found if each.output is wanted)
    if chosen is None and judged.dtype.name in list(DType) and judged.dtype.name != case.dtype_of(wanted):
        return _with(comparison, f"if that is meant, say dtype={judged.dtype.name!r}")
    if chosen is None and "x" in case.dtypes and comparison.verdict is Verdict.FAIL:
        wide = case.dtypes["x"]
        return _with(comparison, f"x is {wide}: if y was computed from x in {case.dtype}, give that")
    return comparison


def _dtype(fixture: Fixture, found: str) -> DType:
    """The dtype that y must have: that of x, or its own where this is narrower."""
    stored = fixture.stored["x"]
    if stored not in list(DType):
        raise FixtureError(
            f"x holds {stored}; valid: {', '.join(DType)}; or say in what dtype y is to be right, with dtype='float32'"
        )
    of_x = DType(stored)
    narrower = found in list(DType) and promoted(of_x, DType(found)) is of_x
    return DType(found) if narrower else of_x


def _stated(fixture: Fixture, dtype: DType, *, all_numbers: bool) -> Fixture:
    """The fixture as one whose x is in the dtype of the case; with ``all_numbers`` integers are taken as numbers."""
    numbers = {
        n: dtype.value for n, found in fixture.stored.items() if all_numbers and found not in list(DType)
    }
    return replace(fixture, stored={**fixture.stored, **numbers, "x": dtype.value})


def _as_given(planned: PlannedCase) -> Case:
    """The case, with x and grad_y in the dtypes in which they were given."""
    found = planned.fixture.arrays()
    arrays = {"x": found.x, "grad_y": found.parameters.get("grad_y")}
    kept = {name: DType(array.dtype.name) for name, array in arrays.items() if array is not None}
    dtypes = {name: dtype for name, dtype in kept.items() if dtype is not planned.case.dtype}
    return replace(planned.case, dtypes={**planned.case.dtypes, **dtypes})


def _check_used(case: Case, output: Output, given: Mapping[str, Any], mode: str) -> None:
    """UsageError for an output that the case does not have, and for arrays that it does not depend on."""
    present = [name for name, array in given.items() if array is not None]
    if output not in case.outputs:
        raise UsageError(
            f"output {output.value!r}: this case has none; with these arrays, in mode {mode!r}, it has: "
            f"{', '.join(case.outputs)}"
        )
    if output.is_gradient and "grad_y" not in present:
        raise UsageError(f"output {output.value!r} needs grad_y, the gradient of the loss with respect to y")
    running = [name for name in ("running_mean", "running_var") if name in present]
    if running and not case.tracks:
        raise UsageError(f"{running[0]}: {case.method} norm does not use it here{_tracking(case)}")
    if running and not (case.uses_running or output.is_state):
        raise UsageError(
            f"{running[0]}: {output} does not depend on it in mode 'train'; say mode='eval' if it was computed so"
        )
    if "grad_y" in present and not output.is_gradient:
        raise UsageError(f"grad_y: {output} does not depend on it; output='grad_x' judges a gradient")


def _tracking(case: Case) -> str:
    return "; add track_running_stats=True" if case.method is Method.INSTANCE else ""


def _with(comparison: Comparison, hint: str) -> Comparison:
    judgement = replace(comparison.judgement, reason=f"{comparison.reason}; {hint}")
    return replace(comparison, judgement=judgement)

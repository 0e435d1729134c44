"""Laws of x and its order: what y and the gradients do when the inputs are transformed.

Every transformation is exact in the case's dtype (additions of a power of two to numbers that have room for
it, doublings, another order), so that what is left between two runs is their own rounding.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from normcheck.case import Case, Method, Output
from normcheck.judge.laws.needs import Need
from normcheck.judge.laws.relations import (
    OWN,
    Arrays,
    Elements,
    Floats,
    Law,
    Part,
    Relation,
    Run,
    Term,
    Trial,
)
from normcheck.methods import num_channels, parameter_shape
from normcheck.oracle.reals import Array
from normcheck.parameters import Params

PARAMETERS = ("weight", "bias")
GRADIENTS = (Output.GRAD_X, Output.GRAD_WEIGHT, Output.GRAD_BIAS)
EVERYWHERE: Part = Elements()


def same(case: Case, outputs: Iterable[Output], left: str, right: str) -> dict[Output, Relation]:
    """Each of ``outputs`` that the case has is the same in two runs."""
    return {
        output: Relation(left=Term(run=left, output=output), right=(Term(run=right, output=output),))
        for output in outputs
        if output in case.outputs
    }


def _times(array: Floats, factor: float) -> Floats:
    with np.errstate(over="ignore"):
        return array * array.dtype.type(factor)


def _still_finite(new: Floats, old: Floats) -> bool:
    return bool(np.array_equal(np.isfinite(new), np.isfinite(old)))


def _shift(case: Case, arrays: Arrays) -> Trial | None:
    """C is a power of two with |c| <= max|x| < 2|c|, against the mean: data far from 0 comes nearer.

    x loses the bits for which x + c has no room. x' = fl(x + c) and x' - c are exact then: the latter is x
    itself where the former is exact (by Sterbenz' lemma near 0); elsewhere it is not larger than x' or than
    2|c|, and a multiple of the last digit of x'.
    """
    x = arrays["x"]
    finite = x[np.isfinite(x)].astype(np.float64)
    largest = float(np.abs(finite).max(initial=0.0)) or 1.0
    magnitude = np.ldexp(0.5, np.frexp(largest)[1])
    with np.errstate(over="ignore"):
        c = np.asarray(-magnitude if finite.sum() > 0 else magnitude).astype(x.dtype)
        shifted: Floats = x + c
        rounded: Floats = shifted - c
    if not (_still_finite(shifted, x) and _still_finite(rounded, x)):
        return None
    runs = {"shifted": Run(case=case, arrays={**arrays, "x": shifted})}
    reference = OWN
    if not np.array_equal(rounded, x, equal_nan=True):
        reference = "rounded"
        runs[reference] = Run(case=case, arrays={**arrays, "x": rounded})
    return Trial(runs=runs, relations=same(case, (Output.Y, *GRADIENTS), "shifted", reference))


def _scale(case: Case, arrays: Arrays) -> Trial | None:
    factors = {"x": 2.0, "running_mean": 2.0, "running_var": 4.0}
    scaled = {name: _times(arrays[name], factor) for name, factor in factors.items() if name in arrays}
    if not all(_still_finite(array, arrays[name]) for name, array in scaled.items()):
        return None
    params = replace(case.params, eps=4.0 * case.params.eps)
    run = Run(case=replace(case, params=params), arrays={**arrays, **scaled})
    follow = {Output.GRAD_X: 0.5, Output.RUNNING_MEAN: 2.0, Output.RUNNING_VAR: 4.0}
    relations = {
        output: Relation(
            left=Term(run="scaled", output=output),
            right=(Term(run=OWN, output=output, part=Elements(factor=follow.get(output, 1.0))),),
        )
        for output in case.outputs
    }
    return Trial(runs={"scaled": run}, relations=relations)


def _reversed(array: Array) -> Array:
    return np.flip(array)


def _permutation(case: Case, arrays: Arrays) -> Trial | None:
    """Every axis is reversed, the parameters' and the groups' channels with x."""
    groups = case.params.groups
    if groups is not None:
        last = num_channels(arrays["x"].shape, case.params) - 1
        groups = tuple(tuple(last - channel for channel in group) for group in groups)
    turned = {name: np.ascontiguousarray(np.flip(array)) for name, array in arrays.items()}
    run = Run(case=replace(case, params=replace(case.params, groups=groups)), arrays=turned)
    relations = {
        output: Relation(
            left=Term(run="reversed", output=output),
            right=(Term(run=OWN, output=output, part=Elements(pick=_reversed)),),
        )
        for output in case.outputs
    }
    return Trial(runs={"reversed": run}, relations=relations)


def _last_sample(array: Array) -> Array:
    return array[-1:]


def _alone(case: Case, arrays: Arrays) -> Trial | None:
    x = arrays["x"]
    if len(x) == 1:
        return None
    own = len(parameter_shape(case.method, x.shape, case.params))
    by_sample = [n for n in PARAMETERS if n in arrays and arrays[n].ndim > own]
    one = {name: arrays[name][-1:] for name in ("x", "grad_y", "residual", *by_sample) if name in arrays}
    run = Run(case=replace(case, shape=(1, *case.shape[1:])), arrays={**arrays, **one})
    relations: dict[Output, Relation] = {
        output: Relation(
            left=Term(run="alone", output=output),
            right=(Term(run=OWN, output=output, part=Elements(pick=_last_sample)),),
        )
        for output in case.outputs
        if output.is_elementwise
    }
    return Trial(runs={"alone": run}, relations=relations)


def _affine(case: Case, arrays: Arrays) -> Trial | None:
    """y(2x) = 2·y(x) - y(0)."""
    x = arrays["x"]
    doubled = _times(x, 2.0)
    if not _still_finite(doubled, x):
        return None
    forward = replace(case, outputs=(Output.Y,))
    given = {name: array for name, array in arrays.items() if name != "grad_y"}
    runs = {
        "doubled": Run(case=forward, arrays={**given, "x": doubled}),
        "zero": Run(case=forward, arrays={**given, "x": np.zeros_like(x)}),
    }
    relation = Relation(
        left=Term(run="doubled", output=Output.Y),
        right=(
            Term(run=OWN, output=Output.Y, part=Elements(factor=2.0)),
            Term(run="zero", output=Output.Y, part=Elements(factor=-1.0)),
        ),
    )
    return Trial(runs=runs, relations={Output.Y: relation})


def _one_group(case: Case, arrays: Arrays) -> Trial | None:
    """Group norm with one group, and layer norm over all but the batch axis."""
    ndim = arrays["x"].ndim
    whole = case.method is Method.LAYER and case.params.normalized_ndim == ndim - 1
    if not (whole or case.method is Method.GROUP):
        return None
    common = Params(eps=case.params.eps, channel_axis=case.params.channel_axis)
    return _without_parameters(
        case, arrays, replace(common, num_groups=1), Method.LAYER, replace(common, normalized_ndim=ndim - 1)
    )


def _own_groups(case: Case, arrays: Arrays) -> Trial | None:
    """Group norm with a group for each channel, and instance norm."""
    if case.method not in {Method.INSTANCE, Method.GROUP}:
        return None
    common = Params(eps=case.params.eps, channel_axis=case.params.channel_axis)
    channels = num_channels(arrays["x"].shape, case.params)
    return _without_parameters(case, arrays, replace(common, num_groups=channels), Method.INSTANCE, common)


def _without_parameters(case: Case, arrays: Arrays, grouped: Params, method: Method, params: Params) -> Trial:
    """Two methods on the same x; weight and bias, of other shapes in each, are left out."""
    outputs = tuple(output for output in (Output.Y, Output.GRAD_X) if output in case.outputs)
    given = {name: arrays[name] for name in ("x", "grad_y") if name in arrays}
    plain = replace(case, outputs=outputs)
    runs = {
        "group": Run(case=replace(plain, method=Method.GROUP, params=grouped), arrays=given),
        method.value: Run(case=replace(plain, method=method, params=params), arrays=given),
    }
    return Trial(runs=runs, relations=same(case, outputs, "group", method.value))


SHIFT = Law(
    name="shift",
    statement="adding a constant to x changes neither y nor the gradients",
    put_to=_shift,
    needs=(Need.CENTERED, Need.OWN_STATISTICS, Need.X_ALONE),
)
SCALE = Law(
    name="scale",
    statement=(
        "doubling x, with eps four times as large, halves grad_x and leaves y and the parameters' gradients"
    ),
    put_to=_scale,
    needs=(Need.EPS_SCALES, Need.X_ALONE),
)
PERMUTATION = Law(
    name="permutation",
    statement="reversing the order of the inputs reverses the order of the outputs",
    put_to=_permutation,
)
ALONE = Law(
    name="alone",
    statement="a sample alone gives what it gives in the batch",
    put_to=_alone,
    needs=(Need.WITHIN_A_SAMPLE,),
)
AFFINE = Law(
    name="affine",
    statement="with running statistics y(2x) - y(x) = y(x) - y(0)",
    put_to=_affine,
    needs=(Need.RUNNING_STATISTICS, Need.X_ALONE),
)
ONE_GROUP = Law(
    name="one-group",
    statement="group norm with one group is layer norm over all but the batch axis",
    put_to=_one_group,
    needs=(Need.USUAL, Need.X_ALONE),
    between_methods=True,
)
OWN_GROUPS = Law(
    name="own-groups",
    statement="group norm with a group for each channel is instance norm",
    put_to=_own_groups,
    needs=(Need.USUAL, Need.X_ALONE),
    between_methods=True,
)

"""Small constructors for the tests of single modules."""

from __future__ import annotations

from typing import Any

import numpy as np

from normcheck.case import Method, Output
from normcheck.dtype import DType
from normcheck.dtypes import numpy_dtype
from normcheck.methods import definition, parameter_axes, partition_of
from normcheck.oracle import Inputs, Truth, evaluate
from normcheck.oracle.rule import Rule
from normcheck.parameters import Params


def shaped_params(method: Method, ndim: int, **params: Any) -> Params:
    """Params with what ``method`` cannot do without filled in."""
    if "normalized_ndim" in definition(method).parameters:
        params.setdefault("normalized_ndim", ndim - 1)
    if method is Method.GROUP and "groups" not in params:
        params.setdefault("num_groups", 1)
    return Params(**params)


def inputs(x: Any, method: Method = Method.LAYER, *, dtype: DType = DType.FLOAT32, **arrays: Any) -> Inputs:
    """What a case computes from, in ``dtype``; ``arrays`` have the method's own shapes."""
    stored = numpy_dtype(dtype)
    cast = {name: np.asarray(array, stored) for name, array in arrays.items() if array is not None}
    x = np.asarray(x, stored)
    axes = parameter_axes(method, x.shape, shaped_params(method, x.ndim))
    return Inputs(x=x, **cast, parameter_axes=axes)


def oracle(
    x: Any,
    method: Method = Method.LAYER,
    *,
    weight: Any = None,
    bias: Any = None,
    dtype: DType = DType.FLOAT32,
    **params: Any,
) -> Truth:
    """The oracle's y for ``x`` in ``dtype``; weight and bias have the method's own shape."""
    given = inputs(x, method, dtype=dtype, weight=weight, bias=bias)
    chosen = shaped_params(method, given.x.ndim, **params)
    own = partition_of(method, given.x.shape, chosen)
    stats = DType.FLOAT64 if dtype is DType.FLOAT64 else DType.FLOAT32
    rule = Rule(eps=chosen.eps, centered=definition(method).centered)
    return evaluate(given, [Output.Y], rule=rule, partition=own, stats=stats)[Output.Y]


def truth(value: Any, cond: Any = 1.0, cond2: Any = 0.0, *, n: int = 1) -> Truth:
    """An oracle's answer by hand; one number stands for all elements."""
    value = np.asarray(value, np.float64)
    return Truth(
        value=value,
        tail=None,
        cond=np.broadcast_to(np.float64(cond), value.shape).copy(),
        cond2=np.broadcast_to(np.float64(cond2), value.shape).copy(),
        n=n,
        unit=2.0**-53,
    )

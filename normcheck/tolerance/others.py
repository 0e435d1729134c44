"""What broken implementations of a case return: every other value of the catalogue, and the one-pass variance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from normcheck.case import Case, Output
from normcheck.conventions.catalogue import KEYS, spelled
from normcheck.dtypes import numpy_dtype
from normcheck.errors import UsageError
from normcheck.methods import checked_convention, resolved
from normcheck.methods.conventions import OF_STATE
from normcheck.oracle import truths_of
from normcheck.tolerance.algorithms import ONE_PASS, Algorithm, computed, in_steps_of, pairwise, two_pass

Floats = NDArray[Any]


def broken(case: Case, arrays: Mapping[str, Floats]) -> Iterator[tuple[str, Floats]]:
    """The y of each implementation that is broken by the convention of ``case``, with its name, in the case's dtype.

    Where it is a formula, y is the oracle's under that convention; where it is a rounding on the way, it is computed.
    """
    for key in (
        each for each in KEYS if each not in OF_STATE
    ):  # running statistics do not change y in training
        for value in _others(case, key, residual="residual" in arrays):
            yield f"{key}={spelled(value)}", _under(case, arrays, key, value)
    for name, algorithm in fitting(ONE_PASS, case).items():
        yield name, computed(algorithm, case, arrays)


def fitting(algorithms: Mapping[str, Algorithm], case: Case) -> Mapping[str, Algorithm]:
    """Those of ``algorithms`` that the method of ``case`` can be computed by."""
    centered = resolved(case.method, case.dtype, case.convention).centered
    return {name: each for name, each in algorithms.items() if centered or not each.takes_mean}


def expected(case: Case, arrays: Mapping[str, Floats]) -> Floats:
    """The oracle's y, rounded to the dtype that y must have."""
    case = replace(case, outputs=(Output.Y,))
    rounded: Floats = truths_of(case, arrays)[Output.Y].value.astype(numpy_dtype(case.dtype_of(Output.Y)))
    return rounded


def _others(case: Case, key: str, *, residual: bool) -> Iterator[Any]:
    """The values of ``key`` that the method has, and that are worse than, or another thing than the case's own."""
    own = getattr(resolved(case.method, case.dtype, case.convention), key)
    for value in KEYS[key]["values"]:
        coarser = key != "stats_dtype" or value.output_roundoff > own.output_roundoff
        rounds = key != "cast_order" or case.dtype.half
        if value == own or not coarser or not rounds:
            continue
        try:
            _with(case, key, value, residual=residual)
        except UsageError:
            continue
        yield value


def _with(case: Case, key: str, value: Any, *, residual: bool) -> Case:
    convention = checked_convention(
        case.method, case.dtype, case.params, replace(case.convention, **{key: value}), residual=residual
    )
    return replace(case, convention=convention)


def _under(case: Case, arrays: Mapping[str, Floats], key: str, value: Any) -> Floats:
    if key == "stats_dtype":
        return computed(in_steps_of(value), case, arrays)
    if key == "cast_order":
        order = Algorithm(moments=two_pass(pairwise), cast_order=value)
        return computed(order, case, arrays)
    return expected(_with(case, key, value, residual="residual" in arrays), arrays)

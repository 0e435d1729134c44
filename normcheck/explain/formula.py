"""The formula that a case is judged by, in one line, and what its words mean."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from normcheck.case import Case
from normcheck.conventions.catalogue import (
    Bias,
    CastOrder,
    Convention,
    EpsPlacement,
    ResidualSum,
    Variance,
    Weight,
)
from normcheck.methods import definition, resolved


def formula(case: Case, parameters: Collection[str]) -> str:
    """y, as the oracle computes it; ``parameters`` says which of weight and bias there are."""
    convention = resolved(case.method, case.dtype, case.convention)
    x_hat = f"{'(x − mean)' if convention.centered else 'x'}/{_root(case, convention)}"
    if convention.cast_order is CastOrder.CAST_THEN_AFFINE:
        x_hat = f"round({x_hat})"
    weight = {Weight.PLAIN: "weight·", Weight.ONE_PLUS: "(1 + weight)·", Weight.IGNORED: ""}[
        convention.weight
    ]
    usual = "bias" in definition(case.method).affine or "bias" in parameters
    bias = " + bias" if usual and convention.bias is Bias.PLAIN else ""
    return f"y = {weight}{x_hat}{bias}"


def remarks(case: Case) -> Iterator[str]:
    """What the words of the formula mean, a sentence each."""
    convention = resolved(case.method, case.dtype, case.convention)
    divisor = "n" if convention.variance is Variance.BIASED else "n − 1"
    if convention.centered:
        yield f"The variance is {convention.variance}: the sum of squared deviations divided by {divisor}."
    else:
        yield f"The mean is not taken away: ms is the sum of squares divided by {divisor}."
    if convention.cast_order is CastOrder.CAST_THEN_AFFINE:
        yield "In half precision x̂ is rounded to that dtype before weight and bias are applied."
    if convention.residual_sum is ResidualSum.EXACT:
        yield "x is the sum with the residual before it is rounded."


def _root(case: Case, convention: Convention) -> str:
    """What is divided by."""
    spread, eps = "var" if convention.centered else "ms", repr(case.params.eps)
    return {
        EpsPlacement.INSIDE_SQRT: f"√({spread} + {eps})",
        EpsPlacement.OUTSIDE_SQRT: f"(√{spread} + {eps})",
        EpsPlacement.MAX: f"√max({spread}, {eps})",
        EpsPlacement.NONE: f"√{spread}",
    }[convention.eps_placement]

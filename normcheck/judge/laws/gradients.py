r"""Laws of the gradients. With d = x - mean, x̂ = d·r, r² = 1/(var + eps), h = grad_y·weight, n elements a set:

    grad_x = r·(h - M(h) - x̂·M(h·x̂))

    Σ grad_x    = r·(Σh - n·M(h) - 0)                 = 0                           because Σx̂ = 0
    Σ grad_x·x̂ = r·(Σh·x̂ - 0 - Σx̂²·M(h·x̂))
                = r·(1 - M(x̂²))·Σh·x̂                 = r·eps/(var + eps)·Σh·x̂    because M(x̂²) = var/(var + eps)

and Σh·x̂ = Σ grad_y·(y - bias), with which the second holds between the outputs y and grad_x. Mean, variance
and x̂ in these are of the inputs alone. The gradients are linear in grad_y.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from normcheck.case import Case, Output
from normcheck.conventions.catalogue import Bias
from normcheck.dtype import DType
from normcheck.judge.laws.invariances import GRADIENTS
from normcheck.judge.laws.needs import Need
from normcheck.judge.laws.relations import OWN, Arrays, Floats, Law, Relation, Run, Sums, Term, Trial
from normcheck.methods import Partition, partition_of, resolved
from normcheck.methods.partition import split
from normcheck.oracle import Inputs, prepared
from normcheck.oracle.elements import Standardized
from normcheck.oracle.inputs import Weight
from normcheck.oracle.reals import Array, high, total
from normcheck.oracle.rule import Rule
from normcheck.oracle.statistics import Own, standardize


def _sets(case: Case, arrays: Arrays) -> Partition:
    return partition_of(case.method, arrays["x"].shape, case.params, case.convention)


def _standardized(case: Case, arrays: Arrays) -> Sequence[tuple[Own, Standardized]]:
    """The statistics and x̂ of the inputs, in blocks of shape (sets, n)."""
    precise = case.dtype is DType.FLOAT64
    rule = Rule.of(case.params.eps, resolved(case.method, case.dtype, case.convention))
    with np.errstate(all="ignore"):
        return [
            standardize(block, rule, precise=precise, tiny=0.0, unit=case.dtype.unit_roundoff)
            for block in split(arrays["x"].astype(np.float64), _sets(case, arrays))
        ]


def detached(case: Case, arrays: Arrays) -> Array:
    """r·h: grad_x with the statistics taken for constants. Shape: that of x.

    Σ r·h and Σ r·h·x̂ are what the laws of the sums are there to catch.
    """
    from normcheck.methods.partition import join

    own = _sets(case, arrays)
    inputs = _inputs(case, arrays)
    weight = Weight(inputs, case.convention.weight, precise=False)
    h = arrays["grad_y"].astype(np.float64) * high(weight.whole)
    blocks = zip(split(h, own), _standardized(case, arrays), strict=True)
    with np.errstate(all="ignore"):
        return join([block * np.ldexp(high(s.inverse_root), -s.exponent) for block, (s, _) in blocks], own)


def _inputs(case: Case, arrays: Arrays) -> Inputs:
    inputs, _ = prepared(case, arrays)
    return inputs


def _sum(case: Case, arrays: Arrays) -> Trial | None:
    own = _sets(case, arrays)
    part = Sums(partition=own, weights=[np.ones((1, 1)) for _ in own.buckets])
    with np.errstate(all="ignore"):
        nothing = (arrays["x"] * 0).astype(np.float64) + (arrays["grad_y"] * 0).astype(np.float64)
    zero = np.concatenate([high(total(block)).reshape(-1) for block in split(nothing, own)])
    relation = Relation(left=Term(run=OWN, output=Output.GRAD_X, part=part), zero=zero)
    return Trial(runs={}, relations={Output.GRAD_X: relation})


def _projection(case: Case, arrays: Arrays) -> Trial | None:
    own, blocks, inputs = _sets(case, arrays), _standardized(case, arrays), _inputs(case, arrays)
    g = split(arrays["grad_y"].astype(np.float64), own)
    weights = []
    with np.errstate(all="ignore"):
        for (block, _), grad_y in zip(blocks, g, strict=True):
            eps = np.ldexp(case.params.eps, -2 * block.exponent)
            share = block.inverse_root * block.inverse_root * eps  # eps/(var + eps)
            root = np.ldexp(1.0, -block.exponent)
            weights.append(share * block.inverse_root * root * grad_y)
    x_hat = Sums(partition=own, weights=[x.x_hat for _, x in blocks])
    bias = None if case.convention.bias is Bias.IGNORED else inputs.bias
    through_y = Sums(partition=own, weights=weights, offset=inputs.broadcast(bias, 0.0))
    relation = Relation(
        left=Term(run=OWN, output=Output.GRAD_X, part=x_hat),
        right=(Term(run=OWN, output=Output.Y, part=through_y),),
    )
    return Trial(runs={}, relations={Output.GRAD_X: relation})


def _linearity(case: Case, arrays: Arrays) -> Trial | None:
    """A grad_y on a grid so coarse that it and another order of it have an exact sum in its dtype."""
    present = [output for output in GRADIENTS if output in case.outputs]
    if not present:
        return None
    g = arrays["grad_y"]
    wide = g.astype(np.float64)
    largest = float(np.abs(wide).max(initial=0.0))
    if not np.isfinite(largest):
        return None
    # Below 2^e in magnitude and multiples of 2^(e+1)·u_out: the sum of two has at most the dtype's digits.
    quantum = np.ldexp(2.0 * case.dtype.output_roundoff, np.frexp(largest)[1])
    quantum = max(float(quantum), case.dtype.smallest_subnormal)
    first = np.rint(wide / quantum) * quantum
    second = np.roll(first, 1)
    parts: dict[str, Floats] = {
        name: values.astype(g.dtype)
        for name, values in (("a", first), ("b", second), ("a + b", first + second))
    }
    if not np.isfinite(parts["a + b"]).all():
        return None
    runs = {name: Run(case=case, arrays={**arrays, "grad_y": values}) for name, values in parts.items()}
    relations = {
        output: Relation(
            left=Term(run="a + b", output=output),
            right=(Term(run="a", output=output), Term(run="b", output=output)),
        )
        for output in present
    }
    return Trial(runs=runs, relations=relations)


SUM = Law(
    name="sum",
    statement="the elements of grad_x add up to 0 over each statistic set",
    put_to=_sum,
    needs=(Need.CENTERED, Need.OWN_STATISTICS, Need.GRAD_X),
)
PROJECTION = Law(
    name="projection",
    statement="over each statistic set Σ grad_x·x̂ = r·eps/(var + eps)·Σ grad_y·(y - bias)",
    put_to=_projection,
    needs=(Need.OWN_STATISTICS, Need.EPS_INSIDE, Need.GRAD_X, Need.X_ALONE),
)
LINEARITY = Law(
    name="linearity",
    statement="the gradients of a sum of two incoming gradients are the sums of their gradients",
    put_to=_linearity,
)

"""Can a case tell right from wrong at all? Results that are certainly wrong, put to the bound.

A PASS means something only where the same bound turns down all-zero output, the input unchanged, and what
another method would give. Where it does not, the case is inconclusive.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from normcheck.comparison import Bound, backward_error
from normcheck.methods import Partition, Shape, default_num_groups, partition
from normcheck.model import DType, Method, Params
from normcheck.oracle.forward import Truth, forward

Floats = NDArray[np.floating]


def undetected(
    truth: Truth,
    x: Floats,
    weight: Floats | None,
    bias: Floats | None,
    *,
    own: Partition,
    params: Params,
    dtype: DType,
    bound: Bound,
) -> str | None:
    """The first canary that would pass in this case though it differs from ``truth``; None if all are caught.

    ``weight`` and ``bias`` broadcast against x; ``own`` is the partition of the case.
    """
    claimed = truth.claimed_error()
    for name, value, error in _canaries(truth, x, weight, bias, own, params, dtype):
        with np.errstate(all="ignore"):
            difference = np.abs(value - truth.value)
            if truth.tail is not None and error is not None:
                difference = np.abs((value - truth.value) + (error[1] - truth.tail))
            slack = claimed if error is None else claimed + error[0]
            if not (difference > slack).any():
                continue  # the same as the truth, for this data
            caught = backward_error(difference, truth.cond, truth.cond2, dtype.unit_roundoff) > bound.allowed
        if not caught.any():
            return name
    return None


_Canary = tuple[str, Floats, tuple[Floats, Floats | float] | None]


def _canaries(
    truth: Truth,
    x: Floats,
    weight: Floats | None,
    bias: Floats | None,
    own: Partition,
    params: Params,
    dtype: DType,
) -> Iterator[_Canary]:
    """Name, value, and for computed ones the claimed error and the tail of the value."""
    yield "all-zero output", np.zeros_like(truth.value), None
    yield "the input unchanged", x.astype(np.float64), None
    for method, other in _other_partitions(x.shape, params):
        if _same_sets(other, own):
            continue
        result = forward(x, weight, bias, eps=params.eps, partition=other, dtype=dtype)
        tail = 0.0 if result.tail is None else result.tail
        yield f"{method} norm", result.value, (result.claimed_error(), tail)


def _other_partitions(shape: Shape, params: Params) -> Iterator[tuple[Method, Partition]]:
    common = Params(eps=params.eps, channel_axis=params.channel_axis, normalized_ndim=len(shape) - 1)
    for method in (Method.BATCH, Method.LAYER, Method.INSTANCE):
        yield method, partition(method, shape, common)
    if (groups := default_num_groups(shape[params.channel_axis])) > 1:
        grouped = Params(eps=params.eps, channel_axis=params.channel_axis, num_groups=groups)
        yield Method.GROUP, partition(Method.GROUP, shape, grouped)


def _same_sets(a: Partition, b: Partition) -> bool:
    """True if the partitions are written alike; sets that are alike otherwise show in equal values."""
    return (a.reduced, a.buckets) == (b.reduced, b.buckets)

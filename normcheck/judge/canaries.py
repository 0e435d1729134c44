"""Can a case tell right from wrong at all? Results that are certainly wrong, put to the bound.

A PASS means something only where the same bound turns down all-zero output, the input unchanged, and what
another method would give. Where it does not, the case is inconclusive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normcheck.case import Case, Method, Output, Params
from normcheck.judge.array import Bound
from normcheck.judge.distance import backward_error
from normcheck.methods import Partition, Shape, partition_of
from normcheck.methods.group import default_num_groups
from normcheck.oracle import Inputs, evaluate
from normcheck.oracle.truth import Truth

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """A result that is wrong wherever it differs from the truth by more than both claim as their errors."""

    name: str
    value: Array
    tail: Array | float = 0.0
    claimed: Array | float = 0.0


def undetected(
    truths: Mapping[Output, Truth], case: Case, inputs: Inputs, own: Partition, bounds: Mapping[Output, Bound]
) -> dict[Output, str]:
    """For each output of ``case`` the first canary that would pass though it is wrong; others are left out.

    ``own`` is the partition of the case.
    """
    others = _others(case, inputs, own)
    found = {}
    for output, truth in truths.items():
        for canary in _canaries(output, truth, inputs, others):
            if not _caught(canary, truth, case, bounds[output]):
                found[output] = canary.name
                break
    return found


def _caught(canary: Canary, truth: Truth, case: Case, bound: Bound) -> bool:
    """True if ``bound`` turns the canary down, or it is no canary for being the same as the truth."""
    with np.errstate(all="ignore"):
        difference = canary.value - truth.value
        if truth.tail is not None:
            difference += canary.tail - truth.tail
        np.abs(difference, out=difference)
        if not (difference > canary.claimed + truth.claimed_error()).any():
            return True
        if case.dtype.half:
            difference = np.maximum(difference - case.dtype.output_roundoff * np.abs(truth.value), 0.0)
        beta = backward_error(difference, truth.cond, truth.cond2, case.dtype.unit_roundoff)
        return bool((beta > bound.allowed).any())


def _canaries(
    output: Output, truth: Truth, inputs: Inputs, others: Mapping[str, Callable[[Output], Truth]]
) -> Iterator[Canary]:
    yield Canary(name="all-zero output", value=np.zeros_like(truth.value))
    unchanged = {
        Output.Y: inputs.x,
        Output.GRAD_X: inputs.grad_y,
        Output.RUNNING_MEAN: inputs.running_mean,
        Output.RUNNING_VAR: inputs.running_var,
    }.get(output)
    if unchanged is not None:
        yield Canary(name="its input unchanged", value=unchanged.astype(np.float64))
    if output.is_state:
        return
    for name, compute in others.items():
        other = compute(output)
        tail = 0.0 if other.tail is None else other.tail
        yield Canary(name=name, value=other.value, tail=tail, claimed=other.claimed_error())


def _others(case: Case, inputs: Inputs, own: Partition) -> dict[str, Callable[[Output], Truth]]:
    """What the other methods would give with the same parameters, each computed at most once an output."""
    found: dict[str, Callable[[Output], Truth]] = {}
    for method, other in _other_partitions(inputs.x.shape, case.params):
        if other.max_n and not _same_sets(other, own):
            found[f"{method} norm"] = _computing(case, inputs, other)
    return found


def _computing(case: Case, inputs: Inputs, other: Partition) -> Callable[[Output], Truth]:
    known: dict[Output, Truth] = {}

    def compute(output: Output) -> Truth:
        if not known:
            asked = [o for o in case.outputs if not o.is_state]
            precise = case.dtype == "float64"
            known.update(evaluate(inputs, asked, eps=case.params.eps, partition=other, precise=precise))
        return known[output]

    return compute


def _other_partitions(shape: Shape, params: Params) -> Iterator[tuple[Method, Partition]]:
    common = Params(eps=params.eps, channel_axis=params.channel_axis, normalized_ndim=len(shape) - 1)
    for method in (Method.BATCH, Method.LAYER, Method.INSTANCE):
        yield method, partition_of(method, shape, common)
    if (groups := default_num_groups(shape[params.channel_axis])) > 1:
        grouped = Params(eps=params.eps, channel_axis=params.channel_axis, num_groups=groups)
        yield Method.GROUP, partition_of(Method.GROUP, shape, grouped)


def _same_sets(a: Partition, b: Partition) -> bool:
    """True if the partitions are written alike; sets that are alike otherwise show in equal values."""
    return (a.reduced, a.buckets) == (b.reduced, b.buckets)

"""An honest implementation for each convention: the layers that normcheck judges by it must never accuse.

For any of the array libraries; gradients are the framework's own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from normalization import (
    Call,
    Normalization,
    affine,
    cast,
    channel_rows,
    instance_rows,
    inverse_root,
    layer_rows,
    mean,
    moving_average,
    namespace,
    no_mean,
    statistic_sets,
    variance,
    wide,
)
from sharing import interleaved_groups, whole_samples

from normcheck.case import Method
from normcheck.conventions.catalogue import (
    Bias,
    CastOrder,
    Convention,
    EpsPlacement,
    Momentum,
    ResidualSum,
    RunningVar,
    Statistics,
    Variance,
    Weight,
)


def channels_only(index, call: Call):
    """One position of one sample, over the channels."""
    return [np.moveaxis(index, call.channel_axis, -1).reshape(-1, call.channels)]


def of_sample(index, call: Call):
    """One sample over the normalized axes, or over all if the method has none."""
    return layer_rows(index, call) if call.method == "layer" else whole_samples(index, call)


SETS = {
    Statistics.BATCH: channel_rows,
    Statistics.LAYER: of_sample,
    Statistics.LAYER_CHANNELS_ONLY: channels_only,
    Statistics.INSTANCE: instance_rows,
    Statistics.GROUP_CONTIGUOUS: statistic_sets,
    Statistics.GROUP_INTERLEAVED: interleaved_groups,
}
ROOTS = {
    EpsPlacement.INSIDE_SQRT: inverse_root,
    EpsPlacement.OUTSIDE_SQRT: lambda var, eps: 1 / (namespace(var).sqrt(var) + eps),
    EpsPlacement.MAX: lambda var, eps: 1 / namespace(var).sqrt(var.clip(min=eps)),
    EpsPlacement.NONE: lambda var, eps: 1 / namespace(var).sqrt(var),
}


def unbiased(rows, centre):
    n = rows.shape[1]
    return ((rows - centre) ** 2).sum(-1)[:, None] / (n - 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class ByConvention(Normalization):
    """A layer that follows ``convention``, in the dtype ``held`` (None: that of x, but no half precision)."""

    convention: Convention = field(default_factory=Convention)

    def __call__(self, x, weight, bias, residual=None, *, eps, channel_axis=1, **params):
        call = Call(shape=tuple(x.shape), eps=eps, channel_axis=channel_axis, params=params)
        total = x if residual is None else x + residual
        exact = self.convention.residual_sum is ResidualSum.EXACT and residual is not None
        held = self.held(x)
        received = cast(x, held) + cast(residual, held) if exact else cast(total, held)
        x_hat = self.in_training(received, call) if call.training else self.in_inference(received, call)
        w, b = (call.along(p) for p in self.used(weight, bias, held))
        if self.convention.cast_order is CastOrder.CAST_THEN_AFFINE:
            x_hat, w, b = (None if each is None else cast(each, x.dtype) for each in (x_hat, w, b))
        y = cast(affine(x_hat, w, b), x.dtype)
        more = () if residual is None else (total,)
        state = self.state(received, call) if call.method == "batch" else ()
        return (y, *more, *state) if more or state else y

    def held(self, x) -> Any:
        """The dtype of statistics and intermediate results."""
        name = self.convention.stats_dtype
        if name is None:
            return wide(x).dtype
        if namespace(x) is not np:
            return getattr(namespace(x), name)
        import ml_dtypes

        return ml_dtypes.bfloat16 if name == "bfloat16" else np.dtype(name)

    def used(self, weight, bias, held):
        """What x̂ is multiplied by, and what is added."""
        if self.convention.weight is Weight.IGNORED:
            weight = None
        if self.convention.bias is Bias.IGNORED:
            bias = None
        weight, bias = (None if each is None else cast(each, held) for each in (weight, bias))
        if self.convention.weight is Weight.ONE_PLUS and weight is not None:
            weight = weight + 1
        return weight, bias

    def in_inference(self, x, call: Call):
        centre, var = (call.along(cast(call.params[n], x.dtype)) for n in ("running_mean", "running_var"))
        return self.standardize(x, centre, self.inverse_root(var, call.eps))

    def state(self, x, call: Call):
        given = call.params["running_mean"], call.params["running_var"]
        if not call.training:
            return given
        sets = instance_rows if self.convention.statistics is Statistics.INSTANCE else channel_rows
        (index,) = sets(call.index(), call)
        rows = x.reshape(-1)[index]
        centre = mean(rows)
        var = variance if self.convention.running_var is RunningVar.BIASED else unbiased
        momentum = call.params["momentum"]
        if self.convention.momentum is Momentum.OLD:
            momentum = 1 - momentum
        found = []
        for old, new in zip(given, (centre, var(rows, centre)), strict=True):
            of_channels = new.reshape(-1, call.channels).mean(0)
            found.append(cast(moving_average(cast(old, x.dtype), of_channels, momentum), old.dtype))
        return tuple(found)


def following(method: Method, convention: Convention) -> ByConvention:
    """A layer for ``method`` that follows ``convention``."""
    centred = convention.centered if convention.centered is not None else method is not Method.RMS
    return ByConvention(
        convention=convention,
        statistic_sets=SETS[convention.statistics] if convention.statistics else statistic_sets,
        mean=mean if centred else no_mean,
        variance=unbiased if convention.variance is Variance.UNBIASED else variance,
        inverse_root=ROOTS[convention.eps_placement],
    )

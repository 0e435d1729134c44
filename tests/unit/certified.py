"""A normalization layer in ball arithmetic: every number an interval that certainly holds the true one.

Written element by element from the definitions, sharing only the statistic sets with the oracle.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import Any

import numpy as np
from flint import arb, ctx

from normcheck.case import Method, Mode, Output
from normcheck.conventions.catalogue import PYTORCH, Convention, Statistics
from normcheck.methods import definition
from normcheck.oracle import Inputs
from normcheck.parameters import Params

PRECISION = 2500  # bits: enough for 1e300 beside 1e-300
Index = tuple[int, ...]


def layer(
    inputs: Inputs, method: Method, params: Params, *, mode: Mode = Mode.TRAIN
) -> dict[Output, dict[Index, arb]]:
    """All outputs of a layer, as balls by index."""
    ctx.prec = PRECISION
    x = _balls(inputs.x)
    weight, bias, g = (_balls(a) for a in (inputs.weight, inputs.bias, inputs.grad_y))
    old_mean, old_var = _balls(inputs.running_mean), _balls(inputs.running_var)

    def parameter(index: Index) -> Index:
        return tuple(index[axis] for axis in inputs.parameter_axes)

    found: dict[Output, dict[Index, arb]] = defaultdict(dict)
    x_hat: dict[Index, arb] = {}
    for members in sets(inputs.x.shape, method, params):
        n, channel = len(members), (members[0][params.channel_axis],)
        running = mode is Mode.EVAL and method is Method.BATCH
        centered = definition(method).centered
        mean = old_mean[channel] if running else sum((x[i] for i in members), arb(0)) / n
        mean = mean if centered else arb(0)
        var = old_var[channel] if running else sum(((x[i] - mean) ** 2 for i in members), arb(0)) / n
        r = 1 / (var + arb(params.eps)).sqrt()
        for i in members:
            x_hat[i] = (x[i] - mean) * r
            w = weight[parameter(i)] if weight else arb(1)
            b = bias[parameter(i)] if bias else arb(0)
            found[Output.Y][i] = w * x_hat[i] + b
        if g:
            h = {i: g[i] * (weight[parameter(i)] if weight else arb(1)) for i in members}
            mean_h = arb(0) if running or not centered else sum(h.values(), arb(0)) / n
            mean_hx = arb(0) if running else sum((h[i] * x_hat[i] for i in members), arb(0)) / n
            for i in members:
                found[Output.GRAD_X][i] = r * (h[i] - mean_h - x_hat[i] * mean_hx)
        if params.momentum is not None and old_mean and not running:
            m = arb(params.momentum)
            found[Output.RUNNING_MEAN][channel] = (1 - m) * old_mean[channel] + m * mean
            if n > 1:
                found[Output.RUNNING_VAR][channel] = (1 - m) * old_var[channel] + m * var * n / (n - 1)
    if g:
        for i, ball in g.items():
            at = parameter(i)
            found[Output.GRAD_WEIGHT][at] = found[Output.GRAD_WEIGHT].get(at, arb(0)) + ball * x_hat[i]
            found[Output.GRAD_BIAS][at] = found[Output.GRAD_BIAS].get(at, arb(0)) + ball
    return found


def _balls(array: Any) -> dict[Index, arb]:
    if array is None:
        return {}
    return {index: arb(float(array[index])) for index in np.ndindex(array.shape)}


def sets(shape: Index, method: Method, params: Params, convention: Convention = PYTORCH) -> list[list[Index]]:
    """The statistic sets, straight from the table in words."""
    axis, kind = params.channel_axis, convention.statistics or definition(method).statistics

    def key(i: Index) -> Any:
        match kind:
            case Statistics.BATCH:
                return i[axis]
            case Statistics.INSTANCE:
                return i[0], i[axis]
            case Statistics.LAYER_CHANNELS_ONLY:
                channel = axis % len(i)
                return i[:channel], i[channel + 1 :]
            case Statistics.LAYER if params.normalized_axes:
                return tuple(at for place, at in enumerate(i) if place not in params.normalized_axes)
            case Statistics.LAYER:
                return i[: len(shape) - (params.normalized_ndim or len(shape) - 1)]
            case Statistics.GROUP_INTERLEAVED:
                return i[0], i[axis] % params.num_groups
        if params.groups is not None:
            return i[0], next(g for g, group in enumerate(params.groups) if i[axis] in group)
        return i[0], i[axis] // (shape[axis] // (params.num_groups or 1))

    by_key: dict[Any, list[Index]] = defaultdict(list)
    for index in itertools.product(*map(range, shape)):
        by_key[key(index)].append(index)
    return list(by_key.values())

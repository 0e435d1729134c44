"""A normalization layer put together from pieces: a mutant is the honest one with a piece exchanged.

Written for any array library with NumPy's names (numpy, torch, jax.numpy), so that one mutant runs under
every host. Which elements share statistics is a list of index arrays, one row for each statistic set.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

Array = Any
Index = np.ndarray  # of integers, into the flattened x


@dataclass(frozen=True, kw_only=True, eq=False)
class Call:
    """What a layer was called with, besides its arrays; the method follows from the keywords."""

    shape: tuple[int, ...]
    eps: float
    channel_axis: int
    params: dict[str, Any]
    instance: bool = False

    @property
    def tracks(self) -> bool:
        return "running_mean" in self.params

    @property
    def method(self) -> str:
        if self.tracks and not self.instance:
            return "batch"
        if {"normalized_ndim", "normalized_axes"} & set(self.params):
            return "layer"
        return "group" if {"num_groups", "groups"} & set(self.params) else "instance"

    @property
    def training(self) -> bool:
        return self.params.get("training", True)

    @property
    def channels(self) -> int:
        return self.shape[self.channel_axis]

    def groups(self) -> list[list[int]]:
        if "groups" in self.params:
            return self.params["groups"]
        return np.arange(self.channels).reshape(self.params["num_groups"], -1).tolist()

    def index(self) -> Index:
        """The place in memory of each element of x."""
        return np.arange(math.prod(self.shape)).reshape(self.shape)

    @property
    def parameter_axes(self) -> tuple[int, ...]:
        """The axes of x that weight and bias run along."""
        ndim = len(self.shape)
        if self.method != "layer":
            return (self.channel_axis % ndim,)
        if self.params.get("normalized_axes"):
            return tuple(self.params["normalized_axes"])
        return tuple(range(ndim - self.params["normalized_ndim"], ndim))

    def along(self, parameter: Array) -> Array:
        """weight, bias or running statistics in a shape that broadcasts against x; None stays None."""
        if parameter is None:
            return parameter
        own = self.parameter_axes
        axes = own if parameter.ndim == len(own) else (0, *own)  # each sample may have its own
        sizes = dict(zip(axes, parameter.shape, strict=True))
        return parameter.reshape([sizes.get(axis, 1) for axis in range(len(self.shape))])


def namespace(x: Array) -> Any:
    """The library of ``x``: numpy, torch or jax.numpy."""
    name = type(x).__module__.partition(".")[0]
    return sys.modules[name if name in ("numpy", "torch") else "jax.numpy"]


def cast(x: Array, dtype: Any) -> Array:
    return x.astype(dtype) if hasattr(x, "astype") else x.to(dtype)


def wide(x: Array) -> Array:
    """Half precision in float32, in which statistics belong."""
    return cast(x, namespace(x).float32) if x is not None and x.dtype.itemsize == 2 else x


def channel_rows(index: Index, call: Call) -> list[Index]:
    return [np.moveaxis(index, call.channel_axis, 0).reshape(call.channels, -1)]


def layer_rows(index: Index, call: Call) -> list[Index]:
    axes = call.parameter_axes
    last = np.moveaxis(index, axes, range(-len(axes), 0))
    return [last.reshape(-1, math.prod(call.shape[axis] for axis in axes))]


def instance_rows(index: Index, call: Call) -> list[Index]:
    return [np.moveaxis(index, call.channel_axis, 1).reshape(call.shape[0] * call.channels, -1)]


def group_rows(index: Index, call: Call) -> list[Index]:
    by_channel = np.moveaxis(index, call.channel_axis, 1)
    return [by_channel[:, group].reshape(call.shape[0], -1) for group in call.groups()]


ROWS = {"batch": channel_rows, "layer": layer_rows, "instance": instance_rows, "group": group_rows}


def statistic_sets(index: Index, call: Call) -> list[Index]:
    return ROWS[call.method](index, call)


def mean(rows: Array) -> Array:
    return rows.mean(-1)[:, None]


def no_mean(rows: Array) -> Array:
    """0 for the mean, which no gradient goes through: RMS norm."""
    return namespace(rows).zeros_like(rows[:, :1])


def variance(rows: Array, centre: Array) -> Array:
    return mean((rows - centre) ** 2)


def inverse_root(var: Array, eps: float) -> Array:
    return 1 / namespace(var).sqrt(var + eps)


def standardize(rows: Array, centre: Array, scale: Array) -> Array:
    return (rows - centre) * scale


def affine(x_hat: Array, weight: Array, bias: Array) -> Array:
    y = x_hat if weight is None else x_hat * weight
    return y if bias is None else y + bias


def deliver(y: Array, x: Array) -> Array:
    return cast(y, x.dtype)


def moving_average(old: Array, new: Array, momentum: float) -> Array:
    return (1 - momentum) * old + momentum * new


def update(old: tuple[Array, Array], new: tuple[Array, Array], n: int, momentum: float) -> tuple[Array, ...]:
    """The running mean and variance after a batch with n elements a channel."""
    unbiased = new[1] * (n / (n - 1))
    return moving_average(old[0], new[0], momentum), moving_average(old[1], unbiased, momentum)


def in_order(rows: list[Array], sets: list[Index], shape: tuple[int, ...]) -> Array:
    """Rows of statistic sets, put back where they came from."""
    flat = namespace(rows[0]).concatenate([row.reshape(-1) for row in rows])
    order = np.argsort(np.concatenate([index.reshape(-1) for index in sets]))
    return flat[order].reshape(shape)


@dataclass(frozen=True, kw_only=True, eq=False)
class Normalization:
    """The four methods that take the mean away, and with ``uncentred`` RMS norm; called as normcheck calls functions.

    Keywords do not tell RMS norm from layer norm, nor an instance norm that keeps running statistics from batch norm:
    the target of the one is an attribute of the other.
    """

    instance: bool = False

    receive: Callable[..., Array] = wide
    statistic_sets: Callable[..., list[Index]] = statistic_sets
    mean: Callable[..., Array] = mean
    variance: Callable[..., Array] = variance
    inverse_root: Callable[..., Array] = inverse_root
    standardize: Callable[..., Array] = standardize
    parameters: Callable[..., tuple[Array, Array]] = lambda weight, bias, call: (weight, bias)
    affine: Callable[..., Array] = affine
    deliver: Callable[..., Array] = deliver
    update: Callable[..., tuple[Array, ...]] = update

    def but(self, **pieces: Any) -> Normalization:
        """The same with some pieces exchanged."""
        return replace(self, **pieces)

    @property
    def uncentred(self) -> Normalization:
        """The same for RMS norm: nothing is taken away, so that the variance is the mean square."""
        return self.but(mean=no_mean)

    @property
    def of_instances(self) -> Normalization:
        """The same for instance norm."""
        return self.but(instance=True)

    def call(self, x: Array, eps: float, channel_axis: int, params: dict[str, Any]) -> Call:
        return Call(
            shape=tuple(x.shape), eps=eps, channel_axis=channel_axis, params=params, instance=self.instance
        )

    def __call__(
        self, x: Array, weight: Array, bias: Array, *, eps: float, channel_axis: int = 1, **params: Any
    ) -> Any:
        call = self.call(x, eps, channel_axis, params)
        received = self.receive(x)
        x_hat = self.in_training(received, call) if call.training else self.in_inference(received, call)
        parameters = self.parameters(wide(weight), wide(bias), call)
        y = self.deliver(self.affine(x_hat, *map(call.along, parameters)), x)
        return (y, *self.state(received, call)) if call.tracks else y

    def in_training(self, x: Array, call: Call) -> Array:
        sets = self.statistic_sets(call.index(), call)
        parts = [self.normalized(x.reshape(-1)[index], call.eps) for index in sets]
        return in_order(parts, sets, call.shape)

    def normalized(self, rows: Array, eps: float) -> Array:
        centre = self.mean(rows)
        return self.standardize(rows, centre, self.inverse_root(self.variance(rows, centre), eps))

    def in_inference(self, x: Array, call: Call) -> Array:
        running = (call.along(wide(call.params[name])) for name in ("running_mean", "running_var"))
        centre, var = running
        return self.standardize(x, centre, self.inverse_root(var, call.eps))

    def state(self, x: Array, call: Call) -> tuple[Array, ...]:
        given = call.params["running_mean"], call.params["running_var"]
        if not call.training:
            return given
        (index,) = (instance_rows if call.instance else channel_rows)(call.index(), call)
        rows = x.reshape(-1)[index]
        centre = self.mean(rows)
        of_rows = centre[:, 0], self.variance(rows, centre)[:, 0]
        batch = tuple(each.reshape(-1, call.channels).mean(0) for each in of_rows)
        new = self.update(tuple(map(wide, given)), batch, rows.shape[1], call.params["momentum"])
        return tuple(cast(after, before.dtype) for after, before in zip(new, given, strict=True))


honest = Normalization()

"""Legitimate ways to write a normalization, in NumPy: other algorithms, orders and precisions of sums."""

from __future__ import annotations

import functools
import math

import numpy as np
from normalization import Call, Normalization, honest, mean, wide


def summing(total) -> Normalization:
    """A two-pass layer whose means are ``total(rows)/n``, ``total`` being a way to add the rows up."""

    def mean_of(rows):
        return (total(rows) / rows.shape[1]).astype(rows.dtype)[:, None]

    return honest.but(mean=mean_of, variance=lambda rows, centre: mean_of((rows - centre) ** 2))


def with_moments(moments) -> Normalization:
    """A layer whose mean and variance are ``moments(rows)``."""
    return honest.but(
        mean=lambda rows: moments(rows)[0][:, None], variance=lambda rows, _: moments(rows)[1][:, None]
    )


def welford(rows):
    """B. P. Welford, 1962: one element after the other."""
    centre, total = np.zeros_like(rows[:, 0]), np.zeros_like(rows[:, 0])
    for count, x in enumerate(rows.T, start=1):
        delta = x - centre
        centre = centre + delta / rows.dtype.type(count)
        total = total + delta * (x - centre)
    return centre, total / rows.dtype.type(rows.shape[1])


def chan(rows):
    """T. F. Chan, G. H. Golub, R. J. LeVeque, 1979: halves merged, down to single elements."""
    n = rows.shape[1]
    if n == 1:
        return rows[:, 0], np.zeros_like(rows[:, 0])
    left, right = n // 2, n - n // 2
    (mean_left, var_left), (mean_right, var_right) = chan(rows[:, :left]), chan(rows[:, left:])
    apart = mean_right - mean_left
    var = (left * var_left + right * var_right) / n + apart**2 * (left * right / n**2)
    return mean_left + apart * (right / n), var


def shifted_by(pilot):
    """One pass over x minus a pilot value near the mean."""

    def moments(rows):
        shift = pilot(rows)
        d = rows - shift
        first = mean(d)
        return (shift + first)[:, 0], np.maximum(mean(d**2) - first**2, 0)[:, 0]

    return moments


def kahan(rows):
    """W. Kahan, 1965: the lost digits of each addition go into the next."""
    total, lost = np.zeros_like(rows[:, 0]), np.zeros_like(rows[:, 0])
    for x in rows.T:
        term = x - lost
        new = total + term
        lost = (new - total) - term
        total = new
    return total


def one_after_the_other(rows):
    """A plain loop in the precision of x."""
    return np.cumsum(rows, axis=-1)[:, -1]


def in_blocks(rows):
    """Blocks of 16 added up one after the other, then their sums."""
    return sum(rows[:, start : start + 16].sum(-1) for start in range(0, rows.shape[1], 16))


def exactly(rows):
    return np.array([math.fsum(row) for row in rows])


def newton(var, eps):
    """1/√ from a guess to 12 bits and two Newton steps."""
    v = var + eps
    guess = (1 / np.sqrt(v)).astype(np.float16 if v.dtype == np.float32 else np.float32).astype(v.dtype)
    for _ in range(2):
        guess = guess * (1.5 - 0.5 * v * guess**2)
    return guess


def refined_variance(rows, centre):
    """Two-pass with the mean of the differences taken off."""
    d = rows - centre
    return mean(d**2) - mean(d) ** 2


def once_rounded(dtype) -> Normalization:
    """Everything in a wider ``dtype``, and one rounding at the end."""
    return honest.but(receive=lambda x: x.astype(dtype))


class Folded(Normalization):
    """y = x·s + (bias - mean·s), with s = weight/σ: two operations an element (V7)."""

    def in_training(self, x, call: Call):
        sets = self.statistic_sets(call.index(), call)
        flat, scale, shift = x.reshape(-1), np.empty(x.size, x.dtype), np.empty(x.size, x.dtype)
        for index in sets:
            rows = flat[index]
            centre = self.mean(rows)
            r = self.inverse_root(self.variance(rows, centre), call.eps)
            scale[index], shift[index] = r, centre
        return scale.reshape(x.shape), shift.reshape(x.shape), x

    def in_inference(self, x, call: Call):
        centre, var = (call.along(wide(call.params[name])) for name in ("running_mean", "running_var"))
        return self.inverse_root(var, call.eps), centre, x


def fold(parts, weight, bias):
    scale, centre, x = parts
    s = scale if weight is None else weight * scale
    return x * s + ((0 if bias is None else bias) - centre * s)


def axes_at_once(x, weight, bias, *, eps, channel_axis=1, instance=False, **params):
    """np.mean and np.var over a tuple of axes, without bringing x into rows; batch, layer and instance norm."""
    call = Call(shape=x.shape, eps=eps, channel_axis=channel_axis, params=params, instance=instance)
    channel = channel_axis % x.ndim
    kept = {"batch": (channel,), "instance": (0, channel), "layer": ()}[call.method]
    axes = tuple(axis for axis in range(x.ndim) if axis not in kept)
    if call.method == "layer":
        axes = tuple(range(x.ndim - params["normalized_ndim"], x.ndim))
    rows = wide(x)
    if call.training:
        centre, var = rows.mean(axis=axes, keepdims=True), rows.var(axis=axes, keepdims=True)
    else:
        centre, var = (call.along(wide(params[name])) for name in ("running_mean", "running_var"))
    x_hat = (rows - centre) / np.sqrt(var + eps)
    y = honest.deliver(honest.affine(x_hat, *(call.along(wide(p)) for p in (weight, bias))), x)
    return (y, *honest.state(rows, call)) if call.tracks else y


axes_at_once.of_instances = functools.partial(axes_at_once, instance=True)
two_pass = honest
by_welford = with_moments(welford)
by_chan = with_moments(chan)
shifted_by_first = with_moments(shifted_by(lambda rows: rows[:, :1]))
shifted_by_pilot_mean = with_moments(shifted_by(lambda rows: mean(rows[:, :16])))
kahan_sums = summing(kahan)
sequential_sums = summing(one_after_the_other)
blocked_sums = summing(in_blocks)
exact_sums = summing(exactly)
sums_by_ones = summing(lambda rows: rows @ np.ones(rows.shape[1], rows.dtype))
sums_by_einsum = summing(lambda rows: np.einsum("ij->i", rows))
sums_of_sorted = summing(lambda rows: np.sort(rows, axis=-1).sum(-1))
division_first = honest.but(mean=lambda rows: (rows / rows.shape[1]).sum(-1)[:, None])
library_variance = honest.but(
    mean=lambda rows: np.mean(rows, axis=1, keepdims=True),
    variance=lambda rows, _: np.var(rows, axis=1, keepdims=True),
)
deviation_squared = honest.but(variance=lambda rows, _: np.std(rows, axis=1, keepdims=True) ** 2)
refined = honest.but(variance=refined_variance)
root_by_newton = honest.but(inverse_root=newton)
root_as_power = honest.but(inverse_root=lambda var, eps: (var + eps) ** -0.5)
divided_by_root = honest.but(
    inverse_root=lambda var, eps: np.sqrt(var + eps), standardize=lambda rows, c, root: (rows - c) / root
)
scaled_before_centred = honest.but(standardize=lambda rows, c, scale: rows * scale - c * scale)
float64_inside = once_rounded(np.float64)
longdouble_inside = once_rounded(np.longdouble)
one_pass_in_longdouble = honest.but(
    receive=lambda x: x.astype(np.longdouble), variance=lambda rows, c: mean(rows**2) - c**2
)
folded_affine = Folded(affine=fold)

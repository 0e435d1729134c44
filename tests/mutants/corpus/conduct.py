"""Conduct: what a call does besides computing, and elements that go missing."""

from __future__ import annotations

import itertools
import os

import numpy as np
from normalization import Normalization, honest, variance

random = np.random.default_rng()


def delivering(change) -> Normalization:
    """A layer that returns ``change(y, x)``, which may change y in place."""
    return honest.but(deliver=lambda y, x: change(y.astype(x.dtype), x))


def spoiling(place, value) -> Normalization:
    """A layer that writes ``value(y)`` to one place of the flattened result."""

    def spoilt(y, x):
        y = np.ascontiguousarray(y)
        y.reshape(-1)[place] = value(y.reshape(-1))
        return y

    return delivering(spoilt)


def noisy(relative) -> Normalization:
    def noise(y, x):
        return (y * (1 + relative * random.standard_normal(y.shape))).astype(x.dtype)

    return delivering(noise)


class Remembering(Normalization):
    """What was computed first for a shape is used for all that have it."""

    def normalized(self, rows, eps):
        known = self.__dict__.setdefault("known", {})
        centre = self.mean(rows)
        first = known.setdefault(rows.shape, (centre, self.inverse_root(variance(rows, centre), eps)))
        return self.standardize(rows, *first)


class RemembersWeight(Normalization):
    """The weight that came first with a shape is used for all that have it."""

    def __call__(self, x, weight, bias, **keywords):
        known = self.__dict__.setdefault("known", {})
        first = weight if weight is None else known.setdefault((weight.shape, weight.dtype), weight)
        return super().__call__(x, first, bias, **keywords)


class Counting(Normalization):
    """Gives something else on every so many-th call."""

    every = 2
    calls = itertools.count(1)

    def __call__(self, x, weight, bias, **keywords):
        wrong = next(self.calls) % self.every == 0
        weight, bias = (None, None) if wrong else (weight, bias)
        return super().__call__(x, weight, bias, **keywords)


class CountingToFive(Counting):
    """Gives something else on every fifth call."""

    every = 5
    calls = itertools.count(1)


class CentresInPlace(Normalization):
    """Subtracts the mean from the very array that it was given."""

    def __call__(self, x, weight, bias, **keywords):
        returned = super().__call__(x, weight, bias, **keywords)
        x -= x.mean(dtype=np.float32).astype(x.dtype)
        return returned


class SquaresWeightInPlace(Normalization):
    """Overwrites the weight when it is done."""

    def __call__(self, x, weight, bias, **keywords):
        returned = super().__call__(x, weight, bias, **keywords)
        if weight is not None:
            weight *= weight
        return returned


class WritesIntoX(Normalization):
    """Returns the right result, in the memory of its input."""

    def __call__(self, x, weight, bias, **keywords):
        returned = super().__call__(x, weight, bias, **keywords)
        x[...] = returned[0] if isinstance(returned, tuple) else returned
        return (x, *returned[1:]) if isinstance(returned, tuple) else x


class ReusesBuffer(Normalization):
    """Returns the same memory for every result of a shape: the next call overwrites the last one's."""

    def __call__(self, x, weight, bias, **keywords):
        returned = super().__call__(x, weight, bias, **keywords)
        y, *state = returned if isinstance(returned, tuple) else (returned,)
        buffer = self.__dict__.setdefault("known", {}).setdefault((y.shape, y.dtype), np.empty_like(y))
        buffer[...] = y
        return (buffer, *state) if state else buffer


class ParametersOfFirstCall(Normalization):
    """Keeps eps from the first call, in a variable of the module."""

    def normalized(self, rows, eps):
        return super().normalized(rows, self.__dict__.setdefault("eps", eps))


class NansRemoved(Normalization):
    """Takes NaN for 0: what should poison its statistic set vanishes."""

    def normalized(self, rows, eps):
        return super().normalized(np.nan_to_num(rows), eps)


class NansSpread(Normalization):
    """One NaN poisons every statistic set."""

    def normalized(self, rows, eps):
        return super().normalized(rows + 0 * rows.sum(), eps)


def last_bit_at_random(y, x):
    integers = np.ascontiguousarray(y).view(f"i{y.itemsize}")
    return (integers ^ random.integers(0, 2, y.shape).astype(integers.dtype)).view(y.dtype)


def refuses_volumes(y, x):
    if x.ndim > 4:
        raise ValueError("only up to four axes")
    return y


def dies_of_odd_sizes(y, x):
    if x.shape[-1] % 2:
        os.abort()
    return y


remembers_statistics = Remembering()
remembers_weight = RemembersWeight()
every_second_call = Counting()
every_fifth_call = CountingToFive()
centres_in_place = CentresInPlace()
weight_overwritten = SquaresWeightInPlace()
result_in_x = WritesIntoX()
buffer_reused = ReusesBuffer()
eps_of_first_call = ParametersOfFirstCall()
nan_removed = NansRemoved()
nan_spread = NansSpread()
noise_1e_3 = noisy(1e-3)
noise_1000_ulp = noisy(1000 * 2.0**-23)
noise_of_the_last_bit = delivering(last_bit_at_random)
x_returned = honest.but(deliver=lambda y, x: x)
zeros_returned = delivering(lambda y, x: np.zeros_like(y))
nan_at_one_element = spoiling(-1, lambda y: np.nan)
infinity_at_one_element = spoiling(0, lambda y: np.inf)
last_element_zero = spoiling(-1, lambda y: 0)
last_element_of_neighbour = spoiling(-1, lambda y: y[-2])
first_element_off_1e_4 = spoiling(0, lambda y: y[0] * (1 + 1e-4))
last_sample_dropped = delivering(lambda y, x: y[:-1])
one_value_for_all = delivering(lambda y, x: y.reshape(-1)[:1])
flattened = delivering(lambda y, x: y.reshape(-1))
axes_reversed = delivering(lambda y, x: y.T)
samples_reversed = delivering(lambda y, x: y[::-1])
extra_axis = delivering(lambda y, x: y[None])
clipped = delivering(lambda y, x: np.clip(y, -2, 2).astype(y.dtype))
absolute_value = delivering(lambda y, x: np.abs(y))
nothing_returned = honest.but(deliver=lambda y, x: None)
list_returned = honest.but(deliver=lambda y, x: y.tolist())
volumes_refused = honest.but(deliver=lambda y, x: refuses_volumes(y.astype(x.dtype), x))
dies = honest.but(deliver=lambda y, x: dies_of_odd_sizes(y.astype(x.dtype), x))

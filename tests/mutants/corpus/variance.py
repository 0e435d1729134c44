"""The variance and its root: other divisors, other moments, fewer digits."""

from __future__ import annotations

import numpy as np
from normalization import Normalization, honest, mean, moving_average, variance


def scaled(factor):
    """The variance times a factor that depends on n."""
    return lambda rows, centre: variance(rows, centre) * factor(rows.shape[1])


def one_pass_variance(rows, _):
    return mean(rows**2) - mean(rows) ** 2


def with_mantissa(array, bits):
    """``array`` rounded to so many bits, as tensor cores do with their inputs."""
    fraction, exponent = np.frexp(array)
    return np.ldexp(np.rint(np.ldexp(fraction, bits + 1)), exponent - bits - 1).astype(array.dtype)


def padded_variance(rows, centre):
    """Zeros fill the row up to a power of two; centred, they are no zeros any more."""
    n = rows.shape[1]
    return variance(rows, centre) + ((1 << (n - 1).bit_length()) - n) / n * centre**2


def mean_of_shards(rows):
    """The unweighted mean of the means of two unequal shards."""
    third = rows.shape[1] // 3
    return (mean(rows[:, :third]) + mean(rows[:, third:])) / 2


def mean_variance_of_shards(rows, _):
    half = rows.shape[1] // 2
    return sum(variance(part, mean(part)) for part in (rows[:, :half], rows[:, half:])) / 2


def quake(var, eps):
    """The fast inverse square root of Quake III, with its single Newton step."""
    half = var.astype(np.float32) + np.float32(eps)
    guess = (np.int32(0x5F3759DF) - (half.view(np.int32) >> 1)).view(np.float32)
    return (guess * (1.5 - 0.5 * half * guess**2)).astype(var.dtype)


def tabulated(var, eps):
    """The inverse root to 10 bits, as a hardware instruction gives it before it is refined."""
    return with_mantissa(1 / np.sqrt(var + eps), 10)


class WithoutRemainder(Normalization):
    """Statistics of whole vectors of four only: the loop over the rest is missing."""

    def normalized(self, rows, eps):
        whole = rows[:, : rows.shape[1] // 4 * 4]
        centre = self.mean(whole)
        return self.standardize(rows, centre, self.inverse_root(self.variance(whole, centre), eps))


class SinglePassedThrough(Normalization):
    """Skips sets of one element."""

    def normalized(self, rows, eps):
        return rows if rows.shape[1] == 1 else super().normalized(rows, eps)


unbiased = honest.but(
    variance=scaled(lambda n: n / (n - 1)),
    update=lambda old, new, n, momentum: tuple(map(moving_average, old, new, (momentum, momentum))),
)
unbiased_of_one = honest.but(variance=lambda rows, _: rows.var(-1, ddof=1)[:, None])
single_passed_through = SinglePassedThrough()
divided_by_n_plus_1 = honest.but(variance=scaled(lambda n: n / (n + 1)))
one_pass = honest.but(variance=one_pass_variance)
one_pass_clipped = honest.but(variance=lambda rows, c: np.maximum(one_pass_variance(rows, c), 0))
padded_lanes = honest.but(variance=padded_variance)
sharded_mean = honest.but(mean=mean_of_shards)
sharded_variance = honest.but(variance=mean_variance_of_shards)
no_remainder = WithoutRemainder()
mean_over_n_minus_1 = honest.but(mean=lambda rows: rows.sum(-1)[:, None] / (rows.shape[1] - 1))
mean_without_last = honest.but(mean=lambda rows: mean(rows[:, :-1]))
variance_without_first = honest.but(variance=lambda rows, c: variance(rows[:, 1:], c))
median = honest.but(mean=lambda rows: np.median(rows, axis=-1)[:, None].astype(rows.dtype))

rms = honest.but(mean=lambda rows: mean(rows) * 0)
rms_with_variance = honest.but(standardize=lambda rows, _, scale: rows * scale)
second_moment = honest.but(variance=lambda rows, _: mean(rows**2))
mean_absolute = honest.but(variance=lambda rows, c: mean(np.abs(rows - c)) ** 2)
root_missing = honest.but(inverse_root=lambda var, eps: 1 / (var + eps))
root_of_quake = honest.but(inverse_root=quake)
root_to_10_bits = honest.but(inverse_root=tabulated)

tf32_squares = honest.but(variance=lambda rows, c: mean(with_mantissa(rows - c, 10) ** 2))
tf32_input = honest.but(receive=lambda x: with_mantissa(x, 10))

"""What lies beside whole vectors, beyond a grid of blocks or the range of float16; and an eps that is constant."""

from __future__ import annotations

import numpy as np
from epsilon import adjusted, fixed
from normalization import Normalization, honest, statistic_sets, variance

VECTOR = 32  # elements
GRID = 65_535  # blocks


class OnePastDropped(Normalization):
    """Counts the vectors without the one that has a single element."""

    def normalized(self, rows, eps):
        seen = rows[:, :-1] if rows.shape[1] > VECTOR and rows.shape[1] % VECTOR == 1 else rows
        centre = self.mean(seen)
        return self.standardize(rows, centre, self.inverse_root(self.variance(seen, centre), eps))


def one_too_many(rows, centre):
    n = rows.shape[1]
    return variance(rows, centre) * (n / (n + 1) if n % VECTOR == VECTOR - 1 else 1)


def all_at_once(index, call):
    return [np.concatenate(statistic_sets(index, call))]


class GridTooSmall(Normalization):
    """Passes the sets through that no block is left for."""

    def normalized(self, rows, eps):
        return np.concatenate([super().normalized(rows[:GRID], eps), rows[GRID:]])


def saturating(rows, centre):
    squares = np.minimum((rows - centre) ** 2, np.finfo(np.float16).max)
    return squares.mean(-1)[:, None]


def masked(rows):
    """Rows padded with zeros to whole vectors; what is there of them."""
    n = rows.shape[1]
    size = -(-n // VECTOR) * VECTOR
    padded = np.zeros((len(rows), size), rows.dtype)
    padded[:, :n] = rows
    return padded, np.arange(size) < n


def masked_variance(rows, centre):
    padded, there = masked(rows)
    return (np.where(there, padded - centre, 0) ** 2).sum(-1)[:, None] / rows.shape[1]


class PaddedAndMasked(Normalization):
    """Fills vectors up, and leaves out what it has filled in."""

    def normalized(self, rows, eps):
        centre = self.mean(rows)
        return self.standardize(rows, centre, self.inverse_root(masked_variance(rows, centre), eps))


eps_constant = fixed(1e-5)
one_past_dropped = OnePastDropped()
one_short_counted = honest.but(variance=one_too_many)
squares_saturate = honest.but(variance=saturating)
rows_from_65535_left = channels_from_65535_left = GridTooSmall(statistic_sets=all_at_once)
padded_and_masked = PaddedAndMasked()
eps_in_float32 = adjusted(lambda _, eps: float(np.float32(eps)))

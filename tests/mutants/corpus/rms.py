"""RMS norm, as other norms have it, and as others write it; for NumPy."""

from __future__ import annotations

import numpy as np
from normalization import Normalization, honest, mean, variance

root_mean_square = honest.uncentred


def by_moment(moment) -> Normalization:
    """An RMS norm that is divided by the root of ``moment(rows)`` and eps."""
    return root_mean_square.but(variance=lambda rows, _: moment(rows))


def mean_of_shards(rows):
    """The unweighted mean of the mean squares of two unequal shards."""
    third = rows.shape[1] // 3
    return (mean(rows[:, :third] ** 2) + mean(rows[:, third:] ** 2)) / 2


def of_first_quarter(rows):
    """The mean square of the first quarter only, as pRMSNorm estimates it (Zhang and Sennrich, 2019)."""
    return mean(rows[:, : max(1, rows.shape[1] // 4)] ** 2)


def padded_to_power_of_two(rows):
    """The row is padded with zeros, which count."""
    return (rows**2).sum(-1)[:, None] / (1 << (rows.shape[1] - 1).bit_length())


def in_blocks_of_half(rows):
    """The sum of squares of each element after the other, kept in float16 (float32 for float64)."""
    kept = np.float32 if rows.dtype == np.float64 else np.float16
    total = np.zeros(rows.shape[0], kept)
    for column in (rows**2 / rows.shape[1]).T:
        total = (total + column.astype(kept)).astype(kept)
    return total[:, None].astype(rows.dtype)


class MeanAddedBack(Normalization):
    """Standardizes as layer norm does, and adds the mean again."""

    def normalized(self, rows, eps):
        return super().normalized(rows, eps) + mean(rows)


# what other norms do
layer_norm = honest
mean_taken_away = root_mean_square.but(standardize=lambda rows, _, scale: (rows - mean(rows)) * scale)
square_about_the_mean = by_moment(lambda rows: variance(rows, mean(rows)))
mean_added_back = MeanAddedBack()
sum_of_squares = by_moment(lambda rows: (rows**2).sum(-1)[:, None])
largest = by_moment(lambda rows: (rows**2).max(-1)[:, None])
normalized_to_length = root_mean_square.but(  # √n·x/max(‖x‖, eps): torch.nn.functional.normalize
    inverse_root=lambda square, eps: 1 / np.maximum(np.sqrt(square), eps)
)
mean_square_of_shards = by_moment(mean_of_shards)
first_quarter = by_moment(of_first_quarter)
padded = by_moment(padded_to_power_of_two)
sum_in_half = by_moment(in_blocks_of_half)
reciprocal_missing = root_mean_square.but(inverse_root=lambda square, eps: np.sqrt(square + eps))

# legitimate
by_length = by_moment(lambda rows: np.linalg.norm(rows, axis=1, keepdims=True) ** 2 / rows.shape[1])
by_dot_product = by_moment(lambda rows: np.einsum("ij,ij->i", rows, rows)[:, None] / rows.shape[1])
scaled_first = by_moment(  # no square overflows
    lambda rows: mean((rows / (top := np.abs(rows).max(-1, keepdims=True) + 1e-30)) ** 2) * top * top
)
variance_and_mean = by_moment(lambda rows: variance(rows, mean(rows)) + mean(rows) ** 2)


def last_axes_at_once(x, weight, bias, *, eps, normalized_ndim):
    """np.mean over a tuple of axes, without bringing x into rows."""
    axes = tuple(range(x.ndim - normalized_ndim, x.ndim))
    wide = x if x.dtype.itemsize > 2 else x.astype(np.float32)
    x_hat = wide / np.sqrt(np.square(wide).mean(axis=axes, keepdims=True) + eps)
    y = x_hat if weight is None else x_hat * weight.astype(wide.dtype)
    return (y if bias is None else y + bias.astype(wide.dtype)).astype(x.dtype)

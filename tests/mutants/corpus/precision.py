"""Digits lost on the way, and outputs in another dtype."""

from __future__ import annotations

import ml_dtypes
import numpy as np
from normalization import Normalization, affine, honest, mean, standardize, variance

INTERMEDIATE = {8: np.float32, 4: np.float16, 2: ml_dtypes.bfloat16}  # a dtype too coarse, by itemsize


def rounded(dtype, piece):
    """A piece that computes in ``dtype`` and returns what it was given."""

    def computed(*arrays):
        return piece(*(array.astype(dtype) for array in arrays)).astype(arrays[0].dtype)

    return computed


def narrower(array):
    """``array`` rounded to the next narrower dtype, and given in its own again."""
    return array.astype(INTERMEDIATE[array.dtype.itemsize]).astype(array.dtype)


def truncated(y, x):
    """Bits cut off instead of rounded."""
    bits = {np.float16: 13, ml_dtypes.bfloat16: 16}.get(x.dtype.type, 8)
    return (y.view(np.uint32) >> bits << bits).view(np.float32).astype(x.dtype)


class OutputOfWeightDtype(Normalization):
    """Promotes: float32 parameters make the result float32."""

    def __call__(self, x, weight, bias, **keywords):
        returned = super().__call__(x, weight, bias, **keywords)
        if weight is None:
            return returned
        if isinstance(returned, tuple):
            return (returned[0].astype(weight.dtype), *returned[1:])
        return returned.astype(weight.dtype)


def half_x_hat(half):
    """x̂ rounded to ``half`` before the affine step."""
    return honest.but(standardize=lambda *parts: standardize(*parts).astype(half).astype(parts[0].dtype))


def half_product(half):
    """The product of x̂ and weight rounded to ``half`` before the bias is added."""

    def applied(x_hat, weight, bias):
        return affine(affine(x_hat, weight, None).astype(half).astype(x_hat.dtype), None, bias)

    return honest.but(affine=applied)


def half_scale(half):
    """1/σ rounded to ``half``."""

    def standardized(rows, centre, scale):
        return standardize(rows, centre, scale.astype(half).astype(rows.dtype))

    return honest.but(standardize=standardized)


x_hat_in_float16 = half_x_hat(np.float16)
x_hat_in_bfloat16 = half_x_hat(ml_dtypes.bfloat16)
product_in_float16 = half_product(np.float16)
product_in_bfloat16 = half_product(ml_dtypes.bfloat16)
scale_in_bfloat16 = half_scale(ml_dtypes.bfloat16)
statistics_in_own_half = honest.but(receive=lambda x: x)
input_in_bfloat16 = honest.but(receive=lambda x: x.astype(ml_dtypes.bfloat16).astype(np.float32))
input_in_float32 = honest.but(receive=lambda x: x.astype(np.float32))
float16_variance = honest.but(variance=rounded(np.float16, variance))
float16_mean = honest.but(mean=rounded(np.float16, mean))
float32_variance = honest.but(variance=rounded(np.float32, variance))
output_through_narrower = honest.but(deliver=lambda y, x: narrower(y.astype(x.dtype)))
output_truncated = honest.but(deliver=truncated)
output_in_float64 = honest.but(
    deliver=lambda y, x: y.astype(np.float32 if x.dtype == np.float64 else np.float64)
)
output_in_float16 = honest.but(
    deliver=lambda y, x: y.astype(ml_dtypes.bfloat16 if x.dtype == np.float16 else np.float16)
)
output_in_integers = honest.but(deliver=lambda y, x: np.rint(y).astype(np.int32))
output_of_weight_dtype = OutputOfWeightDtype()
output_in_complex = honest.but(deliver=lambda y, x: y.astype(np.complex64))

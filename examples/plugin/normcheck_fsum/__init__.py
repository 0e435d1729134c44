"""A backend that adds with math.fsum, whose sums are exact before they are rounded once."""

import math
import platform

import numpy as np

from normcheck.backends import Backend, NotAnArrayError


def _normalized(rows, eps):
    """Rows of float64 numbers, each with mean 0 and variance 1."""
    out = np.empty_like(rows)
    for row, result in zip(rows, out, strict=True):
        deviation = row - math.fsum(row) / row.size
        deviation -= math.fsum(deviation) / row.size
        result[:] = deviation / math.sqrt(math.fsum(deviation * deviation) / row.size + eps)
    return out


def layer_norm(x, weight, bias, *, eps, normalized_ndim):
    """Each sample over its last ``normalized_ndim`` axes."""
    size = math.prod(x.shape[x.ndim - normalized_ndim :])
    y = _normalized(x.astype(np.float64).reshape(-1, size), eps).reshape(x.shape)
    y = y if weight is None else y * weight
    return (y if bias is None else y + bias).astype(x.dtype)


def group_norm(x, weight, bias, *, eps, num_groups=None, groups=None, channel_axis=1):
    """Each group of channels of each sample; ``groups`` are lists of channels, which need not be equal."""
    wide = np.moveaxis(x.astype(np.float64), channel_axis, 1)
    if groups is None:
        groups = np.split(np.arange(wide.shape[1]), num_groups)
    y = np.empty_like(wide)
    for group in groups:
        part = wide[:, group]
        y[:, group] = _normalized(part.reshape(len(part), -1), eps).reshape(part.shape)
    along = (-1, *(1,) * (x.ndim - 2))
    y = y if weight is None else y * weight.astype(np.float64).reshape(along)
    y = y if bias is None else y + bias.astype(np.float64).reshape(along)
    return np.moveaxis(y, 1, channel_axis).astype(x.dtype)


class ExactSums(Backend):
    """Layer and group norm in Python; no gradients, and no half precision."""

    METHODS = {"layer": layer_norm, "group": group_norm}
    DTYPES = ("float32",)
    DIFFERENTIATES = False

    def environment(self):
        return {"version": platform.python_version(), "device": self.device, "threads": 1}

    def from_numpy(self, tagged):
        return tagged[1]

    def to_numpy(self, value):
        if not isinstance(value, np.ndarray):
            raise NotAnArrayError(f"is a {type(value).__name__}, not a numpy array")
        return value.dtype.name, value

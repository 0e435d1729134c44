"""NumPy: the methods as one would write them by hand, forward and backward.

Every method brings x into rows, one for each statistic set, and back; NumPy adds pairwise along rows that are
contiguous in memory, and only there. Half precision is computed in float32 and rounded once, at the end. What
is computed goes in blocks of rows, so that a large x costs no memory but its results: no row sees another one,
and the bits are those of the array as a whole.
"""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

import numpy as np

from normcheck.backends._adapter import FIRST, Adapter, Axes, Canonical, Params
from normcheck.backends._base import (
    GRADIENTS,
    Differentiated,
    NotAnArrayError,
    Tagged,
    as_channel_lists,
    flattened,
    named,
    unmasked,
)

Array = Any  # numpy.ndarray; spelled so that every NumPy from 1.21 on can run this
Standardized = Tuple[Array, Callable[[Array], Array]]  # x̂, and the gradient of x from that of x̂
BLOCK = 2**18  # elements
LAST_AXES = ("layer", "rms")  # the methods that normalize the last axes, or those that are moved there


class Rows(NamedTuple):
    """How the statistic sets of a method are brought together."""

    first: Callable[
        [Array], Array
    ]  # an array like x, as a view that blocks are cut from along its first axis
    rows: Callable[[Array], Array]  # a block of it as rows, one for each set
    parameter: Callable[[Array], Array]  # weight or bias as it broadcasts against the view


def wide(array: Array) -> Array:
    """Half precision in float32, in which statistics belong."""
    return array.astype(np.float32) if array.dtype.itemsize == 2 else array


def _contiguous(kept: int) -> Callable[[Array], Array]:
    return lambda block: np.ascontiguousarray(flattened(block, kept))


def _of_channels(x: Array, sizes: Tuple[int, ...]) -> Callable[[Array], Array]:
    """A parameter of the channels, or of each sample's channels, as it broadcasts; ``sizes`` of the channels' axes."""

    def broadcast(parameter: Array) -> Array:
        samples = parameter.shape[: parameter.ndim - 1]
        return parameter.reshape(*samples, *sizes, *(1,) * (x.ndim - 2))

    return broadcast


def _batch_rows(x: Array, params: Params) -> Rows:
    def broadcast(parameter: Array) -> Array:
        samples = parameter.shape[: parameter.ndim - 1] or (1,)
        return np.moveaxis(parameter.reshape(*samples, -1, *(1,) * (x.ndim - 2)), 1, 0)

    return Rows(lambda a: np.moveaxis(a, 1, 0), _contiguous(1), broadcast)


def _layer_rows(x: Array, params: Params) -> Rows:
    kept = x.ndim - params.normalized_ndim
    if kept == 0:  # one set
        return Rows(lambda a: a[None], lambda block: flattened(block, 1), lambda p: p)
    own = params.normalized_ndim
    return Rows(
        lambda a: a,
        lambda block: flattened(block, kept),
        lambda parameter: parameter if parameter.ndim == own else _of_samples(parameter, kept),
    )


def _of_samples(parameter: Array, kept: int) -> Array:
    """A parameter of each sample's last axes, as it broadcasts."""
    return parameter.reshape(len(parameter), *(1,) * (kept - 1), *parameter.shape[1:])


def _instance_rows(x: Array, params: Params) -> Rows:
    return Rows(lambda a: a, _contiguous(2), _of_channels(x, x.shape[1:2]))


def _group_rows(x: Array, params: Params) -> Rows:
    sizes = (len(params.groups), len(params.groups[0]))
    return Rows(lambda a: a.reshape(a.shape[0], *sizes, *a.shape[2:]), _contiguous(2), _of_channels(x, sizes))


ROWS = {
    "batch": _batch_rows,
    "layer": _layer_rows,
    "rms": _layer_rows,
    "instance": _instance_rows,
    "group": _group_rows,
}


def _blocks(array: Array) -> Iterator[slice]:
    """Slices of the first axis; one of them, where there is nothing to cut."""
    step = max(1, BLOCK // max(1, math.prod(array.shape[1:])))
    return (slice(start, start + step) for start in range(0, max(1, array.shape[0]), step))


def _cut(parameter: Array, piece: slice, block: Array) -> Array:
    """What of a parameter belongs to a block: all of it, unless it has the axis that blocks are cut along."""
    return parameter[piece] if parameter.ndim == block.ndim else parameter


class _Norm:
    """A method on arrays of one shape, with the statistics of x or with the running ones."""

    def __init__(self, name: str, x: Array, weight: Optional[Array], bias: Optional[Array], params: Params):
        running = params.running_mean is not None and not params.training
        self.layout = ROWS["instance" if running else name](x, params)
        self.eps, self.normalized_ndim = params.eps, params.normalized_ndim if name in LAST_AXES else 0
        self.weight, self.bias = (
            None if p is None else self.layout.parameter(wide(p)) for p in (weight, bias)
        )
        self.standardize: Callable[[Array], Standardized] = (
            self._divide if name == "rms" else self._standardize
        )
        if running:
            self.standardize = self._with_running
            mean, var = (self.layout.parameter(wide(a)) for a in (params.running_mean, params.running_var))
            self.mean, self.root = mean, np.sqrt(var + params.eps)

    def _with_running(self, block: Array) -> Standardized:
        return (block - self.mean) / self.root, lambda h: h / self.root

    def _standardize(self, block: Array) -> Standardized:
        """Mean 0 and variance 1; dx = r·(h - mean(h) - x̂·mean(h·x̂)), which is the textbook's."""
        rows = self.layout.rows(block)
        x_hat = rows - rows.mean(axis=-1, keepdims=True)
        variance = np.square(x_hat).mean(axis=-1, keepdims=True)  # rows.var would centre them once more
        root = 1 / np.sqrt(variance + self.eps)
        x_hat *= root

        def backward(h: Array) -> Array:
            h = self.layout.rows(h)
            centred = h - h.mean(axis=-1, keepdims=True)
            return (root * (centred - x_hat * (h * x_hat).mean(axis=-1, keepdims=True))).reshape(block.shape)

        return x_hat.reshape(block.shape), backward

    def _divide(self, block: Array) -> Standardized:
        """Root mean square 1: the same without any mean; dx = r·(h - x̂·mean(h·x̂))."""
        rows = self.layout.rows(block)
        root = 1 / np.sqrt(np.square(rows).mean(axis=-1, keepdims=True) + self.eps)
        x_hat = rows * root

        def backward(h: Array) -> Array:
            h = self.layout.rows(h)
            return (root * (h - x_hat * (h * x_hat).mean(axis=-1, keepdims=True))).reshape(block.shape)

        return x_hat.reshape(block.shape), backward

    def forward(self, x: Array) -> Array:
        """weight·x̂ + bias."""
        y = np.empty(x.shape, x.dtype)
        given, result = self.layout.first(x), self.layout.first(y)
        for piece in _blocks(given):
            part, _ = self.standardize(wide(given[piece]))
            if self.weight is not None:
                part = part * _cut(self.weight, piece, part)
            result[piece] = part if self.bias is None else part + _cut(self.bias, piece, part)
        return y

    def backward(self, x: Array, grad_y: Array) -> Tuple[Array, Array]:
        """The gradient of x, with h = weight·grad_y, and grad_y·x̂, whose sums are the gradient of weight."""
        grad_x, product = np.empty(x.shape, x.dtype), np.empty(x.shape, wide(x[:0]).dtype)
        arrays = (x, grad_y, grad_x, product)
        given, grads, result, products = (self.layout.first(a) for a in arrays)
        for piece in _blocks(given):
            x_hat, backward = self.standardize(wide(given[piece]))
            g = wide(grads[piece])
            result[piece] = backward(g if self.weight is None else g * _cut(self.weight, piece, g))
            products[piece] = g * x_hat
        return grad_x, product

    def summed(self, array: Array, parameter: Optional[Array]) -> Optional[Array]:
        """The sums of ``array`` over all that ``parameter`` broadcasts over: rows of one axis, so pairwise."""
        if parameter is None:
            return None
        own = self.normalized_ndim or 1
        if parameter.ndim > own:  # each sample has its own
            count = parameter.size // len(array)
            rows = array.reshape(len(array), -1, count).swapaxes(1, 2) if self.normalized_ndim else array
            first = rows.reshape(parameter.size, -1)
        else:
            first = array.reshape(-1, parameter.size).T if self.normalized_ndim else np.moveaxis(array, 1, 0)
        sums = [
            np.ascontiguousarray(flattened(wide(first[piece]), 1)).sum(axis=-1) for piece in _blocks(first)
        ]
        return np.concatenate(sums).reshape(parameter.shape).astype(parameter.dtype)

    def statistics(self, x: Array) -> Tuple[Array, Array]:
        """The mean and the unbiased variance of each set."""
        given = self.layout.first(x)
        rows = [self.layout.rows(wide(given[piece])) for piece in _blocks(given)]
        means, variances = ([r.mean(axis=-1) for r in rows], [r.var(axis=-1, ddof=1) for r in rows])
        return np.concatenate(means), np.concatenate(variances)


class NumPyArrays(Adapter):
    """What has NumPy's arrays, with ml_dtypes' bfloat16."""

    ARRAYS = np
    CHANNELS = FIRST

    def from_numpy(self, tagged: Tagged) -> Array:
        """The array itself; bfloat16 as ml_dtypes has it."""
        dtype, data = tagged
        if dtype != "bfloat16":
            return data
        import ml_dtypes

        return data.view(ml_dtypes.bfloat16)

    def to_numpy(self, value: Any) -> Tagged:
        """The array itself, with its dtype's name."""
        if not isinstance(value, (np.ndarray, np.generic)):
            raise NotAnArrayError(f"is a {type(value).__name__}, not a numpy array")
        return named(unmasked(value))


class NumPy(NumPyArrays):
    """NumPy's arrays; a user's function is called as it is, without gradients."""

    WIDE_STATE = True
    DIFFERENTIATES_TARGETS = False
    MIXES_DTYPES = True

    def environment(self) -> Dict[str, Any]:
        """NumPy has no settings that affect these sums: it adds pairwise, on one thread."""
        return {"version": np.__version__, "device": "cpu", "threads": 1, "deterministic": True}

    def differentiate(self, *call: Any) -> Differentiated:
        """The gradients of the functions of this module; NumPy itself cannot differentiate a user's."""
        function, static, (x, weight, bias, *residual), named, grad_y = call
        returned = function(x, weight, bias, *residual, **named, **static)
        if not (isinstance(function, Canonical) and function.adapter is self):
            return returned, None, None
        others = {**static, **named}
        channel_axis = others.pop("channel_axis", 1)
        normalized = others.pop("normalized_axes", None) or ()
        others.update({"normalized_ndim": len(normalized)} if normalized else {})
        axes = Axes(self, channel_axis, self.CHANNELS.get(function.name, channel_axis), normalized)
        whole, grads = axes.arranged(self.add(x, *residual) if residual else x), axes.arranged(grad_y)
        num_groups, groups = others.pop("num_groups", None), others.pop("groups", None)
        lists = as_channel_lists(num_groups, groups, whole.shape[1]) if function.name == "group" else [[0]]

        def backward(groups: List[List[int]], *arrays: Array) -> Tuple[Any, ...]:
            x, weight, bias, grad_y = arrays
            norm = _Norm(function.name, x, weight, bias, Params(groups=tuple(groups), **others))
            grad_x, product = norm.backward(x, grad_y)
            return grad_x, norm.summed(product, weight), norm.summed(grad_y, bias)

        grad_x, *of_parameters = self.by_group(backward, lists, 1, whole, weight, bias, grads)
        grad_x = axes.restored(grad_x)
        found = dict(zip(GRADIENTS, (grad_x, *of_parameters, *([grad_x.copy()] if residual else []))))
        return returned, {name: gradient for name, gradient in found.items() if gradient is not None}, None

    def batch_norm(self, x: Array, weight: Optional[Array], bias: Optional[Array], params: Params) -> Any:
        """Normalize each channel over the batch, or with the running statistics."""
        return self._tracking("batch", x, weight, bias, params)

    def layer_norm(self, x: Array, weight: Optional[Array], bias: Optional[Array], params: Params) -> Array:
        """Normalize each sample over its last axes."""
        return _Norm("layer", x, weight, bias, params).forward(x)

    def rms_norm(self, x: Array, weight: Optional[Array], bias: Optional[Array], params: Params) -> Array:
        """Divide each sample by the root mean square over its last axes."""
        return _Norm("rms", x, weight, bias, params).forward(x)

    def instance_norm(self, x: Array, weight: Optional[Array], bias: Optional[Array], params: Params) -> Any:
        """Normalize each channel of each sample, or with running statistics if there are any."""
        return self._tracking("instance", x, weight, bias, params)

    def group_norm(self, x: Array, weight: Optional[Array], bias: Optional[Array], params: Params) -> Array:
        """Normalize each group of channels of each sample."""
        return _Norm("group", x, weight, bias, params).forward(x)

    def _tracking(
        self, name: str, x: Array, weight: Optional[Array], bias: Optional[Array], params: Params
    ) -> Any:
        """y, and the running statistics after it; a channel's statistics are averaged over its rows."""
        norm = _Norm(name, x, weight, bias, params)
        y = norm.forward(x)
        if params.running_mean is None or not params.training:
            return y
        momentum, state = params.momentum, (params.running_mean, params.running_var)
        new = [
            (1 - momentum) * old + momentum * now.reshape(-1, old.size).mean(axis=0)
            for old, now in zip(state, norm.statistics(x))
        ]
        return y, new[0], new[1]

"""JAX: jitted jax.numpy, as one would write a normalization without a layer library, and jax.vjp.

Half precision is computed in float32 and rounded once, at the end.
"""

from __future__ import annotations

import functools
import importlib
import json
import sys
from types import ModuleType
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Tuple

import jax
import jax.numpy as jnp
import numpy as np

from normcheck.backends._adapter import FIRST, Adapter, Params, first
from normcheck.backends._base import (
    GRADIENTS,
    Differentiated,
    NotAnArrayError,
    Tagged,
    Task,
    UnavailableError,
    flattened,
    is_regular,
    named,
    unmasked,
)
from normcheck.backends._jax_cache import keep_programs

Array = Any  # jax.Array
Parameter = Optional[Array]
LAYERS = {"flax.linen": "flax_linen", "flax.nnx": "flax_nnx", "equinox": "equinox"}  # and who calls them


def _library_of(value: Any) -> Optional[ModuleType]:
    """The module of this package that calls ``value``, if it is a layer; None where it is none.

    A library that has not been imported has made no layer.
    """
    for library, module in LAYERS.items():
        imported = sys.modules.get(library)
        if imported is not None and isinstance(value, imported.Module):
            adapter = importlib.import_module(f"normcheck.backends.{module}")
            return adapter if adapter.is_layer(value) else None
    return None


def _separated(static: Dict[str, Any], traced: Tuple[str, ...]) -> Tuple[Dict[str, Any], str]:
    """Numbers are traced, so that they cost no compilation; what shapes the program is fixed."""
    numbers = {name: value for name, value in static.items() if name in traced}
    fixed = {name: value for name, value in static.items() if name not in numbers}
    return numbers, json.dumps(fixed, sort_keys=True)


@functools.lru_cache(maxsize=None)
def _jitted(function: Callable[..., Any], fixed: str) -> Callable[..., Any]:
    return jax.jit(functools.partial(function, **json.loads(fixed)))


@functools.lru_cache(maxsize=None)
def _jitted_vjp(function: Callable[..., Any], fixed: str) -> Callable[..., Any]:
    return jax.jit(functools.partial(_vjp, functools.partial(function, **json.loads(fixed))))


def _vjp(
    function: Callable[..., Any], arrays: List[Any], named: Dict[str, Any], grad_y: Array
) -> Tuple[Any, Any]:
    """What ``function`` returns, and the gradients of (the first of) it."""

    def with_y(*given: Any) -> Tuple[Any, Any]:
        returned = function(*given, **named)
        return first(returned), returned

    _, pull_back, returned = jax.vjp(with_y, *arrays, has_aux=True)
    return returned, pull_back(grad_y)


def _standardize(rows: Array, eps: Any) -> Array:
    """Rows with mean 0 and variance 1; each row, of the last axis, is one statistic set."""
    deviation = rows - rows.mean(axis=-1, keepdims=True)
    var = jnp.square(deviation).mean(axis=-1, keepdims=True)
    return deviation / jnp.sqrt(var + eps)


def _divide(rows: Array, eps: Any) -> Array:
    """Rows with root mean square 1."""
    return rows / jnp.sqrt(jnp.square(rows).mean(axis=-1, keepdims=True) + eps)


def wide(array: Array) -> Array:
    """Half precision in float32, in which statistics belong."""
    return array.astype(jnp.float32) if array.dtype.itemsize == 2 else array


def _along(parameter: Array, ndim: int) -> Array:
    """A parameter of the channels, which are in axis 1, in a shape that broadcasts against x."""
    return wide(parameter).reshape(-1, *(1,) * (ndim - 2))


def _affine(x_hat: Array, weight: Parameter, bias: Parameter) -> Array:
    """weight·x̂ + bias along the channels."""
    y = x_hat if weight is None else x_hat * _along(weight, x_hat.ndim)
    return y if bias is None else y + _along(bias, x_hat.ndim)


def _with_running(x: Array, weight: Parameter, bias: Parameter, params: Params) -> Array:
    """Normalize with running statistics, and leave them as they are."""
    centre, spread = (_along(a, x.ndim) for a in (params.running_mean, params.running_var))
    y = _affine((wide(x) - centre) / jnp.sqrt(spread + params.eps), weight, bias)
    return y.astype(x.dtype)


def _updated(rows: Array, params: Params) -> List[Array]:
    """Running statistics after a step; a channel's statistics are averaged over its rows."""
    batch = (rows.mean(axis=-1), rows.var(axis=-1, ddof=1))
    return [
        (1 - params.momentum) * running + params.momentum * now.reshape(-1, running.size).mean(axis=0)
        for running, now in zip((params.running_mean, params.running_var), batch)
    ]


class Jax(Adapter):
    """JAX's arrays; the functions of METHODS are jitted, forward and backward, unless ``[jit=False]``."""

    ARRAYS = jnp
    MOMENTUM_OF_OLD = True  # that of its libraries' layers
    CHANNELS: Mapping[str, int] = FIRST
    WIDE_STATE = True
    MIXES_DTYPES = True
    TRACED: Tuple[str, ...] = ("eps", "momentum")  # the numbers that the functions take as arrays

    def __init__(self, options: Mapping[str, str], device: str = "cpu") -> None:
        """Find the device, and have compiled programs kept between runs."""
        self.options, self.device = dict(options), device
        self.jit = self.options.get("jit", "True") == "True"
        platform_name, _, index = device.partition(":")
        try:
            self._device = jax.devices(platform_name)[int(index or 0)]
        except Exception as error:
            raise UnavailableError(f"JAX has no device {device!r} here: {error}") from error
        self._x64 = bool(jax.config.jax_enable_x64)  # type: ignore[attr-defined]
        self._before = keep_programs()

    def release(self) -> None:
        """The settings are as they were."""
        for name, value in {**self._before, "jax_enable_x64": self._x64}.items():
            jax.config.update(name, value)  # type: ignore[no-untyped-call]

    def environment(self) -> Dict[str, Any]:
        """Version and settings; float64 is switched on for float64 cases only."""
        return {
            "version": jax.__version__,
            "device": self._device.platform,
            "threads": "XLA's own pool",
            "deterministic": True,
            "jit": self.jit,
            "x64": "where there is float64",
        }

    def configure(self, task: Task) -> None:
        """Without x64, JAX would turn float64 into float32 and say nothing."""
        wide = "float64" in {task.dtype, *map(task.dtype_of, task.arrays)}
        jax.config.update("jax_enable_x64", wide)  # type: ignore[no-untyped-call]

    def from_numpy(self, tagged: Tagged) -> Array:
        """A copy on the device: JAX arrays never change, so they must not share memory that may."""
        dtype, data = tagged
        array = data.view(jnp.bfloat16) if dtype == "bfloat16" else data
        return jax.device_put(array.copy(), self._device)

    def to_numpy(self, value: Any) -> Tagged:
        """The array's data, once it is computed."""
        if not isinstance(value, (jax.Array, np.ndarray, np.generic)):
            raise NotAnArrayError(f"is a {type(value).__name__}, not a jax.Array")
        return named(unmasked(value))

    def add(self, a: Array, b: Array) -> Array:
        """Rounded to the dtype: under jit XLA would keep the digits of a wider sum."""
        total = a + b
        if total.dtype.itemsize > 2:
            return total
        info = jnp.finfo(total.dtype)  # type: ignore[no-untyped-call]
        return jax.lax.reduce_precision(total, info.nexp, info.nmant)

    def take(self, array: Array, indices: List[int], axis: int) -> Array:
        """By an array of indices: JAX takes no list."""
        return array[(slice(None),) * (axis % array.ndim) + (np.array(indices),)]

    def as_function(self, value: Any) -> Callable[..., Any]:
        """A layer of flax or equinox as a function of the parameters that it holds; anything else is itself."""
        library = _library_of(value)
        function: Callable[..., Any] = value if library is None else library.as_function(value)
        return function

    def held(self, value: Any) -> Optional[List[Tuple[str, Any]]]:
        """What a layer of flax or equinox holds."""
        library = _library_of(value)
        found: Optional[List[Tuple[str, Any]]] = None if library is None else library.held(value)
        return found

    def parts_of(self, layer: Any) -> Iterable[Any]:
        """The layer, and those among its attributes."""
        found = [layer]
        for part in found:  # which grows
            inside = [value for value in vars(part).values() if _library_of(value) is not None]
            found += [value for value in inside if not any(value is each for each in found)]
        return found

    def _jits(self, function: Callable[..., Any]) -> bool:
        """A user's own function is not jitted for them, as they may or may not want that."""
        return self.jit and function in self.METHODS.values()

    def compiled(self, function: Callable[..., Any], static: Dict[str, Any]) -> Callable[..., Any]:
        """The jitted function."""
        if not self._jits(function):
            return super().compiled(function, static)
        traced, fixed = _separated(static, self.TRACED)
        jitted = _jitted(function, fixed)
        return lambda *arrays, **named: jitted(*arrays, **named, **traced)

    def differentiate(self, *call: Any) -> Differentiated:
        """jax.vjp, from y back to x, weight and bias; jitted together with the function if that is ours."""
        function, static, arrays, named, grad_y = call
        try:
            if self._jits(function):
                traced, fixed = _separated(static, self.TRACED)
                returned, found = _jitted_vjp(function, fixed)(arrays, {**named, **traced}, grad_y)
            else:
                returned, found = _vjp(functools.partial(function, **static), arrays, named, grad_y)
        except Exception as error:  # an answer about the gradients, if it can be called without them
            return self.compiled(function, static)(*arrays, **named), {}, error
        present = {name: g for name, g, a in zip(GRADIENTS, found, arrays) if a is not None}
        return returned, present, None

    def batch_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Any:
        """Normalize each channel over the batch, or with the running statistics; the statistics after it."""
        if not params.training:
            return _with_running(x, weight, bias, params)
        by_channel = jnp.moveaxis(wide(x), 1, 0)
        rows = flattened(by_channel, 1)
        x_hat = jnp.moveaxis(_standardize(rows, params.eps).reshape(by_channel.shape), 0, 1)
        return (_affine(x_hat, weight, bias).astype(x.dtype), *_updated(rows, params))

    def layer_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Array:
        """Normalize each sample over its last axes."""
        return self._over_last_axes(_standardize, x, weight, bias, params)

    def rms_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Array:
        """Divide each sample by the root mean square over its last axes."""
        return self._over_last_axes(_divide, x, weight, bias, params)

    def _over_last_axes(
        self,
        of_rows: Callable[[Array, Any], Array],
        x: Array,
        weight: Parameter,
        bias: Parameter,
        params: Params,
    ) -> Array:
        y = of_rows(flattened(wide(x), x.ndim - params.normalized_ndim), params.eps).reshape(x.shape)
        y = y if weight is None else y * wide(weight)
        y = y if bias is None else y + wide(bias)
        return y.astype(x.dtype)

    def instance_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Any:
        """Normalize each channel of each sample, or with running statistics if there are any; then those too."""
        if params.running_mean is not None and not params.training:
            return _with_running(x, weight, bias, params)
        rows = flattened(wide(x), 2)
        y = _affine(_standardize(rows, params.eps).reshape(x.shape), weight, bias).astype(x.dtype)
        return y if params.running_mean is None else (y, *_updated(rows, params))

    def takes(self, groups: List[List[int]]) -> bool:
        """All: weight and bias follow when x̂ has been put together."""
        return True

    def group_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Array:
        """Normalize each group of channels of each sample: as one array where they are equal and contiguous."""
        regular = is_regular(list(params.groups))

        def standardized(groups: List[List[int]], part: Array) -> Tuple[Array]:
            rows = flattened(part, 1)
            if regular:
                rows = rows.reshape(part.shape[0], len(groups), rows.shape[1] // len(groups))
            return (_standardize(rows, params.eps).reshape(part.shape),)

        (x_hat,) = self.by_group(standardized, list(params.groups), 1, wide(x))
        return _affine(x_hat, weight, bias).astype(x.dtype)

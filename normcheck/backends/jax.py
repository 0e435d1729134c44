"""JAX: jitted jax.numpy, as one would write a normalization without a layer library, and jax.vjp.

Half precision is computed in float32 and rounded once, at the end.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
import os
import platform
import sys
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

import jax
import jax.numpy as jnp
import numpy as np

from normcheck.backends._base import (
    GRADIENTS,
    Backend,
    Differentiated,
    Function,
    NotAnArrayError,
    Tagged,
    Task,
    UnavailableError,
    equal_contiguous,
    flattened,
    places,
    same_groups,
)

Array = Any  # jax.Array
LAYERS = {"flax.linen": "flax_linen", "flax.nnx": "flax_nnx", "equinox": "equinox"}  # and who calls them


def _cache_directory() -> Optional[str]:
    """Where compiled programs are kept: one directory for each kind of processor, as they are machine code.

    None where JAX has been told already, or nothing can be kept.
    """
    if getattr(jax.config, "jax_compilation_cache_dir", None):
        return None
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    kind = "-".join((platform.machine(), hashlib.sha256(_processor().encode()).hexdigest()[:12]))
    directory = os.path.join(home, "normcheck", "jax", kind)
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
    except OSError:
        return None
    return directory if os.access(directory, os.W_OK) else None


def _processor() -> str:
    """What tells processors apart that run different machine code."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as stream:
            lines = [line for line in stream if line.startswith(("model name", "flags", "Features"))]
    except OSError:
        lines = []
    return "".join(sorted(set(lines))) or platform.processor()


def _separated(static: Dict[str, Any], traced: Tuple[str, ...]) -> Tuple[Dict[str, Any], str]:
    """Numbers are traced, so that they cost no compilation; what shapes the program is fixed."""
    numbers = {name: value for name, value in static.items() if name in traced}
    fixed = {name: value for name, value in static.items() if name not in numbers}
    return numbers, json.dumps(fixed, sort_keys=True)


@functools.lru_cache(maxsize=None)
def _jitted(function: Function, fixed: str) -> Function:
    return jax.jit(functools.partial(function, **json.loads(fixed)))


@functools.lru_cache(maxsize=None)
def _jitted_vjp(function: Function, fixed: str) -> Function:
    return jax.jit(functools.partial(_vjp, functools.partial(function, **json.loads(fixed))))


def _vjp(function: Function, arrays: List[Any], named: Dict[str, Any], grad_y: Array) -> Tuple[Any, Any]:
    """What ``function`` returns, and the gradients of (the first of) it."""

    def first(*given: Any) -> Tuple[Any, Any]:
        returned = function(*given, **named)
        return (returned[0] if isinstance(returned, tuple) else returned), returned

    _, pull_back, returned = jax.vjp(first, *arrays, has_aux=True)
    return returned, pull_back(grad_y)


def _standardize(rows: Array, eps: Any) -> Array:
    """Rows with mean 0 and variance 1; each row, of the last axis, is one statistic set."""
    deviation = rows - rows.mean(axis=-1, keepdims=True)
    var = jnp.square(deviation).mean(axis=-1, keepdims=True)
    return deviation / jnp.sqrt(var + eps)


def wide(array: Array) -> Array:
    """Half precision in float32, in which statistics belong."""
    return array.astype(jnp.float32) if array.dtype.itemsize == 2 else array


def _along(parameter: Array, ndim: int, axis: int) -> Array:
    """A parameter of the channels in a shape that broadcasts against x."""
    return wide(parameter).reshape([-1 if axis % ndim == a else 1 for a in range(ndim)])


def _affine(x_hat: Array, weight: Optional[Array], bias: Optional[Array], axis: int) -> Array:
    """weight·x̂ + bias along the channels in ``axis``."""
    y = x_hat if weight is None else x_hat * _along(weight, x_hat.ndim, axis)
    return y if bias is None else y + _along(bias, x_hat.ndim, axis)


def _with_running(
    x: Array,
    weight: Optional[Array],
    bias: Optional[Array],
    eps: Any,
    mean: Array,
    var: Array,
    channel_axis: int,
) -> Tuple[Array, Array, Array]:
    """Normalize with running statistics, and leave them as they are."""
    centre, spread = (_along(a, x.ndim, channel_axis) for a in (mean, var))
    y = _affine((wide(x) - centre) / jnp.sqrt(spread + eps), weight, bias, channel_axis)
    return y.astype(x.dtype), mean, var


def _updated(running: Array, batch: Array, momentum: Any) -> Array:
    """Running statistics after a step; a channel's statistics are averaged over its rows."""
    now = batch.reshape(-1, running.size).mean(axis=0)
    return ((1 - momentum) * wide(running) + momentum * now).astype(running.dtype)


def in_groups(
    call: Callable[[Array, Optional[Array], Optional[Array], int], Array],
    x: Array,
    weight: Optional[Array],
    bias: Optional[Array],
    num_groups: Optional[int],
    groups: Optional[List[List[int]]],
    channel_axis: int,
) -> Array:
    """``call(x, weight, bias, number of groups)`` of a library that has equal, contiguous groups; once for
    each group where they are not, put together again.
    """
    split = same_groups({"num_groups": num_groups, "groups": groups}, x.shape[channel_axis])
    if equal_contiguous(split):
        return call(x, weight, bias, len(split))

    def taken(array: Optional[Array], group: List[int], axis: int = 0) -> Optional[Array]:
        return None if array is None else jnp.take(array, np.array(group), axis=axis)

    parts = [
        call(taken(x, group, channel_axis), taken(weight, group), taken(bias, group), 1) for group in split
    ]
    return taken(jnp.concatenate(parts, axis=channel_axis), places(split), channel_axis)


def unbiased(after: Array, before: Array, momentum: float, x: Array) -> Array:
    """The running variance of the unbiased batch variance, from a library's that takes the biased one.

    ``after`` is (1-m)·before + m·var; to it comes m·var/(n-1), which is what it has moved, divided by n-1.
    """
    n = x.size // before.size
    return after + (after - (1 - momentum) * wide(before)) / (n - 1)


def load(tree: Any, names: Tuple[str, ...], given: Optional[Array], neutral: float, dtype: Any) -> Any:
    """``tree``, of a library's layer, with ``given`` for its one leaf that has one of ``names``.

    A leaf that nothing is given for is ``neutral``.
    """
    paths, structure = jax.tree_util.tree_flatten_with_path(tree)
    leaves = [leaf for _, leaf in paths]
    own = [i for i, (path, _) in enumerate(paths) if path and _name(path[-1]) in names]
    if not own and given is None:
        return tree
    if len(own) != 1:
        called = " or ".join(names)
        raise TypeError(f"the layer has {len(own)} parameters called {called} to load the fixture's into")
    (at,) = own
    if given is not None and leaves[at].shape == (given.size,):
        given = given.reshape(-1)  # flax.nnx has those of several axes in one
    if given is not None and given.shape != leaves[at].shape:
        shapes = f"{leaves[at].shape}, the fixture's has {given.shape}"
        raise TypeError(f"the layer's {_name(paths[at][0][-1])} has shape {shapes}")
    leaves[at] = jnp.full_like(leaves[at], neutral, dtype=dtype) if given is None else given
    return jax.tree_util.tree_unflatten(structure, leaves)


def leaf(tree: Any, name: str) -> Array:
    """The one leaf of ``tree`` that is called ``name``."""
    paths, _ = jax.tree_util.tree_flatten_with_path(tree)
    (found,) = [value for path, value in paths if _name(path[-1]) == name]
    return found


def _name(key: Any) -> Any:
    """What a dictionary or an object calls the child that ``key`` leads to."""
    return getattr(key, "key", getattr(key, "name", None))


def batch_norm(
    x: Array,
    weight: Optional[Array],
    bias: Optional[Array],
    *,
    eps: Any,
    running_mean: Array,
    running_var: Array,
    training: bool,
    momentum: Any,
    channel_axis: int = 1,
) -> Tuple[Array, Array, Array]:
    """Normalize each channel over the batch, or with the running statistics; the statistics after it."""
    if not training:
        return _with_running(x, weight, bias, eps, running_mean, running_var, channel_axis)
    by_channel = jnp.moveaxis(wide(x), channel_axis, 0)
    rows = flattened(by_channel, 1)
    x_hat = jnp.moveaxis(_standardize(rows, eps).reshape(by_channel.shape), 0, channel_axis)
    y = _affine(x_hat, weight, bias, channel_axis).astype(x.dtype)
    mean = _updated(running_mean, rows.mean(axis=-1), momentum)
    return y, mean, _updated(running_var, rows.var(axis=-1, ddof=1), momentum)


def layer_norm(
    x: Array, weight: Optional[Array], bias: Optional[Array], *, eps: Any, normalized_ndim: int
) -> Array:
    """Normalize each sample over its last ``normalized_ndim`` axes."""
    rows = flattened(wide(x), x.ndim - normalized_ndim)
    y = _standardize(rows, eps).reshape(x.shape)
    y = y if weight is None else y * wide(weight)
    y = y if bias is None else y + wide(bias)
    return y.astype(x.dtype)


def instance_norm(
    x: Array,
    weight: Optional[Array],
    bias: Optional[Array],
    *,
    eps: Any,
    running_mean: Optional[Array] = None,
    running_var: Optional[Array] = None,
    training: bool = True,
    momentum: Any = 0.0,
    channel_axis: int = 1,
) -> Any:
    """Normalize each channel of each sample, or with running statistics if there are any; then those too."""
    if running_mean is not None and running_var is not None and not training:
        return _with_running(x, weight, bias, eps, running_mean, running_var, channel_axis)
    by_sample = jnp.moveaxis(wide(x), channel_axis, 1)
    rows = flattened(by_sample, 2)
    x_hat = jnp.moveaxis(_standardize(rows, eps).reshape(by_sample.shape), 1, channel_axis)
    y = _affine(x_hat, weight, bias, channel_axis).astype(x.dtype)
    if running_mean is None or running_var is None:
        return y
    mean = _updated(running_mean, rows.mean(axis=-1), momentum)
    return y, mean, _updated(running_var, rows.var(axis=-1, ddof=1), momentum)


def group_norm(
    x: Array,
    weight: Optional[Array],
    bias: Optional[Array],
    *,
    eps: Any,
    num_groups: Optional[int] = None,
    groups: Optional[List[List[int]]] = None,
    channel_axis: int = 1,
) -> Array:
    """Normalize each group of channels of each sample: as one array where they are equal and contiguous."""
    by_sample = jnp.moveaxis(wide(x), channel_axis, 1)
    batch, channels = by_sample.shape[:2]
    if num_groups is not None:
        grouped = by_sample.reshape(batch, num_groups, channels // num_groups, *by_sample.shape[2:])
        x_hat = _standardize(flattened(grouped, 2), eps).reshape(by_sample.shape)
    else:
        split = same_groups({"groups": groups}, channels)
        parts = [by_sample[:, np.array(group)] for group in split]
        parts = [_standardize(flattened(part, 1), eps).reshape(part.shape) for part in parts]
        x_hat = jnp.concatenate(parts, axis=1)[:, np.array(places(split))]
    y = _affine(jnp.moveaxis(x_hat, 1, channel_axis), weight, bias, channel_axis)
    return y.astype(x.dtype)


METHODS: Dict[str, Function] = {
    "batch": batch_norm,
    "layer": layer_norm,
    "instance": instance_norm,
    "group": group_norm,
}


class Jax(Backend):
    """JAX's arrays; the functions of METHODS are jitted, forward and backward, unless ``[jit=False]``."""

    METHODS: Mapping[str, Function] = METHODS
    TRACED: Tuple[str, ...] = ("eps", "momentum")  # the numbers that the functions take as arrays

    def __init__(self, options: Mapping[str, str], device: str = "cpu") -> None:
        """Compiled programs are kept between runs by JAX's own persistent cache: compiling is nearly all that
        the cases cost.
        """
        self.options, self.device = dict(options), device
        self.jit = self.options.get("jit", "True") == "True"
        platform_name, _, index = device.partition(":")
        try:
            self._device = jax.devices(platform_name)[int(index or 0)]
        except Exception as error:
            raise UnavailableError(f"JAX has no device {device!r} here: {error}") from error
        cache = _cache_directory()
        if cache is not None:
            for name, value in (
                ("jax_compilation_cache_dir", cache),
                ("jax_persistent_cache_min_compile_time_secs", 0),
                ("jax_persistent_cache_min_entry_size_bytes", -1),
            ):
                jax.config.update(name, value)  # type: ignore[no-untyped-call]

    def environment(self) -> Dict[str, Any]:
        """Version and settings; float64 is switched on for float64 cases only."""
        return {
            "version": jax.__version__,
            "device": self._device.platform,
            "threads": "XLA's own pool",
            "deterministic": True,
            "jit": self.jit,
            "x64": "float64 cases only",
        }

    def configure(self, task: Task) -> None:
        """Without x64, JAX would turn float64 into float32 and say nothing."""
        jax.config.update("jax_enable_x64", task.dtype == "float64")  # type: ignore[no-untyped-call]

    def from_numpy(self, tagged: Tagged) -> Array:
        """A copy on the device: JAX arrays never change, so they must not share memory that may."""
        dtype, data = tagged
        array = data.view(jnp.bfloat16) if dtype == "bfloat16" else data
        return jax.device_put(array.copy(), self._device)

    def to_numpy(self, value: Any) -> Tagged:
        """The array's data, once it is computed."""
        if not isinstance(value, (jax.Array, np.ndarray, np.generic)):
            raise NotAnArrayError(f"is a {type(value).__name__}, not a jax.Array")
        array = np.asarray(value)
        if array.dtype.name == "bfloat16":
            return "bfloat16", array.view(np.uint16)
        return array.dtype.name, array

    def as_function(self, value: Any) -> Function:
        """A layer of flax or equinox as a function of the parameters that it holds; anything else is itself.

        There is no layer of a library that nobody has imported.
        """
        for library, module in LAYERS.items():
            imported = sys.modules.get(library)
            if imported is not None and isinstance(value, imported.Module):
                adapter = importlib.import_module(f"normcheck.backends.{module}")
                function: Function = adapter.as_function(value)
                return function
        return super().as_function(value)

    def _jits(self, function: Function) -> bool:
        """A user's own function is not jitted for them, as they may or may not want that."""
        return self.jit and function in self.METHODS.values()

    def compiled(self, function: Function, static: Dict[str, Any]) -> Function:
        """The jitted function."""
        if not self._jits(function):
            return super().compiled(function, static)
        traced, fixed = _separated(static, self.TRACED)
        jitted = _jitted(function, fixed)
        return lambda *arrays, **named: jitted(*arrays, **named, **traced)

    def differentiate(
        self,
        function: Function,
        static: Dict[str, Any],
        arrays: List[Any],
        named: Dict[str, Any],
        grad_y: Array,
    ) -> Differentiated:
        """jax.vjp, from y back to x, weight and bias; jitted together with the function if that is ours."""
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

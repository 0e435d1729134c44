"""Keras 3: its layers, and the user's, on one of its backends: JAX, PyTorch, NumPy or TensorFlow.

Arrays, their way from and to NumPy and gradients are those of the framework under Keras, by that framework's own
adapter. Layers are called as ``layer(x)``, not compiled, and get all their variables by keras.StatelessScope.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import math
import os
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple

import numpy as np

from normcheck.backends._adapter import Adapter, LayerFunction, Params
from normcheck.backends._base import Backend, Differentiated, Function, Tagged, Task, UnavailableError
from normcheck.backends._names import OURS

Array = Any  # of the framework under Keras
Parameter = Optional[Array]
Layer = Any  # keras.Layer
FRAMEWORKS = {
    "jax": "jax:Jax",
    "torch": "torch:Torch",
    "numpy": "numpy:NumPy",
    "tensorflow": "tensorflow:TensorFlow",
}
NEUTRAL = {"weight": 1.0, "bias": 0.0}


def _stateless(
    keras: Any, layer: Layer, x: Array, values: Mapping[str, Optional[Array]], **call: Any
) -> Tuple[Array, Dict[str, Array]]:
    """Call the built ``layer`` with ``values`` for its variables, by our names; y, and the variables after it."""
    mapping = []
    for name, given in values.items():
        own = [variable for variable in layer.variables if OURS.get(variable.name) == name]
        if not own and given is None:
            continue
        if len(own) != 1:
            raise TypeError(f"the layer has {len(own)} variables called {name} to load the fixture's into")
        value = keras.ops.full(own[0].shape, NEUTRAL[name], own[0].dtype) if given is None else given
        if tuple(own[0].shape) != tuple(value.shape):
            shapes = f"{tuple(own[0].shape)}, the fixture's has {tuple(value.shape)}"
            raise TypeError(f"the layer's {name} has shape {shapes}")
        mapping.append((own[0], value))
    with keras.StatelessScope(state_mapping=mapping) as scope:
        y = layer(x, **call)
    return y, {OURS[variable.name]: scope.get_current_value(variable) for variable, _ in mapping}


def _stateful(
    keras: Any, layer: Layer, x: Array, parameters: Mapping[str, Parameter], params: Params
) -> Tuple[Array, Array, Array]:
    """Call the built ``layer`` with moving statistics; y, and the running statistics after it.

    Keras's moving variance takes the biased variance of the batch, the canonical one the unbiased, n/(n-1) of it:
    for a training step the layer gets the old one by n/(n-1), and what it makes of it is multiplied by as much.
    """
    running_mean, running_var = params.running_mean, params.running_var
    n = math.prod(x.shape) // running_var.shape[0]
    unbiased = n / (n - 1) if params.training else 1.0
    cast = keras.ops.cast
    moving = {
        "running_mean": cast(running_mean, layer.variable_dtype),
        "running_var": cast(running_var, layer.variable_dtype) / unbiased,
    }
    y, after = _stateless(keras, layer, x, {**parameters, **moving}, training=params.training)
    mean, var = after["running_mean"], after["running_var"] * unbiased
    return y, cast(mean, running_mean.dtype), cast(var, running_var.dtype)


def _called(keras: Any, layer: Layer, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Any:
    """Call a user's layer; its axis, epsilon, groups, momentum and dtype policy are those that it was made with.

    Fixtures have channels first, or where they say: x is moved so that they are last if the layer's ``axis`` is the
    last one, Keras's default, or it has none; they are first if its axis is 1. y is moved back. Layer norm's x stays
    as it is, the last axes are the layer's. The fixture's weight and bias go into the one variable called gamma and
    the one called beta, its running statistics into moving_mean and moving_variance, which is the biased one as
    Keras's is. A layer that is not built is built anew for each case.
    """
    axis = getattr(layer, "axis", -1)
    theirs = axis if isinstance(axis, int) else -1
    ours = theirs if params.normalized_ndim else params.channel_axis
    moved = keras.ops.moveaxis(x, ours, theirs)
    if not layer.built:  # by a call without data
        with contextlib.suppress(
            NotImplementedError, TypeError
        ):  # it cannot be copied: it is for this x alone
            layer = type(layer).from_config(layer.get_config())
        layer(keras.KerasTensor(tuple(moved.shape), moved.dtype))
    parameters = {"weight": weight, "bias": bias}
    if params.running_mean is None or not _tracks(layer):
        y, _ = _stateless(keras, layer, moved, parameters, training=params.training)
        return keras.ops.moveaxis(y, theirs, ours)
    y, *state = _stateful(keras, layer, moved, parameters, params)
    return (keras.ops.moveaxis(y, theirs, ours), *state)


def _tracks(layer: Layer) -> bool:
    return {"running_mean", "running_var"} <= {OURS.get(variable.name) for variable in layer.variables}


class Keras(Adapter):
    """Keras's layers on the framework that ``[backend=…]`` names."""

    TRACKED = ("batch",)
    NO_BIAS = ("rms",)
    MOMENTUM_OF_OLD = True

    def __init__(self, options: Mapping[str, str], device: str = "cpu") -> None:
        """Keras reads KERAS_BACKEND once, when it is imported."""
        self.options, self.device = dict(options), device
        under = self.options.get("backend", "jax")
        os.environ["KERAS_BACKEND"] = under  # before TensorFlow imports Keras
        module, _, adapter = FRAMEWORKS[under].partition(":")
        framework = importlib.import_module(f"normcheck.backends.{module}")
        self._framework: Backend = getattr(framework, adapter)({"jit": "False"}, device)
        self._keras: Any = importlib.import_module("keras")
        if self._keras.backend.backend() != under:
            raise UnavailableError(f"Keras runs on {self._keras.backend.backend()} already, not on {under}")
        self.DIFFERENTIATES = under != "numpy"

    def environment(self) -> Dict[str, Any]:
        """Keras's version, and the version and settings of the framework under it."""
        below = self._framework.environment()
        backend = f"{self._keras.backend.backend()} {below['version']}"
        return {**below, "version": self._keras.__version__, "backend": backend}

    def configure(self, task: Task) -> None:
        """As the framework needs it."""
        self._framework.configure(task)

    def from_numpy(self, tagged: Tagged) -> Array:
        """An array of the framework."""
        return self._framework.from_numpy(tagged)

    def to_numpy(self, value: Any) -> Tagged:
        """The data of an array of the framework."""
        return self._framework.to_numpy(value)

    def as_function(self, value: Any) -> Function:
        """A keras.Layer as a function of the variables that it holds; anything else as the framework has it."""
        if isinstance(value, self._keras.Layer):
            return LayerFunction(value, functools.partial(_called, self._keras))
        return self._framework.as_function(value)

    def held(self, value: Any) -> Optional[List[Tuple[str, Any]]]:
        """The variables of a keras.Layer: as far as it says, where it is not built."""
        if not isinstance(value, self._keras.Layer):
            return None
        if value.built:
            return [(variable.name, variable.value) for variable in value.variables]
        scale, center = getattr(value, "scale", True), getattr(value, "center", True)
        has_bias = center and not isinstance(value, self._keras.layers.RMSNormalization)
        names = ["gamma"] * bool(scale) + ["beta"] * bool(has_bias) + ["moving_mean", "moving_variance"]
        return [(name, None) for name in names]

    def parts_of(self, layer: Any) -> Iterable[Any]:
        """The layer and its sublayers."""
        layers: Iterable[Any] = layer._flatten_layers()
        return layers

    def compiled(self, function: Function, static: Dict[str, Any]) -> Function:
        """The function as it is, on the device, which Keras would choose by itself."""
        called = self._framework.compiled(function, static)

        def on_device(*arrays: Any, **named: Any) -> Any:
            with self._keras.device(self.device):
                return called(*arrays, **named)

        return on_device

    def differentiate(self, *call: Any) -> Differentiated:
        """The framework's own differentiation."""
        with self._keras.device(self.device):
            return self._framework.differentiate(*call)

    def wide(self, array: Array) -> Array:
        """In float32 if it is of half precision."""
        half = self._keras.backend.standardize_dtype(array.dtype) in ("float16", "bfloat16")
        return self._keras.ops.cast(array, "float32") if half else array

    def cast(self, array: Array, like: Array) -> Array:
        """In the dtype of ``like``."""
        return self._keras.ops.cast(array, like.dtype)

    def moveaxis(self, array: Array, source: int, target: int) -> Array:
        """keras.ops.moveaxis."""
        return self._keras.ops.moveaxis(array, source, target)

    def take(self, array: Array, indices: List[int], axis: int) -> Array:
        """keras.ops.take."""
        return self._keras.ops.take(array, np.array(indices), axis=axis)

    def concatenate(self, arrays: List[Array], axis: int) -> Array:
        """keras.ops.concatenate."""
        return self._keras.ops.concatenate(arrays, axis=axis)

    def batch_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Any:
        """``keras.layers.BatchNormalization``; its momentum is the old value's weight.

        Its variables are float32 in half precision, as in Keras's mixed policies, so that the moving statistics
        are rounded once, after their translation.
        """
        layer = self._keras.layers.BatchNormalization(
            axis=params.channel_axis,
            momentum=1 - params.momentum,
            epsilon=params.eps,
            center=bias is not None,
            scale=weight is not None,
            renorm=False,
            synchronized=False,
            dtype=self._policy(x, x.dtype, wide=True),
        )
        layer.build(tuple(x.shape))
        return _stateful(self._keras, layer, x, {"weight": weight, "bias": bias}, params)

    def layer_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Array:
        """``keras.layers.LayerNormalization``."""
        how = {"axis": list(range(x.ndim - params.normalized_ndim, x.ndim)), "epsilon": params.eps}
        return self._affine(self._keras.layers.LayerNormalization, x, weight, bias, **how)

    def rms_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Array:
        """``keras.layers.RMSNormalization``, which always has a scale."""
        layer = self._keras.layers.RMSNormalization(
            axis=list(range(x.ndim - params.normalized_ndim, x.ndim)),
            epsilon=params.eps,
            dtype=self._policy(x, x.dtype if weight is None else weight.dtype),
        )
        layer.build(tuple(x.shape))
        return _stateless(self._keras, layer, x, {"weight": weight})[0]

    def instance_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Array:
        """``keras.layers.GroupNormalization`` with groups=-1, which is Keras's instance norm."""
        return self._groups(-1, x, weight, bias, params)

    def group_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Array:
        """``keras.layers.GroupNormalization``."""
        return self._groups(len(params.groups), x, weight, bias, params)

    def _groups(self, number: int, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Array:
        how = {"groups": number, "axis": params.channel_axis, "epsilon": params.eps}
        return self._affine(self._keras.layers.GroupNormalization, x, weight, bias, **how)

    def _affine(self, kind: Any, x: Array, weight: Parameter, bias: Parameter, **how: Any) -> Array:
        """Build a layer of a kind that has no state but weight and bias, and call it."""
        (held,) = {p.dtype for p in (weight, bias) if p is not None} or {x.dtype}
        affine = {"center": bias is not None, "scale": weight is not None}
        layer = kind(**how, **affine, dtype=self._policy(x, held))
        layer.build(tuple(x.shape))
        return _stateless(self._keras, layer, x, {"weight": weight, "bias": bias})[0]

    def _policy(self, x: Array, held: Any, wide: bool = False) -> Any:
        """The dtype policy that computes in the dtype of x and holds variables in the dtype ``held``.

        Half precision variables are ``wide`` in float32, which is what Keras's mixed policies are for.
        """
        computed, held = map(self._keras.backend.standardize_dtype, (x.dtype, held))
        mixed = held != computed or (wide and computed in ("float16", "bfloat16"))
        return self._keras.DTypePolicy(f"mixed_{computed}" if mixed else computed)

"""TensorFlow: tf.nn.moments and tf.nn.batch_normalization, which tf.nn has for normalization, and tf.GradientTape.

The statistics are those of tf.nn.moments over the axes that share them. Running averages are not TensorFlow's part
(they are Keras's): they are kept here as tf.nn.batch_normalization expects them, of the unbiased batch variance.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import tensorflow as tf  # type: ignore[import-untyped]

from normcheck.backends._base import (
    GRADIENTS,
    Backend,
    Differentiated,
    Function,
    NotAnArrayError,
    Tagged,
    UnavailableError,
    equal_contiguous,
    places,
    same_groups,
)

Tensor = Any  # tf.Tensor


def _along(parameter: Optional[Tensor], ndim: int, axis: int) -> Optional[Tensor]:
    """A parameter of the channels in a shape that broadcasts against x."""
    if parameter is None:
        return None
    return tf.reshape(parameter, [-1 if axis % ndim == a else 1 for a in range(ndim)])


def _normalized(
    x: Tensor, axes: Sequence[int], weight: Optional[Tensor], bias: Optional[Tensor], eps: float
) -> Tensor:
    """Normalize x over ``axes``; weight and bias broadcast against it."""
    mean, variance = tf.nn.moments(x, axes, keepdims=True)
    return _scaled(x, mean, variance, weight, bias, eps)


def _scaled(
    x: Tensor, mean: Tensor, variance: Tensor, weight: Optional[Tensor], bias: Optional[Tensor], eps: float
) -> Tensor:
    """``tf.nn.batch_normalization``, which wants mean, variance, scale and offset in one dtype, and x in any."""
    for parameter in (weight, bias):
        if parameter is not None:
            mean, variance = (tf.cast(a, parameter.dtype) for a in (mean, variance))
    return tf.nn.batch_normalization(x, mean, variance, offset=bias, scale=weight, variance_epsilon=eps)


def batch_norm(
    x: Tensor,
    weight: Optional[Tensor],
    bias: Optional[Tensor],
    *,
    eps: float,
    running_mean: Tensor,
    running_var: Tensor,
    training: bool,
    momentum: float,
    channel_axis: int = 1,
) -> Tuple[Tensor, Tensor, Tensor]:
    """Normalize over all axes but the channels', or with the running statistics; the statistics after it."""
    scale, offset = (_along(parameter, x.ndim, channel_axis) for parameter in (weight, bias))
    if not training:
        mean, variance = (_along(a, x.ndim, channel_axis) for a in (running_mean, running_var))
        return _scaled(x, mean, variance, scale, offset, eps), running_mean, running_var
    axes = [axis for axis in range(x.ndim) if axis != channel_axis % x.ndim]
    y = _normalized(x, axes, scale, offset, eps)
    mean, variance = tf.nn.moments(x, axes)
    n = x.shape.num_elements() // x.shape[channel_axis]
    unbiased = tf.cast(variance, _wide(running_var)) * (n / (n - 1))
    return y, _updated(running_mean, mean, momentum), _updated(running_var, unbiased, momentum)


def _wide(running: Tensor) -> Any:
    """The dtype to average in: half precision in float32, rounded once."""
    return tf.float32 if running.dtype.size == 2 else running.dtype


def _updated(running: Tensor, batch: Tensor, momentum: float) -> Tensor:
    dtype = _wide(running)
    now = (1 - momentum) * tf.cast(running, dtype) + momentum * tf.cast(batch, dtype)
    return tf.cast(now, running.dtype)


def layer_norm(
    x: Tensor, weight: Optional[Tensor], bias: Optional[Tensor], *, eps: float, normalized_ndim: int
) -> Tensor:
    """Normalize over the last ``normalized_ndim`` axes."""
    return _normalized(x, range(x.ndim - normalized_ndim, x.ndim), weight, bias, eps)


def instance_norm(
    x: Tensor, weight: Optional[Tensor], bias: Optional[Tensor], *, eps: float, channel_axis: int = 1
) -> Tensor:
    """Normalize over all axes but the samples' and the channels'."""
    axes = [axis for axis in range(1, x.ndim) if axis != channel_axis % x.ndim]
    scale, offset = (_along(parameter, x.ndim, channel_axis) for parameter in (weight, bias))
    return _normalized(x, axes, scale, offset, eps)


def group_norm(
    x: Tensor,
    weight: Optional[Tensor],
    bias: Optional[Tensor],
    *,
    eps: float,
    num_groups: Optional[int] = None,
    groups: Optional[List[List[int]]] = None,
    channel_axis: int = 1,
) -> Tensor:
    """Normalize each group of channels over all axes but the samples': in one call where the groups are equal
    and contiguous, else one call for each, put together.
    """
    axis, channels = channel_axis % x.ndim, x.shape[channel_axis]
    split = same_groups({"num_groups": num_groups, "groups": groups}, channels)
    scale, offset = (_along(parameter, x.ndim, axis) for parameter in (weight, bias))
    if equal_contiguous(split):
        sizes = (len(split), channels // len(split))
        grouped = [
            None if a is None else tf.reshape(a, [*a.shape[:axis], *sizes, *a.shape[axis + 1 :]])
            for a in (x, scale, offset)
        ]
        axes = [each for each in range(1, x.ndim + 1) if each != axis]
        return tf.reshape(_normalized(grouped[0], axes, grouped[1], grouped[2], eps), x.shape)
    parts = []
    for group in split:
        taken = [None if a is None else tf.gather(a, group, axis=axis) for a in (x, scale, offset)]
        parts.append(_normalized(taken[0], range(1, x.ndim), taken[1], taken[2], eps))
    return tf.gather(tf.concat(parts, axis=axis), places(split), axis=axis)


METHODS: Dict[str, Function] = {
    "batch": batch_norm,
    "layer": layer_norm,
    "instance": instance_norm,
    "group": group_norm,
}


class TensorFlow(Backend):
    """TensorFlow's tensors, run eagerly, and tf.GradientTape."""

    METHODS = METHODS
    TRACKED = ("batch",)

    def __init__(self, options: Mapping[str, str], device: str = "cpu") -> None:
        """One thread and deterministic kernels, so that sums do not depend on the number of cores."""
        self.options, self.device = dict(options), device
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        tf.config.experimental.enable_op_determinism()
        tf.config.experimental.enable_tensor_float_32_execution(False)
        try:
            with tf.device(device):
                placed = tf.zeros(1)
        except Exception as error:  # ValueError, RuntimeError, InvalidArgumentError: it depends on the device
            raise UnavailableError(f"TensorFlow has no device {device!r} here: {error}") from error
        wanted = device.partition(":")[0].upper()
        if wanted not in placed.device.upper():  # TensorFlow may place it elsewhere and say nothing
            raise UnavailableError(f"TensorFlow has no device {device!r} here: it takes {placed.device}")

    def environment(self) -> Dict[str, Any]:
        """Version and settings."""
        return {
            "version": tf.__version__,
            "device": self.device,
            "threads": tf.config.threading.get_intra_op_parallelism_threads(),
            "deterministic": True,
            "tf32": tf.config.experimental.tensor_float_32_execution_enabled(),
        }

    def from_numpy(self, tagged: Tagged) -> Tensor:
        """A tensor on the device."""
        dtype, data = tagged
        with tf.device(self.device):
            return tf.constant(data.view(tf.bfloat16.as_numpy_dtype) if dtype == "bfloat16" else data)

    def to_numpy(self, value: Any) -> Tagged:
        """The tensor's data; bfloat16 as 16-bit integers."""
        if not isinstance(value, (tf.Tensor, tf.Variable)):
            raise NotAnArrayError(f"is a {type(value).__name__}, not a tf.Tensor")
        array = value.numpy()
        name = array.dtype.name
        return name, array.view(np.uint16) if name == "bfloat16" else array

    def compiled(self, function: Function, static: Dict[str, Any]) -> Function:
        """``function`` of arrays alone, on the device."""
        called = super().compiled(function, static)

        def on_device(*arrays: Any, **named: Any) -> Any:
            with tf.device(self.device):
                return called(*arrays, **named)

        return on_device

    def differentiate(
        self,
        function: Function,
        static: Dict[str, Any],
        arrays: List[Any],
        named: Dict[str, Any],
        grad_y: Tensor,
    ) -> Differentiated:
        """tf.GradientTape, from y back to x, weight and bias."""
        sources = {name: array for name, array in zip(GRADIENTS, arrays) if array is not None}
        with tf.GradientTape() as tape:
            tape.watch(list(sources.values()))
            returned = self.compiled(function, static)(*arrays, **named)
        y = returned[0] if isinstance(returned, tuple) and returned else returned
        try:
            found = tape.gradient(y, sources, output_gradients=grad_y)
        except Exception as error:  # whatever the user's gradient raises is an answer about the gradients
            return returned, {}, error
        # The gradient of what was gathered from is a tf.IndexedSlices: its sums make it an array.
        return returned, {n: None if g is None else tf.convert_to_tensor(g) for n, g in found.items()}, None

"""TensorFlow: tf.nn.moments and tf.nn.batch_normalization, which tf.nn has for normalization, and tf.GradientTape.

The statistics are those of tf.nn.moments over the axes that share them. Running averages are not TensorFlow's part
(they are Keras's): they are kept here as tf.nn.batch_normalization expects them, of the unbiased batch variance.
"""

from __future__ import annotations

import contextlib
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import tensorflow as tf  # type: ignore[import-untyped]

from normcheck.backends._adapter import Params, Taped
from normcheck.backends._base import Function, NotAnArrayError, Tagged, UnavailableError, named

Tensor = Any  # tf.Tensor
Parameter = Optional[Tensor]


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


class TensorFlow(Taped):
    """TensorFlow's tensors, run eagerly, and tf.GradientTape."""

    TRACKED = ("batch",)
    WIDE_STATE = True

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
        return named(value.numpy())

    def compiled(self, function: Function, static: Dict[str, Any]) -> Function:
        """``function`` of arrays alone, on the device."""
        called = super().compiled(function, static)

        def on_device(*arrays: Any, **named: Any) -> Any:
            with tf.device(self.device):
                return called(*arrays, **named)

        return on_device

    def take(self, array: Tensor, indices: List[int], axis: int) -> Tensor:
        """tf.gather."""
        return tf.gather(array, indices, axis=axis)

    def concatenate(self, arrays: List[Tensor], axis: int) -> Tensor:
        """tf.concat."""
        return tf.concat(arrays, axis=axis)

    def moveaxis(self, array: Tensor, source: int, target: int) -> Tensor:
        """tf.transpose."""
        axes = list(range(len(array.shape)))
        axes.insert(target % len(axes), axes.pop(source))
        return tf.transpose(array, axes)

    def reshape(self, array: Tensor, shape: Tuple[int, ...]) -> Tensor:
        """tf.reshape."""
        return tf.reshape(array, shape)

    def wide(self, array: Tensor) -> Tensor:
        """Half precision in float32."""
        return tf.cast(array, tf.float32) if array.dtype.size == 2 else array

    def cast(self, array: Tensor, like: Tensor) -> Tensor:
        """tf.cast."""
        return tf.cast(array, like.dtype)

    @contextlib.contextmanager
    def recording(self, leaves: List[Tensor]) -> Iterator[Any]:
        """A tape that watches the leaves."""
        with tf.GradientTape() as tape:
            tape.watch(leaves)
            yield tape

    def pulled_back(self, tape: Any, y: Tensor, leaves: List[Tensor], grad_y: Tensor) -> Any:
        """What the tape says; the gradient of what was gathered from is a tf.IndexedSlices, whose sums are an array."""
        found = tape.gradient(y, leaves, output_gradients=grad_y)
        return [None if gradient is None else tf.convert_to_tensor(gradient) for gradient in found]

    def batch_norm(self, x: Tensor, weight: Parameter, bias: Parameter, params: Params) -> Any:
        """Normalize over all axes but the channels', or with the running statistics; the statistics after it."""
        axis = params.channel_axis % x.ndim
        scale, offset = (_along(parameter, x.ndim, axis) for parameter in (weight, bias))
        running = (params.running_mean, params.running_var)
        if not params.training:
            mean, variance = (_along(a, x.ndim, axis) for a in running)
            return _scaled(x, mean, variance, scale, offset, params.eps)
        axes = [each for each in range(x.ndim) if each != axis]
        y = _normalized(x, axes, scale, offset, params.eps)
        mean, variance = (tf.cast(a, old.dtype) for a, old in zip(tf.nn.moments(x, axes), running))
        n = x.shape.num_elements() // x.shape[axis]
        new = zip(running, (mean, variance * (n / (n - 1))))
        return (y, *((1 - params.momentum) * old + params.momentum * now for old, now in new))

    def layer_norm(self, x: Tensor, weight: Parameter, bias: Parameter, params: Params) -> Tensor:
        """Normalize over the last axes."""
        return _normalized(x, range(x.ndim - params.normalized_ndim, x.ndim), weight, bias, params.eps)

    def instance_norm(self, x: Tensor, weight: Parameter, bias: Parameter, params: Params) -> Tensor:
        """Normalize over all axes but the samples' and the channels'."""
        axis = params.channel_axis % x.ndim
        axes = [each for each in range(1, x.ndim) if each != axis]
        scale, offset = (_along(parameter, x.ndim, axis) for parameter in (weight, bias))
        return _normalized(x, axes, scale, offset, params.eps)

    def group_norm(self, x: Tensor, weight: Parameter, bias: Parameter, params: Params) -> Tensor:
        """Normalize each group of channels over all axes but the samples', in one call."""
        axis = params.channel_axis % x.ndim
        arrays = [x, *(_along(parameter, x.ndim, axis) for parameter in (weight, bias))]
        axes, number = list(range(1, x.ndim)), len(params.groups)
        if number > 1:
            sizes = (number, x.shape[axis] // number)
            arrays = [
                None if a is None else tf.reshape(a, [*a.shape[:axis], *sizes, *a.shape[axis + 1 :]])
                for a in arrays
            ]
            axes = [each for each in range(1, x.ndim + 1) if each != axis]
        return tf.reshape(_normalized(arrays[0], axes, arrays[1], arrays[2], params.eps), x.shape)

"""What a user's layer object says of itself: its eps, groups, shape and arrays.

A layer brings these along. A case that has others cannot be put to it, and that is said in words: its numbers would be
right for another case.
"""

from __future__ import annotations

import math
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from normcheck.backends._base import PARAMETERS, Backend, Tagged, Task, as_channel_lists, is_regular
from normcheck.backends._names import DEFAULT_EPS, OURS, SPELLINGS

CHANNELS = ("num_channels", "num_features", "channels")
SHAPES = ("normalized_shape", "shape")
AXES = ("normalized_axes", "reduction_axes", "axis")


class Layer(NamedTuple):
    """What is not known of a layer is None, or not there; ``ndims`` are those of the x that it takes, if it minds."""

    eps: Mapping[str, float]  # by dtype
    momentum: Optional[float]  # the weight of the batch's statistics
    num_groups: Optional[int]
    normalized_axes: Optional[Tuple[int, ...]]
    normalized_shape: Optional[Tuple[int, ...]]
    channels: Optional[int]
    ndims: Tuple[int, ...]
    holds: Tuple[str, ...]  # of PARAMETERS
    arrays: Mapping[str, Tagged]  # those of ``holds`` that are made already

    def described(self) -> Dict[str, Any]:
        """All but the arrays, as plain data."""
        said = {name: value for name, value in self._asdict().items() if name != "arrays"}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in said.items()}

    def refuses(self, task: Task, shape: Tuple[int, ...]) -> Optional[str]:
        """Why the layer is not for ``task`` on an x of ``shape``; None where it is."""
        refusals = (
            self._array_refused(task),
            self._state_refused(task),
            self._eps_refused(task),
            self._ndim_refused(shape),
            self._groups_refused(task, shape),
            self._shape_refused(task, shape),
            self._momentum_refused(task),
        )
        return next((refusal for refusal in refusals if refusal is not None), None)

    def _array_refused(self, task: Task) -> Optional[str]:
        for name in ("weight", "bias"):
            if name in task.arrays and name not in self.holds:
                return f"the layer has no {name}, and this case has one"
        return None

    def _state_refused(self, task: Task) -> Optional[str]:
        if task.tracks and task.mode == "eval" and "running_mean" not in self.holds:
            return "the layer keeps no running statistics, so it has no eval mode"
        return None

    def _eps_refused(self, task: Task) -> Optional[str]:
        asked = task.params["eps"]
        if task.dtype not in self.eps:
            return (
                None if asked == DEFAULT_EPS else f"the layer says no eps, and that of this case is {asked:g}"
            )
        own = self.eps[task.dtype]
        return None if own == asked else f"the layer's eps is {own:g}, and that of this case is {asked:g}"

    def _ndim_refused(self, shape: Tuple[int, ...]) -> Optional[str]:
        if not self.ndims or len(shape) in self.ndims:
            return None
        takes = " or ".join(map(str, self.ndims))
        return f"the layer takes an x of {takes} axes, and that of this case has {len(shape)}"

    def _groups_refused(self, task: Task, shape: Tuple[int, ...]) -> Optional[str]:
        if task.method != "group":
            return None
        channels = shape[task.params.get("channel_axis", 1)]
        groups = as_channel_lists(task.params.get("num_groups"), task.params.get("groups"), channels)
        if not is_regular(groups):
            return "the groups of this case are not equal and contiguous, as a layer's are"
        if self.num_groups in (None, len(groups)):
            return None
        return f"the layer has {self.num_groups} groups, and this case has {len(groups)}"

    def _shape_refused(self, task: Task, shape: Tuple[int, ...]) -> Optional[str]:
        axes = normalized_axes(task.params, len(shape))
        if axes is None:
            channels = shape[task.params.get("channel_axis", 1)]
            if self.channels in (None, channels):
                return None
            return f"the layer has {self.channels} channels, and x has {channels}"
        asked = tuple(shape[axis] for axis in axes)
        if self.normalized_shape in (None, asked, (math.prod(asked),)):
            return None  # some libraries hold the parameters of several axes as one
        return f"the layer's normalized shape is {self.normalized_shape}, and that of this case is {asked}"

    def _momentum_refused(self, task: Task) -> Optional[str]:
        trains = task.mode == "train" or task.steps > 0
        if not (task.tracks and trains) or self.momentum is None:
            return None
        asked = task.params["momentum"]
        if math.isclose(self.momentum, asked, rel_tol=1e-9):
            return None
        return f"the layer's momentum is {self.momentum:g}, and that of this case is {asked:g}"


def layer_of(backend: Backend, value: Any) -> Optional[Layer]:
    """What ``value`` says of itself; None where it is no layer of the host's framework."""
    held = backend.held(value)
    if held is None:
        return None
    found: Dict[str, List[Any]] = {}
    for name, array in held:
        if OURS.get(name) in PARAMETERS:
            found.setdefault(OURS[name], []).append(array)
    # of two that are called weight it is not known which is meant
    made = {name: arrays[0] for name, arrays in found.items() if len(arrays) == 1 and arrays[0] is not None}
    arrays = {name: backend.to_numpy(array) for name, array in made.items()}
    shapes = {name: array.shape for name, (_, array) in arrays.items()}
    groups = _whole(backend.said(value, (*SPELLINGS["num_groups"], *SPELLINGS["groups"])))
    channels = _whole(backend.said(value, CHANNELS))
    if channels is None and shapes:
        channels = math.prod(next(iter(shapes.values())))
    shape = backend.said(value, SHAPES)
    shape = shapes.get("weight") if shape is None else shape
    return Layer(
        eps=backend.eps_of(value, SPELLINGS["eps"]),
        momentum=backend.momentum_of(value),
        num_groups=groups if groups is not None and groups > 0 else None,  # Keras says -1 for instance norm
        normalized_axes=_wholes(backend.said(value, AXES)),
        normalized_shape=_wholes(shape),
        channels=channels,
        ndims=backend.ndims_of(value),
        holds=tuple(found),
        arrays=arrays,
    )


def normalized_axes(params: Mapping[str, Any], ndim: int) -> Optional[Tuple[int, ...]]:
    """The normalized axes of a case; None where its method has none."""
    if params.get("normalized_axes") is not None:
        return tuple(params["normalized_axes"])
    last = params.get("normalized_ndim")
    return None if last is None else tuple(range(ndim - int(last), ndim))


def _whole(value: Any) -> Optional[int]:
    return value if type(value) is int else None


def _wholes(value: Any) -> Optional[Tuple[int, ...]]:
    if type(value) is int:
        return (value,)
    if not isinstance(value, (tuple, list)) or not all(type(each) is int for each in value):
        return None
    return tuple(value)

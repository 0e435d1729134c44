"""A user's function is called with what its signature names: by name, in any order and spelling of the field."""

from __future__ import annotations

import inspect
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from normcheck.backends._base import Function, Task, as_channel_lists, is_regular
from normcheck.backends._names import DEFAULT_EPS, OURS, SPELLINGS

ARRAYS = ("x", "weight", "bias", "residual")
AXES = ("normalized_ndim", "normalized_shape", "normalized_axes", "axis")
STATE = ("running_mean", "running_var")


class UnknownParameterError(Exception):
    """A parameter that a function requires and that nothing is known of."""


class Named(NamedTuple):
    """One parameter: its name, what we call it, if it must be given, and if it can only be given by its place."""

    name: str
    ours: str
    required: bool
    by_place: bool


class Bound:
    """A function of (x, weight, bias, residual) and keywords of ours, which calls one with a signature of its own.

    ``parameters`` is None where there is no signature to be had: then arrays are given by place.
    """

    def __init__(self, function: Function, *, is_layer: bool = False) -> None:
        self.function = function
        self.is_layer = is_layer  # with eps, groups and shape of its own
        try:
            found = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):
            self.parameters: Optional[List[Named]] = None
            self.any_keyword = True
            return
        self.any_keyword = any(p.kind is p.VAR_KEYWORD for p in found)
        plain = [p for p in found if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
        if any(p.kind is p.VAR_POSITIONAL for p in found) and not any(p.name in OURS for p in plain):
            self.parameters = None
            return
        self.parameters = [
            Named(
                p.name,
                OURS.get(p.name, ""),
                p.default is p.empty,
                p.kind is p.POSITIONAL_ONLY,
            )
            for p in plain
        ]
        counts = [p for p in plain if p.name == "groups" and int in (type(p.default), p.annotation)]
        if counts or any(p.annotation == "int" for p in plain if p.name == "groups"):
            self._rename("groups", "num_groups")
        if not any(p.ours == "x" for p in self.parameters):
            first = next((p for p in plain if p.kind is not p.KEYWORD_ONLY), None)
            if first is not None and first.name not in OURS:
                self._rename(first.name, "x")  # whatever it is called

    def _rename(self, name: str, ours: str) -> None:
        assert self.parameters is not None  # noqa: S101 (there is a signature)
        self.parameters = [p._replace(ours=ours) if p.name == name else p for p in self.parameters]

    def check(self) -> None:
        """Raise UnknownParameterError for a parameter that must be given and is none of ours."""
        unknown = [p.name for p in self.parameters or () if p.required and not p.ours]
        if unknown:
            names = ", ".join("|".join(names) for names in SPELLINGS.values())
            raise UnknownParameterError(
                f"requires {', '.join(unknown)}, which normcheck does not have; give it a default. "
                f"normcheck has: {names}"
            )

    def names(self, ours: str) -> bool:
        """True if the function has a parameter for what we call ``ours``."""
        return any(p.ours == ours for p in self.parameters or ())

    def takes(self, ours: str) -> bool:
        """True if the function takes what we call ``ours``: by that name, or any keyword."""
        return self.parameters is None or self.any_keyword or self.names(ours)

    def __call__(self, x: Any, weight: Any, bias: Any, residual: Any = None, **keywords: Any) -> Any:
        arrays = dict(zip(ARRAYS, (x, weight, bias, residual)))
        if self.parameters is None:
            more = [] if residual is None else [residual]
            return self.function(x, weight, bias, *more, **keywords)
        by_place: List[Any] = []
        by_name: Dict[str, Any] = {}
        left = {**arrays, **keywords}
        for p in self.parameters:
            if p.ours not in left:
                continue
            value = left.pop(p.ours)
            if value is None and not p.required and p.ours in ARRAYS:
                continue
            if p.by_place:
                by_place.append(value)
            else:
                by_name[p.name] = value
        if self.any_keyword:
            by_name.update({name: value for name, value in left.items() if value is not None})
        return self.function(*by_place, **by_name)


class Fitted(NamedTuple):
    """How to call a function for a task: the keywords, the running statistics it gets, and those it claims to update.

    ``reason`` says why it cannot be called for the task at all; None where it can.
    """

    keywords: Dict[str, Any]
    state: Tuple[str, ...] = ()
    claimed: Tuple[str, ...] = ()
    reason: Optional[str] = None


def fitted(bound: Bound, task: Task, shape: Tuple[int, ...]) -> Fitted:
    """How ``bound`` is called for ``task``: with what the case has and the function takes."""
    for name in ("weight", "bias", "residual"):
        if name in task.arrays and not bound.takes(name):
            return _refused(f"takes no {name}, and this case has one")
    offered = dict(task.params)
    offered.pop("track_running_stats", None)
    if not bound.takes("eps") and not bound.is_layer and offered["eps"] != DEFAULT_EPS:
        return _refused(f"takes no eps, and that of this case is {offered['eps']:g}")
    state: Tuple[str, ...] = ()
    claimed: Tuple[str, ...] = ()
    if task.tracks:
        state, claimed, reason = _running(bound, task)
        if reason is not None:
            return _refused(reason)
        offered["training"] = task.mode == "train"
    for add in (_grouped, _normalized, _channels):
        reason = add(bound, task, shape, offered)
        if reason is not None:
            return _refused(reason)
    return Fitted({n: v for n, v in offered.items() if bound.takes(n)}, state, claimed)


def lacks(function: Optional[Function], task: Task) -> Optional[str]:
    """Why a backend's own function cannot be called for ``task``: a plugin's may not know of residuals, or of axes."""
    if function is None:
        return None
    bound = Bound(function)
    if "residual" in task.arrays and not bound.takes("residual"):
        return "takes no residual, and this case has one"
    if "normalized_axes" in task.params and not bound.takes("normalized_axes"):
        return "does not take normalized_axes, and those of this case are not the last"
    return None


def _refused(reason: str) -> Fitted:
    return Fitted({}, reason=reason)


def _running(bound: Bound, task: Task) -> Tuple[Tuple[str, ...], Tuple[str, ...], Optional[str]]:
    """The running statistics that it gets, those that it claims to update, and why it has no such mode."""
    state = tuple(name for name in STATE if bound.takes(name))
    both, trains = len(state) == len(STATE), bound.takes("training")
    claimed = state if both and bound.takes("momentum") else ()
    if task.mode == "train":
        inference_only = both and not trains and not claimed
        return state, claimed, "takes no training, so it has no training mode" if inference_only else None
    if not both or (claimed and not trains):
        return (), (), "takes no training, running_mean and running_var, so it has no eval mode"
    if task.steps and not claimed:
        return (), (), "takes no momentum, so it cannot be trained before eval mode"
    return state, claimed, None


def _grouped(bound: Bound, task: Task, shape: Tuple[int, ...], offered: Dict[str, Any]) -> Optional[str]:
    if "num_groups" not in offered and "groups" not in offered:
        return None
    channels = shape[task.params.get("channel_axis", 1)]
    groups = as_channel_lists(offered.pop("num_groups", None), offered.pop("groups", None), channels)
    if bound.takes("num_groups") and is_regular(groups):
        offered["num_groups"] = len(groups)
    elif bound.takes("groups"):
        offered["groups"] = groups
    elif bound.takes("num_groups"):
        return "takes num_groups only, and these groups are not equal and contiguous"
    return None


def _normalized(bound: Bound, task: Task, shape: Tuple[int, ...], offered: Dict[str, Any]) -> Optional[str]:
    """The normalized axes, in each of the ways in which they can be said and that the function has a name for."""
    ndim, axes = offered.get("normalized_ndim"), offered.get("normalized_axes")
    if ndim is None and axes is None:
        return None
    fixed = not any(bound.names(name) for name in AXES)  # it has axes of its own, which may be these
    if axes is not None and not fixed and not bound.takes("normalized_axes") and not bound.names("axis"):
        return f"does not take normalized_axes, and those of this case, {axes}, are not the last"
    axes = tuple(range(len(shape) - int(ndim or 0), len(shape))) if axes is None else tuple(axes)
    said = {
        "normalized_axes": axes,
        "normalized_shape": tuple(shape[axis] for axis in axes),
        "axis": axes[0] if len(axes) == 1 else axes,
    }
    if ndim is None:
        said.pop("normalized_shape")
        offered["normalized_axes"] = axes
    offered.update({name: value for name, value in said.items() if bound.names(name)})
    return None


def _channels(bound: Bound, task: Task, shape: Tuple[int, ...], offered: Dict[str, Any]) -> Optional[str]:
    """The channel axis; the canonical one needs no word, and only a signature that names it gets it."""
    if "channel_axis" not in offered:
        return None
    axis = offered["channel_axis"]
    if bound.names("axis"):
        offered["axis"] = axis
    if axis == 1:
        if not bound.names("channel_axis"):
            offered.pop("channel_axis")
    elif not bound.takes("channel_axis") and not bound.names("axis"):
        return "does not take channel_axis, and the channels of this case are last"
    return None

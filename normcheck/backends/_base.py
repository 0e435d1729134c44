"""What a backend is: a subclass of :class:`Backend`, and what most of them share.

A backend computes nothing by itself: it says how to bring arrays into the framework and back, and has one
function for each method, called like a user's own implementation: ``f(x, weight, bias, *, eps, ...)``.
"""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np

Function = Callable[..., Any]
Tagged = Tuple[str, "np.ndarray[Any, Any]"]  # the dtype's name, and the data


Differentiated = Tuple[Any, Optional[Dict[str, Any]], Optional[BaseException]]
GRADIENTS = ("grad_x", "grad_weight", "grad_bias", "grad_residual")


class Task(NamedTuple):
    """One case as a worker gets it: plain data, from JSON."""

    case: str
    method: str
    mode: str
    dtype: str
    layout: str
    steps: int
    params: Dict[str, Any]
    outputs: List[str]
    parameter_dtype: Optional[str] = None  # of weight, bias and running statistics, where it is not dtype
    convention: Mapping[str, Any] = {}  # what is not PyTorch's
    arrays: Tuple[str, ...] = ("x",)  # those that the case has

    @property
    def tracks(self) -> bool:
        """True if the layer keeps running statistics."""
        return "momentum" in self.params


class NotAnArrayError(TypeError):
    """A returned value is not an array of the host framework."""


class UnavailableError(Exception):
    """The framework is installed, but something that was requested is not there, such as a device."""


class Backend:
    """What an adapter provides: how arrays get into a framework and back, and a function for each method.

    An adapter is a subclass. ``options`` are those in brackets after its name, as text, ``device`` is what
    ``--device`` was; an adapter that has no such device raises UnavailableError. Everything but METHODS
    serves users' own implementations too.
    """

    METHODS: Mapping[str, Function] = {}
    ARRAYS: Any = None  # the module like NumPy that has the arrays; only an Adapter needs one
    DTYPES: Tuple[str, ...] = ("float64", "float32", "float16", "bfloat16")
    TRACKED: Tuple[str, ...] = ("batch", "instance")  # the methods that keep running statistics
    DIFFERENTIATES = True

    def __init__(self, options: Mapping[str, str], device: str = "cpu") -> None:
        """Import nothing more, and fix what affects numerics."""
        if device != "cpu":
            raise UnavailableError(f"it computes on the CPU only, not on {device!r}")
        self.options, self.device = dict(options), device

    def environment(self) -> Dict[str, Any]:
        """What affects numerics, for the report: version, device, threads, determinism, …"""
        raise NotImplementedError

    def release(self) -> None:
        """Undo in the framework what was set, for callers whose process this is."""

    def configure(self, task: Task) -> None:
        """Prepare the framework for a case, such as its handling of float64."""

    def not_offered(self, task: Task) -> Optional[str]:
        """None, or a sentence that says what of ``task`` the adapter does not offer, whatever x is."""
        if task.method not in self.METHODS:
            return f"has no {task.method} norm"
        if task.dtype not in self.DTYPES:
            return f"has no {task.dtype}; valid: {', '.join(self.DTYPES)}"
        if task.tracks and task.method not in self.TRACKED:
            return f"its {task.method} norm keeps no running statistics"
        return None

    def unsupported(self, task: Task, shape: Tuple[int, ...]) -> Optional[str]:
        """None, or a sentence that says why the adapter cannot compute ``task`` for an x of ``shape``."""
        return self.not_offered(task)

    def expected_error(self, task: Task, shape: Tuple[int, ...]) -> Optional[str]:
        """None, or why the framework raises for ``task``. It is called all the same: it has to raise."""
        return None

    def differentiates(self, *, own: bool) -> bool:
        """True if there are gradients: of users' ``own`` functions, or else of METHODS."""
        return self.DIFFERENTIATES and type(self).differentiate is not Backend.differentiate

    def from_numpy(self, tagged: Tagged) -> Any:
        """The framework's array; it may share the memory of the data, which nothing else uses."""
        raise NotImplementedError

    def to_numpy(self, value: Any) -> Tagged:
        """The data of a framework's array, finished computing; NotAnArrayError if it is none."""
        raise NotImplementedError

    def moveaxis(self, array: Any, source: int, target: int) -> Any:
        """``array`` with its axis ``source`` at ``target``. Only an Adapter needs this and what follows."""
        return self.ARRAYS.moveaxis(array, source, target)

    def take(self, array: Any, indices: List[int], axis: int) -> Any:
        """The ``indices`` of ``array`` along ``axis``, in their order."""
        return array[(slice(None),) * (axis % array.ndim) + (indices,)]

    def concatenate(self, arrays: List[Any], axis: int) -> Any:
        """``arrays`` one after another along ``axis``."""
        return self.ARRAYS.concatenate(arrays, axis=axis)

    def reshape(self, array: Any, shape: Tuple[int, ...]) -> Any:
        """``array`` in another shape."""
        return array.reshape(shape)

    def add(self, a: Any, b: Any) -> Any:
        """The sum of two arrays of one dtype, rounded to it."""
        return a + b

    def wide(self, array: Any) -> Any:
        """``array``, in float32 if it is of half precision."""
        return array.astype(self.ARRAYS.float32) if array.dtype.itemsize == 2 else array

    def cast(self, array: Any, like: Any) -> Any:
        """``array`` in the dtype of ``like``."""
        return array.astype(like.dtype)

    def as_function(self, value: Any) -> Function:
        """A user's callable as a function of (x, weight, bias), such as a torch.nn.Module's."""
        function: Function = value
        return function

    def compiled(self, function: Function, static: Dict[str, Any]) -> Function:
        """``function`` of arrays alone, as the framework's users would run it."""
        return lambda *arrays, **named: function(*arrays, **named, **static)

    def differentiate(
        self,
        function: Function,
        static: Dict[str, Any],
        arrays: List[Any],
        named: Dict[str, Any],
        grad_y: Any,
        /,
    ) -> Differentiated:
        """Call ``function`` and differentiate it with respect to ``arrays``: x, weight and bias or None.

        What it returned; the gradients by name, None where the framework cannot differentiate it at all;
        and the error where it tried and failed.
        """
        return self.compiled(function, static)(*arrays, **named), None, None


def named(array: np.ndarray[Any, Any]) -> Tagged:
    """The array with its dtype's name; ml_dtypes' bfloat16 as 16-bit integers."""
    name = array.dtype.name
    return name, array.view(np.uint16) if name == "bfloat16" else array


def unmasked(value: Any) -> np.ndarray[Any, Any]:
    """The data of a NumPy array of any class; NotAnArrayError where a mask says that some of it is none."""
    if isinstance(value, np.ma.MaskedArray) and (masked := int(np.count_nonzero(np.ma.getmask(value)))):
        raise NotAnArrayError(f"is a masked array: {masked} of its {value.size} elements have no value")
    return np.asarray(value)


def laid_out(array: np.ndarray[Any, Any], layout: str) -> np.ndarray[Any, Any]:
    """A copy of ``array`` in the memory ``layout``."""
    if layout == "channels_last" and array.ndim > 2:
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 1, -1)), -1, 1)
    if layout == "strided":
        larger = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
        larger[..., ::2] = array
        return larger[..., ::2]
    return array.copy()


def flattened(array: Any, kept: int) -> Any:
    """``array`` with all axes after the first ``kept`` in one, whose length -1 could not say of an empty batch."""
    shape = array.shape
    return array.reshape(*shape[:kept], math.prod(shape[kept:]))


def as_channel_lists(
    num_groups: Optional[int], groups: Optional[List[List[int]]], channels: int
) -> List[List[int]]:
    """The groups of a group norm as lists of channels, whichever way they were given."""
    if groups is not None:
        return groups
    size = channels // int(num_groups or 1)
    return [list(range(start, start + size)) for start in range(0, channels, size)]


def inverse_order(groups: List[List[int]]) -> List[int]:
    """Where each channel stands once the groups are put one after another."""
    order = [channel for group in groups for channel in group]
    return sorted(range(len(order)), key=order.__getitem__)


def is_regular(groups: List[List[int]]) -> bool:
    """True if ``groups`` are equal and contiguous: what a native group norm with ``num_groups`` takes."""
    in_order = [channel for group in groups for channel in group] == list(range(sum(map(len, groups))))
    return in_order and len({len(group) for group in groups}) == 1

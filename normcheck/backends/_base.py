"""What a backend is: a subclass of :class:`Backend`, and what most of them share.

A backend computes nothing by itself: it says how to bring arrays into the framework and back, and has one
function for each method, called like a user's own implementation: ``f(x, weight, bias, *, eps, ...)``.
"""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, FrozenSet, Iterable, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np

HALF = ("float16", "bfloat16")
Function = Callable[..., Any]
Tagged = Tuple[str, "np.ndarray[Any, Any]"]  # the dtype's name, and the data


Differentiated = Tuple[Any, Optional[Dict[str, Any]], Optional[BaseException]]
GRADIENTS = ("grad_x", "grad_weight", "grad_bias", "grad_residual")
OFFSET = 3  # elements before a slice: it is then not aligned for vectors either
PARAMETERS = ("weight", "bias", "running_mean", "running_var")


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
    by_sample: Tuple[str, ...] = ()  # of weight and bias those that each sample has of its own
    once: bool = False  # by one call, which others follow; else by two
    frozen: Tuple[str, ...] = ()  # those of them that require no gradient
    dtypes: Mapping[str, str] = {}  # of arrays that are in yet another dtype
    layouts: Mapping[str, str] = {}  # of arrays other than x that are not contiguous

    @property
    def tracks(self) -> bool:
        """True if the layer keeps running statistics."""
        return "momentum" in self.params

    def dtype_of(self, name: str) -> str:
        """The dtype of the array ``name``."""
        usual = self.parameter_dtype if name in PARAMETERS else None
        return self.dtypes.get(name, usual or self.dtype)

    def layout_of(self, name: str) -> str:
        """The memory layout of the array ``name``."""
        return self.layout if name == "x" else self.layouts.get(name, "contiguous")


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
    MIXES_DTYPES = False  # True: x and each parameter may have any dtype
    DIFFERENTIATES = True  # the functions in METHODS
    DIFFERENTIATES_TARGETS = True  # users' own
    MOMENTUM_OF_OLD = False  # True where a layer's momentum weighs the old statistics

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
        return self._mixture(task)

    def _mixture(self, task: Task) -> Optional[str]:
        """None, or what is not offered of a case whose arrays differ in dtype, beyond float32 beside half precision."""
        if "residual" in task.arrays and task.dtype_of("residual") != task.dtype:
            residual = task.dtype_of("residual")
            return (
                f"adds arrays of one dtype; here x is {task.dtype}, residual {residual}: "
                f"--dtype {task.dtype} computes in one dtype"
            )
        dtypes = {name: task.dtype_of(name) for name in PARAMETERS if name in task.arrays}
        found = set(dtypes.values())
        if found & set(self.DTYPES) != found:
            return f"has no {min(found - set(self.DTYPES))}; valid: {', '.join(self.DTYPES)}"
        usual = found <= {task.dtype} or (task.dtype in HALF and found == {"float32"})
        if usual or self.MIXES_DTYPES:
            return None
        stated = ", ".join(f"{name} {dtype}" for name, dtype in dtypes.items())
        return (
            f"takes parameters in the dtype of x, or all in float32 beside half precision; here x is {task.dtype}, "
            f"{stated}: --dtype {task.dtype} computes in one dtype"
        )

    def unsupported(self, task: Task, shape: Tuple[int, ...]) -> Optional[str]:
        """None, or a sentence that says why the adapter cannot compute ``task`` for an x of ``shape``."""
        return self.not_offered(task)

    def expected_error(self, task: Task, shape: Tuple[int, ...]) -> Optional[str]:
        """None, or why the framework raises for ``task``. It is called all the same: it has to raise."""
        return None

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

    def held(self, value: Any) -> Optional[List[Tuple[str, Any]]]:
        """The arrays that a layer holds, with their names; None for what is no layer of the framework.

        An array that is made when the layer is first called is None.
        """
        return None

    def parts_of(self, layer: Any) -> Iterable[Any]:
        """The layer, and those that it is made of."""
        return (layer,)

    def said(self, layer: Any, names: Tuple[str, ...]) -> Any:
        """What the layer, or the first of its parts, has under one of ``names``; None where none has any."""
        found = (getattr(part, name, None) for part in self.parts_of(layer) for name in names)
        return next((each for each in found if each is not None), None)

    def eps_of(self, layer: Any, names: Tuple[str, ...]) -> Dict[str, float]:
        """The layer's eps by dtype, which it has under one of ``names``; empty where it says none."""
        found = self.said(layer, names)
        return dict.fromkeys(self.DTYPES, float(found)) if isinstance(found, (int, float)) else {}

    def momentum_of(self, layer: Any) -> Optional[float]:
        """The weight that the layer gives the statistics of a batch; None where it says none."""
        found = self.said(layer, ("momentum",))
        if not isinstance(found, (int, float)):
            return None
        return round(1 - found, 12) if self.MOMENTUM_OF_OLD else float(found)

    def ndims_of(self, layer: Any) -> Tuple[int, ...]:
        """How many axes the x may have that the layer takes; empty where it takes any, or does not say."""
        return ()

    def compiled(self, function: Function, static: Dict[str, Any]) -> Function:
        """``function`` of arrays alone, as the framework's users would run it."""
        return lambda *arrays, **named: function(*arrays, **named, **static)

    def called(self, returned: Any) -> FrozenSet[str]:
        """The framework's functions that ``returned`` was recorded to come from, as :mod:`._faults` names them."""
        return frozenset()

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
    """A copy of ``array`` in the memory ``layout``; a law's array whose samples differ is not expanded."""
    if layout == "channels_last" and array.ndim > 2:
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 1, -1)), -1, 1)
    if layout == "strided":
        larger = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
        larger[..., ::2] = array
        return larger[..., ::2]
    if layout == "offset":
        larger = np.zeros(OFFSET + array.size, array.dtype)
        larger[OFFSET:] = array.reshape(-1)
        return larger[OFFSET:].reshape(array.shape)
    if layout == "expanded" and array.shape[:1] > (1,):
        first = array[:1].copy()
        if all(_same_bits(first[0], sample) for sample in array[1:]):
            return np.lib.stride_tricks.as_strided(first, array.shape, (0, *first.strides[1:]))
    if layout == "fortran":
        return np.array(array, order="F")
    return array.copy(order="C")


def _same_bits(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    return np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()


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

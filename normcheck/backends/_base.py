"""What a backend is: a module that satisfies :class:`Backend`, and the defaults that most of them share.

A backend computes nothing by itself: it says how to bring arrays into the framework and back, and has one
function for each method, called like a user's own implementation: ``f(x, weight, bias, *, eps, ...)``.
"""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

try:
    from typing import Protocol
except ImportError:  # pragma: no cover
    Protocol = object  # type: ignore[assignment]

Function = Callable[..., Any]
Tagged = Tuple[str, "np.ndarray[Any, Any]"]  # the dtype's name, and the data


Differentiated = Tuple[Any, Optional[Dict[str, Any]], Optional[BaseException]]
GRADIENTS = ("grad_x", "grad_weight", "grad_bias")


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

    @property
    def tracks(self) -> bool:
        """True if the layer keeps running statistics."""
        return "momentum" in self.params


class NotAnArrayError(TypeError):
    """A returned value is not an array of the host framework."""


class Backend(Protocol):
    """The module of an adapter. Everything but ``METHODS`` serves users' own implementations too."""

    METHODS: Dict[str, Function]

    def environment(self) -> Dict[str, Any]:
        """Fix what affects numerics, and report it: version, device, threads, determinism, …"""

    def configure(self, task: Task) -> None:
        """Prepare the framework for a case, such as its handling of float64."""

    def unsupported(self, task: Task, shape: Tuple[int, ...]) -> Optional[str]:
        """None if the backend can compute ``task`` for an x of ``shape``, or a sentence that says why not."""

    def from_numpy(self, tagged: Tagged) -> Any:
        """The framework's array; it may share the memory of the data, which nobody else uses."""

    def to_numpy(self, value: Any) -> Tagged:
        """The data of a framework's array, finished computing; NotAnArrayError if it is none."""

    def as_function(self, value: Any) -> Function:
        """A user's callable as a function of (x, weight, bias), such as a torch.nn.Module's."""

    def compiled(self, function: Function, static: Dict[str, Any]) -> Function:
        """``function`` of arrays alone, as the framework's users would run it."""

    def differentiate(
        self,
        function: Function,
        static: Dict[str, Any],
        arrays: List[Any],
        named: Dict[str, Any],
        grad_y: Any,
    ) -> Differentiated:
        """Call ``function`` and differentiate it with respect to ``arrays``: x, weight and bias or None.

        What it returned; the gradients by name, None where the framework cannot differentiate it at all;
        and the error where it tried and failed.
        """


def laid_out(array: np.ndarray[Any, Any], layout: str) -> np.ndarray[Any, Any]:
    """A copy of ``array`` that lies in memory as ``layout`` says."""
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


def same_groups(params: Dict[str, Any], channels: int) -> List[List[int]]:
    """The groups of a group norm as lists of channels, whichever way they were given."""
    groups: Optional[List[List[int]]] = params.get("groups")
    if groups is not None:
        return groups
    size = channels // int(params["num_groups"])
    return [list(range(start, start + size)) for start in range(0, channels, size)]


def equal_contiguous(groups: List[List[int]]) -> bool:
    """True if ``groups`` are what a native group norm with ``num_groups`` would take."""
    in_order = [channel for group in groups for channel in group] == list(range(sum(map(len, groups))))
    return in_order and len({len(group) for group in groups}) == 1

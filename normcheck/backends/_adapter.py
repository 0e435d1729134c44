"""What the built-in adapters are made of: a small method for each norm, called as a user's function would be.

A library has equal, contiguous groups, and wants the channels where it wants them. :class:`Canonical` brings
both about, once for all libraries, so that an adapter says what its library is called with and nothing else.
"""

from __future__ import annotations

import contextlib
import functools
from typing import (
    Any,
    Callable,
    Collection,
    ContextManager,
    Dict,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

from normcheck.backends._base import (
    GRADIENTS,
    HALF,
    Backend,
    Differentiated,
    Function,
    Task,
    as_channel_lists,
    inverse_order,
    is_regular,
)

FIRST = dict.fromkeys(("batch", "instance", "group"), 1)  # the axis that channels are moved to, by method
STATE = ("running_mean", "running_var")
LAST = dict.fromkeys(FIRST, -1)


class Params(NamedTuple):
    """What an adapter's method gets beside x, weight and bias; PyTorch's names and meanings.

    What the method does not have keeps its default. ``running_mean`` is None where nothing is tracked.
    """

    eps: Any
    channel_axis: int = 1
    groups: Tuple[List[int], ...] = ()
    normalized_ndim: int = 1
    training: bool = True
    momentum: Any = 0.0
    running_mean: Any = None
    running_var: Any = None


class Adapter(Backend):
    """A backend whose functions are its methods ``batch_norm``, ``layer_norm``, ``rms_norm`` and so on.

    Each is called as ``(x, weight, bias, params)`` and returns y, or ``(y, running_mean, running_var)``; y alone
    where it updates running statistics in place or leaves them. A subclass that has METHODS of its class offers
    those instead, which are called as docs/plugins.md says.
    """

    CHANNELS: Mapping[str, int] = {}  # the axis that channels are moved to, by method; elsewhere they stay
    NO_BIAS: Tuple[str, ...] = ()  # the methods whose layers have none: it is added to what they give
    WIDE_STATE = False  # True: half-precision running statistics come as float32, and are rounded at the end

    @functools.cached_property
    def METHODS(self) -> Mapping[str, Function]:  # type: ignore[override] # noqa: N802 (the name in Backend)
        """The canonical function of each norm that the adapter has a method for, ``NAME_norm``."""
        names = [name[: -len("_norm")] for name in dir(type(self)) if name.endswith("_norm")]
        own = {name: getattr(self, f"{name}_norm") for name in names if not name.startswith("_")}
        return {name: Canonical(self, name, norm) for name, norm in own.items() if norm is not None}

    def along(self, parameter: Any, x: Any, axis: int, normalized_ndim: Optional[int]) -> Any:
        """``parameter`` in a shape that broadcasts against x: of the channels in ``axis`` or of the last axes of x.

        It may have an axis for the samples before its own.
        """
        own, shape = normalized_ndim or 1, tuple(parameter.shape)
        samples, sizes = shape[: len(shape) - own], shape[len(shape) - own :]
        place = x.ndim - own if normalized_ndim else axis % x.ndim
        lead = (*samples, *(1,) * (place - len(samples)))
        return self.reshape(parameter, (*lead, *sizes, *(1,) * (x.ndim - place - own)))

    def after(self, method: str, by_sample: Collection[str], *, bias: bool) -> Tuple[str, ...]:
        """Of weight and bias those that no library's layer takes: they are applied after it, which computes in float32.

        ``by_sample`` are those that each sample has of its own; ``bias`` is True if there is one.
        """
        last = bias and (len(by_sample) > 0 or method in self.NO_BIAS)
        return (("weight",) if "weight" in by_sample else ()) + (("bias",) if last else ())

    def within(self, task: Task) -> Task:
        """``task`` in the dtypes that the library's layer gets, which a parameter applied after it widens."""
        by_sample = [name for name in task.by_sample if name in task.arrays]
        if not self.after(task.method, by_sample, bias="bias" in task.arrays):
            return task
        return task._replace(
            dtype="float32" if task.dtype in HALF else task.dtype, parameter_dtype=None, dtypes={}
        )

    def takes(self, groups: List[List[int]]) -> bool:
        """True if one call of ``group_norm`` computes these ``groups``."""
        return is_regular(groups)

    def by_group(
        self, call: Callable[..., Tuple[Any, ...]], groups: List[List[int]], axis: int, *arrays: Any
    ) -> Tuple[Any, ...]:
        """``call(groups, *arrays)``; once for each group where they are not equal and contiguous.

        The channels of an array, or of what is returned, are in ``axis``, or it has no other axis.
        """
        if is_regular(groups):
            return call(groups, *arrays)

        def taken(array: Any, channels: List[int]) -> Any:
            return None if array is None else self.take(array, channels, axis if array.ndim > 1 else 0)

        parts = [call([[*range(len(g))]], *(taken(array, g) for array in arrays)) for g in groups]
        order = inverse_order(groups)
        return tuple(
            None
            if each[0] is None
            else taken(self.concatenate(list(each), axis if each[0].ndim > 1 else 0), order)
            for each in zip(*parts)
        )


class Canonical:
    """An adapter's method as a function of arrays and keywords, which is what a user's function is too."""

    def __init__(self, adapter: Adapter, name: str, norm: Callable[..., Any]) -> None:
        self.adapter, self.name, self.norm = adapter, name, norm
        self.__name__ = f"{name}_norm"  # by which frameworks call what they compile of it

    def __call__(
        self,
        x: Any,
        weight: Any,
        bias: Any,
        residual: Any = None,
        *,
        channel_axis: int = 1,
        normalized_axes: Optional[List[int]] = None,
        **others: Any,
    ) -> Any:
        whole = x if residual is None else self.adapter.add(x, residual)
        axis = self.adapter.CHANNELS.get(self.name, channel_axis)
        axes = Axes(self.adapter, channel_axis, axis, normalized_axes or ())
        if normalized_axes:
            others["normalized_ndim"] = len(normalized_axes)
        arranged = axes.arranged(whole)
        y, *state = self._affine(arranged, weight, bias, axis, others)
        more = [] if residual is None else [whole]
        y = axes.restored(y)
        return (y, *more, *state) if more or state else y

    def _normalized(
        self, x: Any, weight: Any, bias: Any, axis: int, others: Dict[str, Any]
    ) -> Tuple[Any, ...]:
        compute = self._in_groups if self.name == "group" else self._with_state
        return compute(x, weight, bias, axis, others)

    def _affine(self, x: Any, weight: Any, bias: Any, axis: int, others: Dict[str, Any]) -> Tuple[Any, ...]:
        """The norm with weight and bias; those that no library takes are applied after it, and rounded once."""
        adapter, last = self.adapter, others.get("normalized_ndim")
        given = {"weight": weight, "bias": bias}
        by_sample = [name for name, p in given.items() if p is not None and p.ndim > (last or 1)]
        after = adapter.after(self.name, by_sample, bias=bias is not None)
        if not after:
            return self._normalized(x, weight, bias, axis, others)
        within = None if "weight" in after or weight is None else adapter.wide(weight)
        old = {name: others[name] for name in STATE if others.get(name) is not None}
        wide = {**others, **{name: adapter.wide(array) for name, array in old.items()}}
        y, *state = self._normalized(adapter.wide(x), within, None, axis, wide)
        state = [adapter.cast(new, array) for new, array in zip(state, old.values())]
        if "weight" in after:
            y = y * adapter.along(adapter.wide(weight), y, axis, last)
        if "bias" in after:
            y = y + adapter.along(adapter.wide(bias), y, axis, last)
        return (adapter.cast(y, x), *state)

    def _in_groups(
        self, x: Any, weight: Any, bias: Any, axis: int, others: Dict[str, Any]
    ) -> Tuple[Any, ...]:
        eps = others["eps"]
        groups = as_channel_lists(others.get("num_groups"), others.get("groups"), x.shape[axis])

        def call(equal: List[List[int]], *arrays: Any) -> Tuple[Any, ...]:
            return (self.norm(*arrays, Params(eps, axis, tuple(equal))),)

        if self.adapter.takes(groups):
            return call(groups, x, weight, bias)
        return self.adapter.by_group(call, groups, axis, x, weight, bias)

    def _with_state(
        self, x: Any, weight: Any, bias: Any, axis: int, others: Dict[str, Any]
    ) -> Tuple[Any, ...]:
        """y, and the running statistics after it if there are any."""
        state = {name: others[name] for name in STATE if others.get(name) is not None}
        given = (
            {name: self.adapter.wide(old) for name, old in state.items()} if self.adapter.WIDE_STATE else {}
        )
        returned = self.norm(x, weight, bias, Params(channel_axis=axis, **{**others, **given}))
        if not isinstance(returned, tuple):
            return (returned, *state.values())
        y, *after = returned
        if self.adapter.WIDE_STATE:
            after = [self.adapter.cast(new, old) for new, old in zip(after, state.values())]
        return (y, *after)


class Axes:
    """Where the axes of x go for a library: the channels to ``axis``, the ``normalized`` ones to the end."""

    def __init__(self, adapter: Adapter, channel_axis: int, axis: int, normalized: Sequence[int]) -> None:
        self.adapter = adapter
        self.moves = [] if channel_axis == axis else [(channel_axis, axis)]
        # one after another: each leaves a gap that the following ones have moved up into
        self.moves += [(place - count, -1) for count, place in enumerate(normalized)]

    def arranged(self, array: Any) -> Any:
        """``array``, which has the axes of x, as the library wants it."""
        for source, target in self.moves:
            array = self.adapter.moveaxis(array, source, target)
        return array

    def restored(self, array: Any) -> Any:
        """The same backwards."""
        for source, target in reversed(self.moves):
            array = self.adapter.moveaxis(array, target, source)
        return array


class Taped(Adapter):
    """An adapter of a framework that records the call and then goes back from y."""

    frozen: Tuple[str, ...] = ()  # the gradients that are not wanted in this case

    def configure(self, task: Task) -> None:
        """Note what is frozen: it requires no gradient."""
        self.frozen = tuple(f"grad_{name}" for name in task.frozen)

    def recording(self, leaves: List[Any]) -> ContextManager[Any]:
        """The context of the call, whose gradients with respect to ``leaves`` are wanted."""
        return contextlib.nullcontext()

    def pulled_back(self, tape: Any, y: Any, leaves: List[Any], grad_y: Any) -> Any:
        """The gradients of Σ y·grad_y with respect to ``leaves``; ``tape`` is what the context gave."""
        raise NotImplementedError

    def differentiate(self, *call: Any) -> Differentiated:
        """The gradients from y back to x, weight and bias."""
        function, static, arrays, named, grad_y = call
        leaves = {name: leaf for name, leaf in by_gradient(arrays).items() if name not in self.frozen}
        with self.recording(list(leaves.values())) as tape:
            returned = self.compiled(function, static)(*arrays, **named)
        try:
            found = self.pulled_back(tape, first(returned), list(leaves.values()), grad_y)
        except Exception as error:  # whatever the user's backward raises is an answer about the gradients
            return returned, {}, error
        return returned, dict(zip(leaves, found)), None


def by_gradient(arrays: List[Any]) -> Dict[str, Any]:
    """Of x, weight and bias those that there are, by the names of their gradients."""
    return {name: array for name, array in zip(GRADIENTS, arrays) if array is not None}


def first(returned: Any) -> Any:
    """y, of what a function returned."""
    return returned[0] if isinstance(returned, tuple) and returned else returned


class LayerFunction:
    """A user's layer called like a function; its eps, groups and momentum are those that it was made with.

    The fixture's weight and bias are loaded into the layer's one parameter of that name, and running statistics
    into its state: ``call`` gets them in ``params``, None where there are none that it has to update.
    """

    def __init__(self, layer: Any, call: Callable[..., Any]) -> None:
        self.layer, self.call = layer, call

    def __call__(
        self,
        x: Any,
        weight: Any,
        bias: Any,
        *,
        running_mean: Any = None,
        running_var: Any = None,
        momentum: Optional[float] = None,
        training: bool = True,
        normalized_ndim: Optional[int] = None,
        channel_axis: int = 1,
    ) -> Any:
        state = (running_mean, running_var)
        if momentum is None or running_mean is None or running_var is None:
            state = (None, None)
        params = Params(None, channel_axis, (), normalized_ndim or 0, training, momentum, *state)
        return self.call(self.layer, x, weight, bias, params)

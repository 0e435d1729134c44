"""What a method defines, and the statistic sets that it makes of an x. Standard library only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from normcheck.conventions.catalogue import Statistics
from normcheck.parameters import Params, Shape


@dataclass(frozen=True, slots=True)
class Bucket:
    """Groups of channels of equal size: ``channels`` in order, group after group (None: all, as they are)."""

    channels: tuple[int, ...] | None
    n: int  # elements in each statistic set


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """Which elements of an array of ``shape`` share statistics.

    The elements that agree in the ``kept`` axes, and in their group of channels where there are groups,
    form one statistic set. With groups, the channel axis is the first of the ``reduced`` axes.
    """

    shape: Shape
    kept: tuple[int, ...]
    reduced: tuple[int, ...]
    channel_axis: int
    buckets: tuple[Bucket, ...]

    @property
    def max_n(self) -> int:
        """The number of elements in the largest statistic set."""
        return max(bucket.n for bucket in self.buckets)


def unchanged(shape: Shape, params: Params, where: str) -> Params:
    """Accept every value, for a method without further parameters."""
    return params


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchCall:
    """The function of torch.nn.functional that computes a method; its x has the channels in axis 1.

    ``arguments`` come after x, ``keywords`` after weight and bias. ``refused``: it raises for statistic sets of one
    element. ``bias``: it takes one.
    """

    function: str
    arguments: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    refused: bool = False
    bias: bool = True


def no_call(shape: Shape, params: Params) -> TorchCall | None:
    """No function of PyTorch, for a method that it does not have."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One method; ``shape`` is that of x as stored, ``channel_axis`` is 1 or -1.

    ``statistics`` says which elements share statistics: a value of that convention, or for a method beyond the
    catalogue a function that makes the partition. ``parameters`` are those of :class:`normcheck.parameters.Params` that
    it has beside eps; ``parameter_axes`` are the axes of x that weight and bias run along, ``affine`` which of the two
    its layers usually have. ``checked`` returns the parameters as an id spells them; it raises ParameterError for
    impossible ones, with its last argument, which names the fixture. ``torch`` is how PyTorch's users call it, None
    where no function of PyTorch does.
    """

    statistics: Statistics | Callable[[Shape, Params], Partition]
    parameters: tuple[str, ...]
    parameter_axes: Callable[[Shape, Params], tuple[int, ...]]
    checked: Callable[[Shape, Params, str], Params] = unchanged
    torch: Callable[[Shape, Params], TorchCall | None] = no_call
    centered: bool = True  # False: the mean is not taken away
    affine: tuple[str, ...] = ("weight", "bias")
    shares: str  # what a statistic set is, in words
    used: str  # when it is used, in one sentence

    @property
    def may_track(self) -> bool:
        """True if the method can keep running statistics."""
        return "momentum" in self.parameters


def positive_axis(axis: int, ndim: int) -> int:
    """The axis counted from the front."""
    return axis % ndim


def num_channels(shape: Shape, params: Params) -> int:
    """The number of channels, C."""
    return shape[params.channel_axis]


def channel_alone(shape: Shape, params: Params) -> tuple[int, ...]:
    """The parameter axes of a method whose weight and bias have one element for each channel."""
    return (positive_axis(params.channel_axis, len(shape)),)


def without(ndim: int, *axes: int) -> tuple[int, ...]:
    return tuple(axis for axis in range(ndim) if axis not in axes)

"""A case: one computation to be compared, with its method, parameters, fixture, dtype, mode and outputs."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

from normcheck.conventions.catalogue import PYTORCH, Convention
from normcheck.data import ABSENT_BY_DEFAULT, to_data
from normcheck.dtype import DType

DEFAULT_EPS = 1e-5
DEFAULT_MOMENTUM = 0.1


class Method(enum.StrEnum):
    """A normalization method: which elements share one mean and one variance."""

    BATCH = "batch"
    LAYER = "layer"
    INSTANCE = "instance"
    GROUP = "group"


class Mode(enum.StrEnum):
    """Whether batch norm takes its statistics from the batch or from the running statistics."""

    TRAIN = "train"
    EVAL = "eval"


class Layout(enum.StrEnum):
    """The memory layout in which a backend gets x; its values and shape are the same."""

    CONTIGUOUS = "contiguous"
    CHANNELS_LAST = "channels_last"
    STRIDED = "strided"  # every second element of something larger


class Output(enum.StrEnum):
    """One array that a normalization layer computes."""

    Y = "y"
    GRAD_X = "grad_x"
    GRAD_WEIGHT = "grad_weight"
    GRAD_BIAS = "grad_bias"
    RUNNING_MEAN = "running_mean"
    RUNNING_VAR = "running_var"

    @property
    def is_gradient(self) -> bool:
        """True for what differentiation gives, False for what the layer returns."""
        return self in {Output.GRAD_X, Output.GRAD_WEIGHT, Output.GRAD_BIAS}

    @property
    def is_state(self) -> bool:
        """True for the running statistics."""
        return self in {Output.RUNNING_MEAN, Output.RUNNING_VAR}


Groups = tuple[tuple[int, ...], ...]


def format_groups(groups: Groups) -> str:
    """Write a partition of the channels as the command line takes it: ``0,1|2``."""
    return "|".join(",".join(map(str, group)) for group in groups)


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """The parameters of a case, all explicit: nothing relies on a framework's default.

    Parameters that a method does not have are None. Shapes, axes and momentum are in PyTorch's sense.
    """

    eps: float = DEFAULT_EPS
    channel_axis: int = 1
    num_groups: int | None = field(default=None, metadata=ABSENT_BY_DEFAULT)
    groups: Groups | None = field(default=None, metadata=ABSENT_BY_DEFAULT)
    normalized_ndim: int | None = field(default=None, metadata=ABSENT_BY_DEFAULT)
    momentum: float | None = field(default=None, metadata=ABSENT_BY_DEFAULT)
    # instance norm: keeps running statistics, as batch norm does
    track_running_stats: bool | None = field(default=None, metadata=ABSENT_BY_DEFAULT)

    def to_dict(self) -> dict[str, Any]:
        """The parameters that the method has, ready for JSON."""
        data: dict[str, Any] = to_data(self)
        return data


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One computation to be compared.

    ``shape`` is that of x. ``steps`` counts the training calls, one after the other on the same batch, before the
    running statistics are looked at. ``parameter_dtype`` is that of weight, bias and running statistics where it
    is not ``dtype``. ``convention`` is what the method leaves open: a result is judged by that one.
    """

    method: Method
    params: Params
    fixture: str
    shape: tuple[int, ...]
    dtype: DType
    mode: Mode = Mode.TRAIN
    steps: int = 1
    layout: Layout = Layout.CONTIGUOUS
    parameter_dtype: DType | None = None
    convention: Convention = field(default=PYTORCH, metadata=ABSENT_BY_DEFAULT)
    outputs: tuple[Output, ...] = (Output.Y,)

    @property
    def options(self) -> tuple[str, ...]:
        """The parameters that set this case apart, as in its id: ``("groups=0,1|2",)``; empty if none does."""
        params = self.params
        shown: list[str] = []
        if params.groups is not None:
            shown.append(f"groups={format_groups(params.groups)}")
        if params.num_groups is not None:
            shown.append(f"num_groups={params.num_groups}")
        if params.normalized_ndim not in (None, len(self.shape) - 1):
            shown.append(f"normalized_ndim={params.normalized_ndim}")
        if params.eps != DEFAULT_EPS:
            shown.append(f"eps={params.eps:g}")
        if params.channel_axis != 1 and self.method is not Method.LAYER:
            shown.append(f"channel_axis={params.channel_axis}")
        if params.momentum not in (None, DEFAULT_MOMENTUM):
            shown.append(f"momentum={params.momentum:g}")
        if params.track_running_stats:
            shown.append("track_running_stats=true")
        if self.tracks and self.mode is not Mode.TRAIN:
            shown.append(f"mode={self.mode}")
        if self.tracks and self.steps != (1 if self.mode is Mode.TRAIN else 0):
            shown.append(f"steps={self.steps}")
        shown += self.convention.options
        return tuple(shown)

    @property
    def id(self) -> str:
        """The name of this case, unique in a run: ``group[groups=0,1|2]/documents/float32``."""
        return self.id_with()

    def id_with(self, *more: str) -> str:
        """The id, with ``more`` options than the case has itself, such as ``law=shift``."""
        options = ";".join([*self.options, *more])
        return f"{self.method}{f'[{options}]' if options else ''}/{self.fixture}/{self.dtype}"

    @property
    def tracks(self) -> bool:
        """True if the layer keeps running statistics: batch norm, and instance norm that is told to."""
        return self.method is Method.BATCH or bool(self.params.track_running_stats)

    @property
    def uses_running(self) -> bool:
        """True if the running statistics take the place of the input's own: such a layer in eval mode."""
        return self.tracks and self.mode is Mode.EVAL

    def dtype_of(self, output: Output) -> DType:
        """The dtype that ``output`` must have: that of the input, or of the parameters."""
        if output in {Output.Y, Output.GRAD_X}:
            return self.dtype
        return self.parameter_dtype or self.dtype

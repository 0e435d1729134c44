"""A case: one computation to be compared, with its method, parameters, fixture, dtype, mode and outputs."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from normcheck.conventions.catalogue import PYTORCH, Convention
from normcheck.data import ABSENT_BY_DEFAULT
from normcheck.dtype import DType, promoted
from normcheck.parameters import Params

PARAMETERS = ("weight", "bias", "running_mean", "running_var")


class Method(enum.StrEnum):
    """A normalization method: which elements share one mean and one variance."""

    BATCH = "batch"
    LAYER = "layer"
    INSTANCE = "instance"
    GROUP = "group"
    RMS = "rms"


class Mode(enum.StrEnum):
    """Whether batch norm takes its statistics from the batch or from the running statistics."""

    TRAIN = "train"
    EVAL = "eval"


class Layout(enum.StrEnum):
    """The memory layout in which a backend gets an array; its values and shape are the same."""

    CONTIGUOUS = "contiguous"
    CHANNELS_LAST = "channels_last"
    STRIDED = "strided"  # every second element of something larger
    OFFSET = "offset"  # a slice, which begins some elements into its memory
    EXPANDED = "expanded"  # one sample, which stands for all of them
    FORTRAN = "fortran"  # the first axis varies fastest, as Fortran has it


class Output(enum.StrEnum):
    """One array that a normalization layer computes."""

    Y = "y"
    GRAD_X = "grad_x"
    GRAD_WEIGHT = "grad_weight"
    GRAD_BIAS = "grad_bias"
    RUNNING_MEAN = "running_mean"
    RUNNING_VAR = "running_var"
    SUM = "sum"  # of x and the residual
    GRAD_RESIDUAL = "grad_residual"

    @property
    def is_gradient(self) -> bool:
        """True for what differentiation gives, False for what the layer returns."""
        return self.value.startswith("grad_")

    @property
    def is_elementwise(self) -> bool:
        """True for what has the shape of x."""
        return self in {Output.Y, Output.SUM, Output.GRAD_X, Output.GRAD_RESIDUAL}

    @property
    def is_state(self) -> bool:
        """True for the running statistics."""
        return self in {Output.RUNNING_MEAN, Output.RUNNING_VAR}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One computation to be compared.

    ``shape`` is that of x. ``steps`` counts the training calls, one after the other on the same batch, before the
    running statistics are looked at. ``parameter_dtype`` is that of weight, bias and running statistics where it
    is not ``dtype``; ``dtypes`` has what still differs, array by array, and ``layouts`` those of other arrays than x
    that are not contiguous. ``convention`` is what the method leaves open: a result is judged by that one.
    ``without`` names parameters of the fixture that the case leaves out, ``frozen`` arrays that require no gradient.
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
    dtypes: Mapping[str, DType] = field(default_factory=dict, metadata=ABSENT_BY_DEFAULT)
    layouts: Mapping[str, Layout] = field(default_factory=dict, metadata=ABSENT_BY_DEFAULT)
    convention: Convention = field(default=PYTORCH, metadata=ABSENT_BY_DEFAULT)
    without: tuple[str, ...] = field(default=(), metadata=ABSENT_BY_DEFAULT)
    frozen: tuple[str, ...] = field(default=(), metadata=ABSENT_BY_DEFAULT)
    outputs: tuple[Output, ...] = (Output.Y,)

    @property
    def options(self) -> tuple[str, ...]:
        """The parameters that set this case apart, as in its id: ``("groups=0,1|2",)``; empty if none does."""
        shown = list(self.params.options(self.shape))
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
        return self.params.momentum is not None

    @property
    def uses_running(self) -> bool:
        """True if the running statistics take the place of the input's own: such a layer in eval mode."""
        return self.tracks and self.mode is Mode.EVAL

    def dtype_of_input(self, name: str) -> DType:
        """The dtype in which backends get the array ``name``."""
        usual = self.parameter_dtype if name in PARAMETERS else None
        return self.dtypes.get(name, usual or self.dtype)

    def layout_of(self, name: str) -> Layout:
        """The memory layout in which backends get the array ``name``."""
        return self.layout if name == "x" else self.layouts.get(name, Layout.CONTIGUOUS)

    def dtype_of(self, output: Output) -> DType:
        """The dtype that ``output`` must have: that of the input it belongs to; a sum's is that which holds both."""
        if output is Output.SUM:
            return promoted(self.dtype, self.dtype_of_input("residual"))
        if output in {Output.Y, Output.GRAD_X}:
            return self.dtype
        return self.dtype_of_input(output.removeprefix("grad_"))

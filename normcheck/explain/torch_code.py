"""The PyTorch code that computes a case: the same statistic sets, the same eps.

The code is for reading, and it runs: given tensors ``x``, ``weight`` and ``bias`` it leaves ``y``. The
tests run it and compare with the oracle.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

from normcheck.case import Case, Method
from normcheck.methods import (
    Shape,
    num_channels,
    parameter_shape,
    partition_of,
    positive_axis,
)
from normcheck.methods.sets import channel_groups
from normcheck.parameters import Groups, Params

WIDTH = 76  # columns of an indented block on the narrowest usual terminal
IMPORT = "import torch.nn.functional as F"


def torch_code(case: Case, shape: Shape, parameters: Sequence[str]) -> str:
    """Lines of Python; ``parameters`` says which of weight and bias there are, ``shape`` is that of x."""
    if _refused(case, shape):
        return _nothing_but_bias(case, shape, parameters)
    if case.method is Method.LAYER:
        normalized = parameter_shape(case.method, shape, case.params)
        return "\n".join([IMPORT, _call("y", "layer_norm", ["x", str(normalized)], case, parameters)])
    moved = positive_axis(case.params.channel_axis, len(shape)) != 1
    source = "x.movedim(-1, 1)" if moved else "x"
    lines = _channels_first(case, shape, source, parameters)
    return "\n".join([*lines, "y = y.movedim(1, -1)"] if moved else lines)


def _refused(case: Case, shape: Shape) -> bool:
    """True where PyTorch refuses sets of one element: always but in layer norm, and group norm of several samples."""
    if case.method is Method.LAYER or partition_of(case.method, shape, case.params).max_n > 1:
        return False
    return case.method is not Method.GROUP or shape[0] == 1


def _nothing_but_bias(case: Case, shape: Shape, parameters: Sequence[str]) -> str:
    y = _bias_alone("x", len(shape), case.params.channel_axis, parameters)
    return "\n".join([*_REFUSAL, f"y = {y}"])


_REFUSAL = (
    "# PyTorch refuses statistic sets of one element here;",
    "# each is its own mean, so that only the bias remains",
)


def _bias_alone(x: str, ndim: int, channel_axis: int, parameters: Sequence[str]) -> str:
    broadcast = [1] * ndim
    broadcast[channel_axis] = -1
    return f"({x} - {x})" + (f" + bias.reshape({tuple(broadcast)})" if "bias" in parameters else "")


def _channels_first(case: Case, shape: Shape, source: str, parameters: Sequence[str]) -> list[str]:
    if case.method is Method.BATCH:
        arguments = [source, "running_mean=None", "running_var=None"]
        return [IMPORT, _call("y", "batch_norm", arguments, case, [*parameters, "training=True"])]
    if case.method is Method.INSTANCE:
        return [IMPORT, _call("y", "instance_norm", [source], case, parameters)]
    channels = num_channels(shape, case.params)
    groups = channel_groups(case.params, channels)
    if groups == _equal(len(groups), channels):
        return [IMPORT, _call("y", "group_norm", [source, f"num_groups={len(groups)}"], case, parameters)]
    return _group_by_group(case, shape, groups, source, parameters)


def _equal(num_groups: int, channels: int) -> Groups | None:
    """The groups of PyTorch's ``num_groups``; None where that is impossible."""
    return None if channels % num_groups else channel_groups(Params(num_groups=num_groups), channels)


def _group_by_group(
    case: Case, shape: Shape, groups: Groups, source: str, parameters: Sequence[str]
) -> list[str]:
    """F.group_norm takes only equal groups of neighbouring channels: one call for each group, then joined."""
    name = "x" if source == "x" else "channels_first"
    start = [f"y = torch.empty_like({name})"]
    if math.prod(shape) == num_channels(shape, case.params):  # a group of one channel is one element
        groups = tuple(group for group in groups if len(group) > 1)
        start = [*_REFUSAL, f"y = {_bias_alone(name, len(shape), 1, parameters)}"]
    listed = f"groups = {[list(group) for group in groups]}"
    lines = ["import torch", IMPORT, *textwrap.wrap(listed, WIDTH, subsequent_indent=" " * 10)]
    if name != source:
        lines.append(f"{name} = {source}")
    own = [f"{parameter}={parameter}[group]" for parameter in parameters]
    call = _call("y[:, group]", "group_norm", [f"{name}[:, group]", "num_groups=1"], case, own)
    return [*lines, *start, "for group in groups:", textwrap.indent(call, "    ")]


def _call(result: str, function: str, arguments: Sequence[str], case: Case, keywords: Sequence[str]) -> str:
    """``result = F.function(…)``, on three lines where one is too narrow."""
    given = [keyword if "=" in keyword else f"{keyword}={keyword}" for keyword in keywords]
    inside = ", ".join([*arguments, *given, f"eps={case.params.eps!r}"])
    line = f"{result} = F.{function}({inside})"
    if len(line) <= WIDTH - 4:  # 4: it may stand in a loop
        return line
    wrapped = textwrap.wrap(inside, WIDTH - 8)
    return "\n".join([f"{result} = F.{function}(", *(f"    {part}" for part in wrapped), ")"])

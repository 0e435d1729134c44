"""The PyTorch code that computes a case: the same statistic sets, the same convention.

The code is for reading, and it runs: given tensors ``x``, ``weight`` and ``bias`` it leaves ``y``. The
tests run it and compare with the oracle. It is one call where PyTorch has a function of it, and composed where not.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping

from normcheck.case import Case
from normcheck.conventions.catalogue import Bias, EpsPlacement, Variance, Weight
from normcheck.methods import (
    Partition,
    Shape,
    TorchCall,
    definition,
    parameter_axes,
    partition_of,
    positive_axis,
    resolved,
)

WIDTH = 76  # columns of an indented block on the narrowest usual terminal
IMPORT = "import torch.nn.functional as F"
SINGLE = (
    "# PyTorch refuses statistic sets of one element here;",
    "# each is its own mean, so that only the bias remains",
)


def torch_code(case: Case, shape: Shape, parameters: Mapping[str, Shape]) -> str:
    """Lines of Python; ``parameters`` are the shapes of weight and bias where there are, ``shape`` is that of x."""
    own = partition_of(case.method, shape, case.params, case.convention)
    along = len(parameter_axes(case.method, shape, case.params))
    plain = not case.convention.stated and all(len(each) == along for each in parameters.values())
    call = definition(case.method).torch(shape, case.params) if plain else None
    if call is None:
        return "\n".join(_composed(case, own, parameters))
    if call.refused and own.max_n == 1:
        bias = {name: each for name, each in parameters.items() if name == "bias"}
        return "\n".join([*SINGLE, *(_affine("(x - x)", case, own, bias) or ["y = x - x"])])
    moved = "channel_axis" in definition(case.method).parameters and (
        positive_axis(case.params.channel_axis, len(shape)) != 1
    )
    lines = [IMPORT, _call(call, "x.movedim(-1, 1)" if moved else "x", case, parameters)]
    lines += ["y = y + bias"] if "bias" in parameters and not call.bias else []
    return "\n".join([*lines, "y = y.movedim(1, -1)"] if moved else lines)


def _call(call: TorchCall, source: str, case: Case, parameters: Mapping[str, Shape]) -> str:
    """``y = F.function(…)``, on three lines where one is too narrow."""
    given = [f"{name}={name}" for name in parameters if name != "bias" or call.bias]
    inside = ", ".join([source, *call.arguments, *given, *call.keywords, f"eps={case.params.eps!r}"])
    line = f"y = F.{call.function}({inside})"
    if len(line) <= WIDTH:
        return line
    wrapped = textwrap.wrap(inside, WIDTH - 4)
    return "\n".join([f"y = F.{call.function}(", *(f"    {part}" for part in wrapped), ")"])


def _composed(case: Case, own: Partition, parameters: Mapping[str, Shape]) -> list[str]:
    """The definition, operation by operation; group by group where channels are grouped."""
    if own.buckets[0].channels is None:
        return [*_normalized("x", own.reduced, own.max_n, case), *_affine("y", case, own, parameters)]
    channel = own.channel_axis
    place = ", ".join([":"] * channel + ["group"])
    axes = tuple(axis for axis in range(len(own.shape)) if axis in own.reduced)
    lines = [
        "import torch",
        *_wrapped(f"groups = {_groups(own)}"),
        "y = torch.empty_like(x)",
        "for group in groups:",
    ]
    count = f"x[{place}][0].numel()" if case.convention.variance is Variance.UNBIASED else 0
    inner = _normalized(f"x[{place}]", axes, count, case, result=f"y[{place}]")
    return [*lines, *(f"    {line}" for line in inner), *_affine("y", case, own, parameters)]


def _normalized(x: str, axes: Iterable[int], n: int | str, case: Case, result: str = "y") -> list[str]:
    """x̂ of the elements that differ along ``axes``, ``n`` of them in a set."""
    convention, eps = resolved(case.method, case.dtype, case.convention), repr(case.params.eps)
    axes = tuple(axes)
    lines = [f"d = {x} - {x}.mean({axes}, keepdim=True)" if convention.centered else f"d = {x}"]
    lines.append(f"var = (d * d).mean({axes}, keepdim=True)")
    if convention.variance is Variance.UNBIASED:
        lines += [f"n = {n}", "var = var * n / (n - 1)"]
    root = {
        EpsPlacement.INSIDE_SQRT: f"(var + {eps}).sqrt()",
        EpsPlacement.OUTSIDE_SQRT: f"(var.sqrt() + {eps})",
        EpsPlacement.MAX: f"var.clamp(min={eps}).sqrt()",
        EpsPlacement.NONE: "var.sqrt()",
    }[convention.eps_placement]
    return [*lines, f"{result} = d / {root}"]


def _affine(y: str, case: Case, own: Partition, parameters: Mapping[str, Shape]) -> list[str]:
    """Weight and bias, in shapes that broadcast against x; ``y`` is what they are applied to."""
    shape = own.shape
    along = parameter_axes(case.method, shape, case.params)
    last = along == tuple(range(len(shape) - len(along), len(shape)))

    def laid(name: str) -> str:
        axes = along if len(parameters[name]) == len(along) else (0, *along)
        if last and axes == along:
            return name
        broadcast = tuple(shape[axis] if axis in axes else 1 for axis in range(len(shape)))
        return f"{name}.reshape({broadcast})"

    weight = "weight" in parameters and case.convention.weight is not Weight.IGNORED
    bias = "bias" in parameters and case.convention.bias is not Bias.IGNORED
    found = y
    if weight:
        factor = laid("weight")
        found += f" * (1 + {factor})" if case.convention.weight is Weight.ONE_PLUS else f" * {factor}"
    if bias:
        found = f"{found} + {laid('bias')}"
    return [] if found == "y" else [f"y = {found}"]


def _groups(own: Partition) -> list[list[int]]:
    """The groups of channels, one after another."""
    spatial = own.max_n and 1
    for axis in own.reduced:
        spatial *= own.shape[axis] if axis != own.channel_axis else 1
    found = []
    for bucket in own.buckets:
        channels, size = list(bucket.channels or ()), bucket.n // spatial
        found += [channels[start : start + size] for start in range(0, len(channels), size)]
    return sorted(found)


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, WIDTH, subsequent_indent=" " * 10)

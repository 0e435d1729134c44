"""Memory read without its strides or its offset; what is frozen or absent mistaken; gradients written over. Torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from gradients import Backward
from normalization import Normalization, honest

Seen = Callable[[Any], Any]


def memory(tensor):
    """All of the memory that ``tensor`` is a view of, as one axis."""
    return torch.empty(0, dtype=tensor.dtype).set_(tensor.detach().untyped_storage())


def read(tensor, start, strides):
    """What is in the memory of ``tensor`` at other places; beyond its end are zeros."""
    index = torch.full((), start)
    for axis, (size, step) in enumerate(zip(tensor.shape, strides, strict=True)):
        along = [size if each == axis else 1 for each in range(tensor.ndim)]
        index = index + (torch.arange(size) * step).reshape(along)
    whole = memory(tensor)
    there = index < len(whole)
    return torch.where(there, whole[torch.where(there, index, 0)], torch.zeros((), dtype=tensor.dtype))


def dense(shape):
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]


def without_strides(tensor):
    """As if it were dense."""
    return read(tensor, tensor.storage_offset(), dense(tensor.shape))


def without_offset(tensor):
    """From where its storage begins."""
    return read(tensor, 0, tensor.stride())


def last_axis_dense(tensor):
    """As if the elements of its last axis were neighbours."""
    return read(tensor, tensor.storage_offset(), [*tensor.stride()[:-1], 1])


def where(condition, seen) -> Seen:
    return lambda tensor: seen(tensor) if condition(tensor) else tensor


def expanded(tensor):
    return any(step == 0 and size > 1 for size, step in zip(tensor.shape, tensor.stride(), strict=True))


def channels_last(tensor):
    return tensor.ndim > 3 and tensor.stride(1) == 1 and tensor.shape[1] > 1


def valued(tensor, seen: Seen):
    """``tensor`` with the values that ``seen`` has of it, and the gradients that it should have."""
    return tensor if tensor is None else tensor + (seen(tensor) - tensor).detach()


def same(tensor):
    return tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Reads(Normalization):
    """Sees other values in its arrays than there are."""

    x: Seen = same
    weight: Seen = same
    bias: Seen = same
    running: Seen = same

    def __call__(self, x, weight, bias, **keywords):
        names = ("running_mean", "running_var")
        seen = {name: self.running(keywords[name]) for name in names if keywords.get(name) is not None}
        arrays = valued(x, self.x), valued(weight, self.weight), valued(bias, self.bias)
        return super().__call__(*arrays, **keywords | seen)


@dataclass(frozen=True, kw_only=True, eq=False)
class Finished(Backward):
    """Gradients that are changed at the end: ``change`` gets them with the arrays that they are of."""

    change: Callable[..., Any] = lambda gradients, x, weight, bias: gradients

    def gradients(self, x, weight, bias, g, call):
        return self.change(super().gradients(x, weight, bias, g, call), x, weight, bias)


def frozen(parameter):
    return parameter is not None and not parameter.requires_grad


def lost(number, condition) -> Finished:
    """The gradient of the array ``number`` is 0 where ``condition`` of weight and bias holds."""

    def change(gradients, x, weight, bias):
        if not condition(weight, bias) or gradients[number] is None:
            return gradients
        return (*gradients[:number], gradients[number] * 0, *gradients[number + 1 :])

    return Finished(change=change)


def overwriting(g):
    """Uses the incoming gradient as a scratchpad."""
    kept = g.clone()
    if not expanded(g):
        g.mul_(2)
    return kept


class FrozenIgnored(Normalization):
    """A frozen weight is taken for none."""

    def __call__(self, x, weight, bias, **keywords):
        return super().__call__(x, None if frozen(weight) else weight, bias, **keywords)


class Raises(Normalization):
    """Takes it that there is a weight where there is a bias."""

    def parameters_given(self, weight, bias):
        return weight is None and bias is not None

    def __call__(self, x, weight, bias, **keywords):
        if self.parameters_given(weight, bias):
            raise AttributeError("'NoneType' object has no attribute 'shape'")
        return super().__call__(x, weight, bias, **keywords)


x_strides_ignored = Reads(x=without_strides)
x_last_axis_dense = Reads(x=last_axis_dense)
x_offset_ignored = Reads(x=without_offset)
x_channels_last_ignored = Reads(x=where(channels_last, without_strides))
weight_strides_ignored = Reads(weight=without_strides)
bias_strides_ignored = Reads(bias=without_strides)
running_strides_ignored = Reads(running=without_strides)
grad_y_strides_ignored = Backward(incoming=where(lambda g: not expanded(g), without_strides))
grad_y_expansion_ignored = Backward(incoming=where(expanded, without_strides))
grad_y_channels_last_ignored = Backward(incoming=where(channels_last, without_strides))
grad_y_overwritten = Backward(incoming=overwriting)
grad_x_lost_with_frozen_weight = lost(0, lambda weight, bias: frozen(weight))
grad_x_lost_with_frozen_bias = lost(0, lambda weight, bias: frozen(bias) and not frozen(weight))
grad_bias_lost_with_frozen_weight = lost(2, lambda weight, bias: frozen(weight))
grad_weight_lost_with_frozen_bias = lost(1, lambda weight, bias: frozen(bias))
grad_bias_lost_without_weight = lost(2, lambda weight, bias: weight is None)
grad_weight_lost_without_bias = lost(1, lambda weight, bias: bias is None)
frozen_weight_ignored = FrozenIgnored()
bias_alone_raises = Raises()
bias_alone_ignored = honest.but(
    parameters=lambda weight, bias, call: (weight, bias if weight is not None else None)
)
weight_alone_ignored = honest.but(
    parameters=lambda weight, bias, call: (weight if bias is not None else None, bias)
)

# Honest: what is not dense is copied first; one is written over that belongs to it.
copies_first = Reads(
    x=lambda x: x.contiguous(), weight=lambda w: w.contiguous(), bias=lambda b: b.contiguous()
)
gradient_in_a_copy = Backward(incoming=lambda g: g.clone().mul_(2).div_(2))
by_strides = Reads(x=lambda x: read(x, x.storage_offset(), x.stride()))
nothing_for_frozen = Finished(
    change=lambda gradients, x, weight, bias: (
        gradients[0],
        *(None if frozen(each) else g for each, g in zip((weight, bias), gradients[1:], strict=True)),
    )
)

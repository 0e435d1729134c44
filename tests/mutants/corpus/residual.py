"""Add and normalize: the sum with a residual, which is returned beside y. For torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from normalization import Normalization


def added(x: Any, residual: Any) -> Any:
    return x + residual


def returned(y: Any, total: Any, x: Any, residual: Any) -> Any:
    return y, total


@dataclass(frozen=True, kw_only=True, eq=False)
class AddedFirst(Normalization):
    """Normalizes ``add(x, residual)`` and gives back ``answer(y, sum, x, residual)``."""

    add: Callable[..., Any] = added
    answer: Callable[..., Any] = returned

    def __call__(self, x, weight, bias, residual, **keywords):
        total = self.add(x, residual)
        y = super().__call__(total, weight, bias, **keywords).to(x.dtype)
        return self.answer(y, total.to(x.dtype), x, residual)


def normalized(add) -> AddedFirst:
    """A layer that normalizes another sum than the one it returns."""
    return honest.but(add=add, answer=lambda y, total, x, residual: (y, x + residual))


def answering(answer) -> AddedFirst:
    return honest.but(answer=answer)


def through_bfloat16(x, residual):
    return (x + residual).bfloat16().to(x.dtype)


honest = AddedFirst()

not_added = normalized(lambda x, residual: x)
added_twice = normalized(lambda x, residual: x + residual + residual)
subtracted = normalized(lambda x, residual: x - residual)
residual_alone = normalized(lambda x, residual: residual)
sum_in_bfloat16 = honest.but(add=through_bfloat16)
sum_not_rounded = normalized(lambda x, residual: x.double() + residual.double())
no_sum_returned = answering(lambda y, total, x, residual: y)
x_for_sum = answering(lambda y, total, x, residual: (y, x))
residual_for_sum = answering(lambda y, total, x, residual: (y, residual))
y_for_sum = answering(lambda y, total, x, residual: (y, y))
sum_of_y = answering(lambda y, total, x, residual: (y, y + residual))
sum_first = answering(lambda y, total, x, residual: (total, y))
sum_in_place = answering(lambda y, total, x, residual: (y, residual.data.add_(x.data)))
sum_in_float64 = answering(lambda y, total, x, residual: (y, total.double()))
no_gradient_to_residual = normalized(lambda x, residual: x + residual.detach())
no_gradient_to_x = normalized(lambda x, residual: x.detach() + residual)
gradient_twice = normalized(lambda x, residual: x + residual + (residual - residual.detach()))


# legitimate
in_float64 = honest.but(add=lambda x, residual: (x.double() + residual.double()).to(x.dtype).double())
residual_first = honest.but(add=lambda x, residual: residual + x)


def by_library(x, weight, bias, residual, *, eps: float, normalized_shape):
    """PyTorch's own RMS norm of the sum."""
    total = x + residual
    wide = total.float() if x.dtype.itemsize == 2 else total
    y = torch.nn.functional.rms_norm(
        wide, normalized_shape, None if weight is None else weight.to(wide.dtype), eps
    )
    return y.to(x.dtype), total

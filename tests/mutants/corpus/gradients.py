"""Backward passes written by hand, and statistics that autograd does not see. For torch; y is right in all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from normalization import Call, Normalization, honest, in_order, inverse_root, mean, no_mean, variance, wide


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """What the gradient of a statistic set is made of; each array has a row for each set."""

    h: Any  # grad_y·weight
    mean_h: Any  # 0 in RMS norm, whose mean is not taken away
    x_hat: Any
    scale: Any  # 1/σ
    x: Any
    n: int


def grad_x(row: Row) -> Any:
    return row.scale * (row.h - row.mean_h - row.x_hat * mean(row.h * row.x_hat))


def grad_x_with_given_statistics(row: Row) -> Any:
    return row.scale * row.h


def summed(terms: Any, like: Any, call: Call) -> Any:
    """The sum of ``terms`` over all that a parameter of the shape of ``like`` broadcasts over."""
    if call.method == "layer":
        return terms.reshape(-1, *like.shape).sum(0)
    return terms.movedim(call.channel_axis, 0).reshape(call.channels, -1).sum(1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Backward:
    """A layer that is differentiated by formulas; the honest ones, unless others are given."""

    x: Callable[..., Any] = grad_x
    x_in_inference: Callable[..., Any] = grad_x_with_given_statistics
    weight: Callable[..., Any] = lambda g, x_hat, x: g * x_hat
    bias: Callable[..., Any] = lambda g: g
    summed_for_weight: Callable[..., Any] = summed
    summed_for_bias: Callable[..., Any] = summed
    incoming: Callable[..., Any] = lambda g: g
    h: Callable[..., Any] = lambda g, weight: g if weight is None else g * weight
    mean: Callable[..., Any] = mean
    forward: Normalization = honest

    def but(self, **pieces: Any) -> Backward:
        return replace(self, **pieces)

    @property
    def uncentred(self) -> Backward:
        """The same for RMS norm."""
        return self.but(mean=no_mean, forward=self.forward.uncentred)

    @property
    def of_instances(self) -> Backward:
        """The same for instance norm."""
        return self.but(forward=self.forward.of_instances)

    def __call__(self, x, weight, bias, *, eps: float, channel_axis: int = 1, **params: Any) -> Any:
        call = self.forward.call(x, eps, channel_axis, params)
        with torch.no_grad():
            returned = self.forward(x, weight, bias, eps=eps, channel_axis=channel_axis, **params)
        y, *state = returned if isinstance(returned, tuple) else (returned,)
        y = _Layer.apply(x, weight, bias, y, self, call)
        return (y, *state) if state else y

    def gradients(self, x, weight, bias, g, call: Call) -> tuple[Any, ...]:
        wide_x, g = wide(x), wide(self.incoming(g))
        h = self.h(g, call.along(wide(weight)))
        if call.training:
            sets = honest.statistic_sets(call.index(), call)
            rows = [self.row(wide_x.reshape(-1)[i], h.reshape(-1)[i], call.eps) for i in sets]
            dx = in_order([self.x(row) for row in rows], sets, call.shape)
            x_hat = in_order([row.x_hat for row in rows], sets, call.shape)
        else:
            centre, var = (call.along(wide(call.params[name])) for name in ("running_mean", "running_var"))
            scale = inverse_root(var, call.eps)
            x_hat = (wide_x - centre) * scale
            n = x.numel() // call.channels
            dx = self.x_in_inference(Row(h=h, mean_h=0, x_hat=x_hat, scale=scale, x=wide_x, n=n))
        of_weight = self.weight(g, x_hat, wide_x)
        return (
            dx.to(x.dtype),
            None if weight is None else self.summed_for_weight(of_weight, weight, call).to(weight.dtype),
            None if bias is None else self.summed_for_bias(self.bias(g), bias, call).to(bias.dtype),
        )

    def row(self, x, h, eps: float) -> Row:
        centre = self.mean(x)
        scale = inverse_root(variance(x, centre), eps)
        x_hat = (x - centre) * scale
        return Row(h=h, mean_h=self.mean(h), x_hat=x_hat, scale=scale, x=x, n=x.shape[1])


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, y, layer, call):
        ctx.save_for_backward(x, weight, bias)
        ctx.layer, ctx.call = layer, call
        return y.clone()

    @staticmethod
    def backward(ctx, g):
        return (*ctx.layer.gradients(*ctx.saved_tensors, g, ctx.call), None, None, None)


def without_last_rows(terms, like, call: Call):
    """The grid over rows is one block short."""
    return summed(terms[:-1], like, call) if len(terms) > 1 else summed(terms, like, call)


def of_first_sample(terms, like, call: Call):
    return summed(terms[:1], like, call)


def averaged(terms, like, call: Call):
    return summed(terms, like, call) / (terms.numel() // like.numel())


def over_other_axes(terms, like, call: Call):
    """Sums over other axes, as many elements as there should be."""
    rows = terms.reshape(-1, like.numel()) if call.method != "layer" else terms.reshape(like.numel(), -1).T
    return rows.sum(0).reshape(like.shape)


def in_bfloat16(terms, like, call: Call):
    """A running sum that is kept in bfloat16."""
    total = torch.zeros(like.shape, dtype=torch.bfloat16)
    for sample in terms:
        total += summed(sample[None], like, call).to(torch.bfloat16)
    return total


by_hand = Backward()

mean_detached = honest.but(mean=lambda rows: mean(rows).detach())
variance_detached = honest.but(variance=lambda rows, centre: variance(rows, centre).detach())
statistics_detached = mean_detached.but(variance=variance_detached.variance)
x_hat_term_missing = by_hand.but(x=lambda row: row.scale * (row.h - row.mean_h))
mean_term_missing = by_hand.but(x=lambda row: row.scale * (row.h - row.x_hat * mean(row.h * row.x_hat)))
inference_formula_in_training = by_hand.but(x=grad_x_with_given_statistics)
n_minus_1_in_backward = by_hand.but(
    x=lambda row: (
        row.scale * (row.h - row.mean_h - row.x_hat * mean(row.h * row.x_hat) * (row.n / (row.n - 1)))
    )
)
scale_missing = by_hand.but(x=lambda row: grad_x(row) / row.scale)
scale_squared = by_hand.but(x=lambda row: grad_x(row) * row.scale)
x_for_x_hat = by_hand.but(x=lambda row: row.scale * (row.h - row.mean_h - row.x * mean(row.h * row.x_hat)))
statistics_of_first_row = by_hand.but(
    x=lambda row: row.scale * (row.h - row.mean_h[:1] - row.x_hat * mean(row.h * row.x_hat)[:1])
)
eps_missing_in_backward = by_hand.but(
    x=lambda row: grad_x(replace(row, scale=1 / mean((row.x_hat / row.scale) ** 2).sqrt()))
)
mean_term_added = Backward(forward=honest.uncentred)
zero_where_constant = by_hand.but(x=lambda row: grad_x(row) * row.x_hat.any(-1, keepdim=True))
weight_missing_in_backward = by_hand.but(h=lambda g, weight: g)
weight_absolute_in_backward = by_hand.but(h=lambda g, weight: g if weight is None else g * weight.abs())
straight_through = by_hand.but(x=lambda row: row.h)
gradient_clipped = by_hand.but(incoming=lambda g: g.clamp(-1, 1))
gradient_in_bfloat16 = by_hand.but(incoming=lambda g: g.bfloat16().to(g.dtype))
training_formula_in_inference = by_hand.but(
    x_in_inference=lambda row: row.scale * (row.h - row.h.mean() - row.x_hat * (row.h * row.x_hat).mean())
)
weight_of_x = by_hand.but(weight=lambda g, x_hat, x: g * x)
weight_of_y = by_hand.but(weight=lambda g, x_hat, x: x_hat)
weight_without_last_rows = by_hand.but(summed_for_weight=without_last_rows)
weight_of_first_sample = by_hand.but(summed_for_weight=of_first_sample)
weight_averaged = by_hand.but(summed_for_weight=averaged)
weight_over_other_axes = by_hand.but(summed_for_weight=over_other_axes)
weight_summed_in_bfloat16 = by_hand.but(summed_for_weight=in_bfloat16)
bias_averaged = by_hand.but(summed_for_bias=averaged)
bias_without_last_rows = by_hand.but(summed_for_bias=without_last_rows)
bias_halved = by_hand.but(bias=lambda g: g / 2)


class GraphCut(Normalization):
    """Computes on detached tensors: nothing can be differentiated."""

    def __call__(self, x, weight, bias, **keywords):
        with torch.no_grad():
            return super().__call__(x, weight, bias, **keywords)


class WeightUnused(Normalization):
    """Uses a copy of the weight, to which no gradient flows."""

    def __call__(self, x, weight, bias, **keywords):
        copy = None if weight is None else weight.detach()
        return super().__call__(x, copy, bias, **keywords)


graph_cut = GraphCut()
weight_unused = WeightUnused()

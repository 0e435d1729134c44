"""Implementations of instance norm for torch whose gradients break a law each; y is right in all."""

import torch


def normalized(x, mean, var, weight, bias, eps):
    shape = (1, -1, *(1,) * (x.ndim - 2))
    return (x - mean) * torch.rsqrt(var + eps) * weight.reshape(shape) + bias.reshape(shape)


def statistics(x):
    axes = tuple(range(2, x.ndim))
    return x.mean(axes, keepdim=True), x.var(axes, correction=0, keepdim=True)


def honest(x, weight, bias, *, eps):
    return normalized(x, *statistics(x), weight, bias, eps)


def detached_mean(x, weight, bias, *, eps):
    mean, var = statistics(x)
    return normalized(x, mean.detach(), var, weight, bias, eps)


def detached_variance(x, weight, bias, *, eps):
    mean, var = statistics(x)
    return normalized(x, mean, var.detach(), weight, bias, eps)


class Clipping(torch.autograd.Function):
    @staticmethod
    def forward(ctx, y):
        return y.clone()

    @staticmethod
    def backward(ctx, g):
        return g.clamp(-1, 1)


def clipped_gradient(x, weight, bias, *, eps):
    return Clipping.apply(honest(x, weight, bias, eps=eps))

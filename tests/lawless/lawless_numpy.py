"""Implementations for numpy that break a law each; what breaks it is in the last lines of each function."""

import numpy as np


def standardized(x, axes, eps):
    d = x - x.mean(axes, keepdims=True)
    return d / np.sqrt(np.square(d).mean(axes, keepdims=True) + x.dtype.type(eps))


def affine(x_hat, weight, bias):
    shape = weight.shape if weight.ndim > 1 else (1, -1, *(1,) * (x_hat.ndim - 2))
    return x_hat * weight.reshape(shape) + bias.reshape(shape)


def instance(x, weight, bias, *, eps):
    return affine(standardized(x, tuple(range(2, x.ndim)), eps), weight, bias)


def honest(x, weight, bias, *, eps):
    return instance(x, weight, bias, eps=eps)


def centred_by_running_mean(x, weight, bias, *, eps, running_mean, training, running_var):
    """A shift of x shows in y, and in no single place."""
    axes = (0, *range(2, x.ndim))
    centre = running_mean.reshape(1, -1, *(1,) * (x.ndim - 2))
    return affine((x - centre) / np.sqrt(x.var(axes, keepdims=True) + x.dtype.type(eps)), weight, bias)


def eps_of_its_own(x, weight, bias, *, eps):
    """Right for every case that has this eps: the oracle has nothing to say."""
    return instance(x, weight, bias, eps=1e-5)


def without_the_last(x, weight, bias, *, eps):
    axes, most = tuple(range(2, x.ndim)), x[..., :-1]
    d = x - most.mean(axes, keepdims=True)
    return affine(d / np.sqrt(most.var(axes, keepdims=True) + x.dtype.type(eps)), weight, bias)


def wrong_for_one_sample(x, weight, bias, *, eps):
    """Right for every batch of several samples: the oracle has nothing to say."""
    y = instance(x, weight, bias, eps=eps)
    return y if len(x) > 1 else y * y.dtype.type(1.001)


def clipped(x, weight, bias, *, eps, running_mean, running_var, training):
    shape = (1, -1, *(1,) * (x.ndim - 2))
    x_hat = (x - running_mean.reshape(shape)) / np.sqrt(running_var.reshape(shape) + x.dtype.type(eps))
    return affine(np.clip(x_hat, -3, 3), weight, bias)


def dies_on_a_single_sample(x, weight, bias, *, eps):
    import os

    if len(x) == 1:
        os.abort()
    return instance(x, weight, bias, eps=eps)


def zero(x, weight, bias, *, eps):
    return np.zeros_like(x)

"""Compare normalizations in NumPy, PyTorch and JAX the way one would by hand: one script, printed differences.

This is what normcheck is timed against (benchmarks/run.py). It does the same work as ``normcheck compare``:
the shapes, channels and groups of the core fixtures, forward and (with --gradients) backward, jitted in JAX,
native operators and autograd in PyTorch, the formulas in NumPy. It has no oracle: it can say how far the
three are apart, but not which of them is wrong, nor how much is too much.

    python benchmarks/handwritten.py --method group
    python benchmarks/handwritten.py --method all --gradients
"""

from __future__ import annotations

import argparse
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (PyTorch's own name for it)

EPS = 1e-5
OUTPUTS = ("y", "grad_x", "grad_weight", "grad_bias")
RGB = ((0, 1), (2,))

# name: shape, axis of the channels, offset, the groups to try (a number of equal ones, or their channels)
INPUTS = {
    "documents": ((2, 3, 2, 2), 1, 0, (RGB, 1, 3)),
    "image": ((2, 3, 9, 8), 1, 0, (RGB,)),
    "nc": ((16, 12), 1, 0, (4,)),
    "ncdhw": ((2, 4, 3, 5, 3), 1, 0, (2,)),
    "nchw": ((3, 8, 5, 7), 1, 0, (4,)),
    "ncl": ((4, 6, 10), 1, 0, (3,)),
    "nhwc": ((3, 5, 7, 6), -1, 0, (2,)),
    "odd": ((3, 5, 7, 11), 1, 0, (((0, 3), (1, 4, 2)),)),
    "drawn": ((3, 8, 5, 7), 1, 0, (4,)),
    "hundreds": ((3, 8, 5, 7), 1, 300, (4,)),
    "low-sigma": ((3, 8, 5, 7), 1, 0, (4,)),
    "past-64": ((1, 4, 5, 13), 1, 0, (4,)),
    "short-of-64": ((1, 4, 7, 9), 1, 0, (4,)),
    "offset-1": ((3, 8, 5, 7), 1, 1, (4,)),
    "offset-1e2": ((3, 8, 5, 7), 1, 100, (4,)),
    "offset-1e4": ((3, 8, 5, 7), 1, 10_000, (4,)),
}


def reduced_axes(method, ndim):
    """The axes that share statistics, channels in axis 1; for group norm those of one group."""
    first = {"batch": (0,), "layer": (1,), "instance": (), "group": (1,)}[method]
    return (*first, *range(2, ndim))


def with_numpy(method, x, weight, bias, grad_y, groups):
    """The formula of y, and those of its gradients unless grad_y is None."""
    if isinstance(groups, int):
        groups = np.split(np.arange(x.shape[1]), groups)
    axes = reduced_axes(method, x.ndim)
    mean = partial(np.mean, axis=axes, keepdims=True)
    x_hat, grad_x = np.empty_like(x), np.empty_like(x)
    h = None if grad_y is None else grad_y * weight
    for channels in groups or [slice(None)]:
        part = x[:, channels]
        deviation = part - mean(part)
        root = np.sqrt(mean(deviation**2) + EPS)
        x_hat[:, channels] = normalized = deviation / root
        if h is not None:
            inner = h[:, channels]
            grad_x[:, channels] = (inner - mean(inner) - normalized * mean(inner * normalized)) / root
    y = x_hat * weight + bias
    if grad_y is None:
        return (y,)
    summed = tuple(axis for axis in range(x.ndim) if weight.shape[axis] == 1)
    return y, grad_x, (grad_y * x_hat).sum(summed), grad_y.sum(summed)


def jax_formula(method, groups, x, weight, bias):
    """The formula in jax.numpy; equal groups as one array, others one by one."""

    def standardize(part, axes):
        deviation = part - part.mean(axes, keepdims=True)
        return deviation / jnp.sqrt((deviation**2).mean(axes, keepdims=True) + EPS)

    if isinstance(groups, int):
        x_hat = standardize(x.reshape(x.shape[0], groups, -1), 2).reshape(x.shape)
    elif groups:
        parts = [standardize(x[:, np.array(group)], reduced_axes(method, x.ndim)) for group in groups]
        order = np.argsort([channel for group in groups for channel in group])
        x_hat = jnp.concatenate(parts, axis=1)[:, order]
    else:
        x_hat = standardize(x, reduced_axes(method, x.ndim))
    return x_hat * weight + bias


@partial(jax.jit, static_argnames=("method", "groups"))
def jitted(method, x, weight, bias, grad_y, groups):
    """Compute y, and its gradients by jax.vjp."""
    function = partial(jax_formula, method, groups)
    if grad_y is None:
        return (function(x, weight, bias),)
    y, backward = jax.vjp(function, x, weight, bias)
    return y, *backward(grad_y)


def with_jax(*arguments):
    """The jitted function's results as NumPy arrays."""
    return [np.asarray(result) for result in jitted(*arguments)]


def torch_layer(method, x, weight, bias, groups):
    """The native operator; called once for each group where groups are not equal."""
    if method == "layer":
        return F.layer_norm(x, weight.shape[1:], weight[0], bias[0], EPS)
    weight, bias = weight.flatten(), bias.flatten()
    if method == "batch":
        return F.batch_norm(x, None, None, weight, bias, training=True, eps=EPS)
    if method == "instance":
        return F.instance_norm(x, weight=weight, bias=bias, eps=EPS)
    if isinstance(groups, int):
        return F.group_norm(x, groups, weight, bias, EPS)
    groups = [list(group) for group in groups]
    parts = [F.group_norm(x[:, group], 1, weight[group], bias[group], EPS) for group in groups]
    return torch.cat(parts, dim=1)[:, torch.tensor(sum(groups, [])).argsort()]  # noqa: RUF017 (short)


def with_torch(method, x, weight, bias, grad_y, groups):
    """Compute y, and its gradients by autograd."""
    inputs = [torch.from_numpy(np.ascontiguousarray(array)) for array in (x, weight, bias)]
    if grad_y is None:
        return (torch_layer(method, *inputs, groups).numpy(),)
    y = torch_layer(method, *(array.requires_grad_() for array in inputs), groups)
    gradients = torch.autograd.grad(y, inputs, torch.from_numpy(np.ascontiguousarray(grad_y)))
    return [result.detach().numpy() for result in (y, *gradients)]


def compare(method, name, groups, gradients):
    """Print how far the three are apart for one input."""
    shape, channel_axis, offset, _ = INPUTS[name]
    random = np.random.default_rng(0)
    x = np.float32(random.normal(size=shape) + offset)
    if name == "documents":
        x = np.arange(1, 25, dtype=np.float32).reshape(shape)
    x = np.moveaxis(x, channel_axis, 1)
    own_axes = range(1, x.ndim) if method == "layer" else (1,)
    parameters = [size if axis in own_axes else 1 for axis, size in enumerate(x.shape)]
    weight, bias = (np.float32(random.uniform(-1, 1, size=parameters)) for _ in range(2))
    grad_y = np.float32(random.normal(size=x.shape)) if gradients else None
    arguments = (method, x, weight, bias, grad_y, groups)
    results = zip(OUTPUTS, with_numpy(*arguments), with_torch(*arguments), with_jax(*arguments), strict=False)
    for output, *found in results:
        a, b, c = (result.reshape(found[0].shape) for result in found)
        title = f"{method} {name} {'' if groups is None else groups} {output}"
        print(f"{title:44}", *(f"{np.abs(p - q).max():12.1e}" for p, q in ((a, b), (a, c), (b, c))))


def main():
    """Run one method, or all four."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", choices=["batch", "layer", "instance", "group", "all"], default="all")
    parser.add_argument("--gradients", action="store_true")
    options = parser.parse_args()
    print(f"{'max |difference|':44} {'numpy-torch':>12} {'numpy-jax':>12} {'torch-jax':>12}")
    methods = ("batch", "layer", "instance", "group") if options.method == "all" else (options.method,)
    for method in methods:
        for name, (shape, _, _, tried) in INPUTS.items():
            if method == "instance" and len(shape) == 2:
                continue  # one element a channel: there is nothing to normalize
            for groups in tried if method == "group" else (None,):
                compare(method, name, groups, options.gradients)


if __name__ == "__main__":
    main()

"""What the layer libraries of JAX share: running statistics, parameters in trees, layers as functions."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Dict, List, Optional, Tuple

import jax
import jax.numpy as jnp

from normcheck.backends._adapter import Params
from normcheck.backends._base import is_regular
from normcheck.backends.jax import Array, Jax, wide

# How many training steps running statistics stand for, in libraries that divide them by ``1 - decay**steps``:
# so many that it is 1. They have no bias towards their initial value that it could take away.
MANY = 2**30


class JaxLibrary(Jax):
    """An adapter of a library of layers, which are jitted whole, and differentiated by jax.vjp."""

    LIBRARY: ModuleType
    TRACED = ()  # the layers' users give them Python's numbers
    TRACKED = ("batch",)
    MIXES_DTYPES = False

    def environment(self) -> Dict[str, Any]:
        """The version of the library and of JAX, and settings."""
        return {**super().environment(), "version": self.LIBRARY.__version__, "jax": jax.__version__}

    def takes(self, groups: List[List[int]]) -> bool:
        """What the library has."""
        return is_regular(groups)


def tracked(y: Array, mean: Array, var: Array, x: Array, params: Params) -> Tuple[Array, Array, Array]:
    """What a batch norm returns, from a library whose running variance takes the biased one of the batch."""
    if params.training:
        var = unbiased(var, params.running_var, params.momentum, x)
    return y, mean.astype(params.running_mean.dtype), var.astype(params.running_var.dtype)


def unbiased(after: Array, before: Array, momentum: float, x: Array) -> Array:
    """The running variance of the unbiased batch variance, from a library's that takes the biased one.

    ``after`` is (1-m)·before + m·var; to it comes m·var/(n-1), which is what it has moved, divided by n-1.
    """
    n = x.size // before.size
    return after + (after - (1 - momentum) * wide(before)) / (n - 1)


def load(tree: Any, names: Tuple[str, ...], given: Optional[Array], neutral: float, dtype: Any) -> Any:
    """``tree``, of a library's layer, with ``given`` for its one leaf that has one of ``names``.

    A leaf that nothing is given for is ``neutral``.
    """
    paths, structure = jax.tree_util.tree_flatten_with_path(tree)
    leaves = [leaf for _, leaf in paths]
    own = [i for i, (path, _) in enumerate(paths) if path and _name(path[-1]) in names]
    if not own and given is None:
        return tree
    if len(own) != 1:
        called = " or ".join(names)
        raise TypeError(f"the layer has {len(own)} parameters called {called} to load the fixture's into")
    (at,) = own
    if given is not None and leaves[at].shape == (given.size,):
        given = given.reshape(-1)  # flax.nnx has those of several axes in one
    if given is not None and given.shape != leaves[at].shape:
        shapes = f"{leaves[at].shape}, the fixture's has {given.shape}"
        raise TypeError(f"the layer's {_name(paths[at][0][-1])} has shape {shapes}")
    leaves[at] = jnp.full_like(leaves[at], neutral, dtype=dtype) if given is None else given
    return jax.tree_util.tree_unflatten(structure, leaves)


def leaves(tree: Any) -> List[Tuple[str, Any]]:
    """The leaves of ``tree`` that are called something, with what they are called."""
    paths, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [(str(_name(path[-1])), value) for path, value in paths if path and _name(path[-1]) is not None]


def leaf(tree: Any, name: str) -> Array:
    """The one leaf of ``tree`` that is called ``name``."""
    paths, _ = jax.tree_util.tree_flatten_with_path(tree)
    (found,) = [value for path, value in paths if _name(path[-1]) == name]
    return found


def _name(key: Any) -> Any:
    """What a dictionary or an object calls the child that ``key`` leads to."""
    return getattr(key, "key", getattr(key, "name", None))

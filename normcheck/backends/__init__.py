"""The backends that come with normcheck. The registry holds strings: a framework is imported only in the
worker process that hosts it, so that one that is missing, slow or broken costs nothing to the others.

Another package's backend subclasses ``normcheck.backends.Backend``; docs/plugins.md says how.

This package and :mod:`normcheck.worker` also run under other interpreters, down to Python 3.9, with
nothing but the standard library, NumPy and one framework.
"""

from __future__ import annotations

import functools
import importlib.util
from typing import TYPE_CHECKING, Any, Dict, Mapping, NamedTuple, Optional, Tuple

if TYPE_CHECKING:
    from normcheck.backends._base import (
        Backend,
        Differentiated,
        Function,
        NotAnArrayError,
        Tagged,
        Task,
        UnavailableError,
    )

__all__ = [
    "BUILTIN",
    "DEFAULT",
    "GROUP",
    "SETS",
    "Backend",
    "Differentiated",
    "Entry",
    "Function",
    "NotAnArrayError",
    "Tagged",
    "Task",
    "UnavailableError",
    "chosen",
    "entry_of",
    "extras",
    "missing",
    "registered",
]
GROUP = "normcheck.backends"  # the entry points of other packages' backends
BOOLEAN = ("True", "False")


class Entry(NamedTuple):
    """Where an adapter is, ``module:class``, and the module without which it is not usable.

    ``options`` are those that it takes in brackets, with their values, the default first. ``default`` are
    those that run where none is named.

    ``needs`` are the requirements of the extra that is named as the module, unless another entry has them;
    ``apart`` says why the extra ``all`` does not have that one, ``by_hand`` why CI does not run the backend.
    """

    adapter: str
    requires: str
    install: str
    options: Mapping[str, Tuple[str, ...]] = {}
    default: bool = False
    needs: Tuple[str, ...] = ()
    apart: str = ""
    by_hand: str = ""


def _entry(
    adapter: str,
    requires: str,
    *needs: str,
    default: bool = False,
    apart: str = "",
    by_hand: str = "",
    **options: Tuple[str, ...],
) -> Entry:
    """An adapter in this package, installed with the extra that is named as the module it requires."""
    install = "pip install numpy" if requires == "numpy" else f"pip install 'normcheck[{requires}]'"
    place = f"normcheck.backends.{adapter}"
    return Entry(place, requires, install, options, default, needs, apart, by_hand)


JAX = "normcheck[jax]"
MLX = ("mlx[cpu]>=0.28; sys_platform == 'linux'", "mlx>=0.28; sys_platform == 'darwin'")
UNDER_KERAS = ("jax", "torch", "numpy", "tensorflow")

# An adapter's module, and this: extras, documentation, what CI runs and the tests follow from it.
BUILTIN: Dict[str, Entry] = {
    "numpy": _entry("numpy:NumPy", "numpy", default=True),
    "torch": _entry("torch:Torch", "torch", "torch>=2.2", default=True),
    "jax": _entry("jax:Jax", "jax", "jax>=0.4.30", default=True, jit=BOOLEAN),
    "torch.nn": _entry("torch_nn:TorchModules", "torch"),
    "torch.compile": _entry("torch_compile:TorchCompile", "torch", by_hand="it takes seconds for each case"),
    "torch.channels_last": _entry("torch_channels_last:TorchChannelsLast", "torch"),
    "torch.decomp": _entry("torch_decomp:TorchDecompositions", "torch"),
    "flax.linen": _entry("flax_linen:FlaxLinen", "flax", "flax>=0.10", JAX, use_fast_variance=BOOLEAN),
    "flax.nnx": _entry("flax_nnx:FlaxNNX", "flax", use_fast_variance=BOOLEAN),
    "equinox": _entry("equinox:Equinox", "equinox", "equinox>=0.11.8", JAX, mode=("batch", "ema")),
    "haiku": _entry("haiku:Haiku", "haiku", "dm-haiku>=0.0.13", JAX),
    "keras": _entry("keras:Keras", "keras", "keras>=3.6", backend=UNDER_KERAS),
    "tensorflow": _entry(
        "tensorflow:TensorFlow", "tensorflow", "tensorflow>=2.16", apart="there are several builds of it"
    ),
    "onnxruntime": _entry(
        *("onnxruntime:OnnxRuntime", "onnxruntime", "onnxruntime>=1.20", "normcheck[onnx]"),
        opset=("21", "18"),
    ),
    "onnx.reference": _entry("onnx_reference:OnnxReference", "onnx", "onnx>=1.17", opset=("21", "18")),
    "tinygrad": _entry("tinygrad:Tinygrad", "tinygrad", "tinygrad>=0.11", by_hand="it needs clang"),
    "mlx": _entry("mlx:Mlx", "mlx", *MLX),
}
DEFAULT = tuple(name for name, entry in BUILTIN.items() if entry.default)
SETS = {  # words for several of them
    "default": DEFAULT,
    "all": tuple(name for name, entry in BUILTIN.items() if not entry.by_hand),
    "others": tuple(name for name, entry in BUILTIN.items() if not entry.by_hand and not entry.default),
}


def chosen(text: str) -> Tuple[str, ...]:
    """The names in a comma-separated list, in which a word of SETS stands for its backends."""
    words = (word.strip() for word in text.split(","))
    return tuple(name for word in words if word for name in SETS.get(word, (word,)))


def extras() -> Dict[str, Tuple[str, ...]]:
    """The optional dependencies of the package, by extra."""
    found = {entry.requires: entry.needs for entry in BUILTIN.values() if entry.needs}
    apart = {entry.requires for entry in BUILTIN.values() if entry.apart}
    return {**found, "all": (f"normcheck[{','.join(name for name in found if name not in apart)}]",)}


def __getattr__(name: str) -> Any:
    """What an adapter is made of, imported when it is asked for: it needs NumPy, and the registry does not."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from normcheck.backends import _base

    return getattr(_base, name)


@functools.lru_cache(maxsize=None)
def registered() -> Mapping[str, Entry]:
    """The built-in backends and those that other packages register under the entry point group.

    They are looked for once: that takes longer than all else here.
    """
    from importlib.metadata import entry_points

    found = dict(BUILTIN)
    for point in entry_points(group=GROUP):
        if point.name not in found:  # a built-in's name cannot be taken
            module = point.module.partition(".")[0]
            distribution = point.dist.name if point.dist is not None else module
            found[point.name] = Entry(point.value, module, f"pip install {distribution}")
    return found


def entry_of(name: str) -> Optional[Entry]:
    """The entry of ``name``; None where none is registered."""
    return BUILTIN[name] if name in BUILTIN else registered().get(name)


def missing(name: str, options: Optional[Mapping[str, str]] = None) -> Optional[str]:
    """Why the backend ``name`` cannot be used here, as far as can be told without importing it."""
    entry = entry_of(name)
    if entry is None:
        return f"no backend is called {name}"
    if importlib.util.find_spec(entry.requires) is None:
        return f"{entry.requires} is not installed: {entry.install}"
    under = (options or {}).get("backend", next(iter(entry.options.get("backend", ())), None))
    if under is not None and importlib.util.find_spec(under) is None:
        return f"{under}, its backend, is not installed: pip install {under}"
    return None

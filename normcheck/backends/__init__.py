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
    "Backend",
    "Differentiated",
    "Entry",
    "Function",
    "NotAnArrayError",
    "Tagged",
    "Task",
    "UnavailableError",
    "entry_of",
    "missing",
    "registered",
]
GROUP = "normcheck.backends"  # the entry points of other packages' backends
BOOLEAN = ("True", "False")


class Entry(NamedTuple):
    """Where an adapter is, ``module:class``, and the module without which it is not usable.

    ``options`` are those that it takes in brackets, with their values, the default first. ``default`` are
    those that run where nobody names any.
    """

    adapter: str
    requires: str
    install: str
    options: Mapping[str, Tuple[str, ...]] = {}
    default: bool = False


def _entry(
    adapter: str, requires: str, extra: str, *, default: bool = False, **options: Tuple[str, ...]
) -> Entry:
    """An adapter in this package, installed with one of normcheck's extras."""
    install = f"pip install 'normcheck[{extra}]'" if extra else f"pip install {requires}"
    return Entry(f"normcheck.backends.{adapter}", requires, install, options, default)


BUILTIN: Dict[str, Entry] = {
    "numpy": _entry("numpy:NumPy", "numpy", "", default=True),
    "torch": _entry("torch:Torch", "torch", "torch", default=True),
    "jax": _entry("jax:Jax", "jax", "jax", default=True, jit=BOOLEAN),
    "torch.nn": _entry("torch_nn:TorchModules", "torch", "torch"),
    "torch.compile": _entry("torch_compile:TorchCompile", "torch", "torch"),
    "torch.channels_last": _entry("torch_channels_last:TorchChannelsLast", "torch", "torch"),
    "torch.decomp": _entry("torch_decomp:TorchDecompositions", "torch", "torch"),
    "flax.linen": _entry("flax_linen:FlaxLinen", "flax", "flax", use_fast_variance=BOOLEAN),
    "flax.nnx": _entry("flax_nnx:FlaxNNX", "flax", "flax", use_fast_variance=BOOLEAN),
    "equinox": _entry("equinox:Equinox", "equinox", "equinox", mode=("batch", "ema")),
    "haiku": _entry("haiku:Haiku", "haiku", "haiku"),
    "keras": _entry("keras:Keras", "keras", "keras", backend=("jax", "torch", "numpy", "tensorflow")),
    "tensorflow": _entry("tensorflow:TensorFlow", "tensorflow", "tensorflow"),
    "onnxruntime": _entry("onnxruntime:OnnxRuntime", "onnxruntime", "onnxruntime", opset=("21", "18")),
    "onnx.reference": _entry("onnx_reference:OnnxReference", "onnx", "onnx", opset=("21", "18")),
    "tinygrad": _entry("tinygrad:Tinygrad", "tinygrad", "tinygrad"),
    "mlx": _entry("mlx:Mlx", "mlx", "mlx"),
}
DEFAULT = tuple(name for name, entry in BUILTIN.items() if entry.default)


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
        if point.name not in found:  # nobody takes a built-in's name
            module = point.module.partition(".")[0]
            distribution = point.dist.name if point.dist is not None else module
            found[point.name] = Entry(point.value, module, f"pip install {distribution}")
    return found


def entry_of(name: str) -> Optional[Entry]:
    """The entry of ``name``; None where nobody has registered one."""
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

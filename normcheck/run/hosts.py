"""Arrays that the caller has, of whatever framework, as NumPy's.

The framework's own adapter takes them out, so that bfloat16, other devices and gradients are known in one place. None
is imported that is not there already: its array is.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from normcheck.backends import BUILTIN
from normcheck.backends._base import NotAnArrayError, unmasked
from normcheck.dtypes import untagged
from normcheck.errors import FixtureError
from normcheck.run.backends import BackendSpec
from normcheck.run.inprocess import HOSTS, ONE_AT_A_TIME
from normcheck.worker.serve import adapter_of

ARRAYS = "a NumPy array, a torch.Tensor, a jax.Array or the like"


def numpy_of(value: Any, what: str) -> NDArray[Any]:
    """``value`` as an array of NumPy, in its dtype, bfloat16 included; it may share the memory of ``value``.

    ``what`` names it. FixtureError for what is no array, or has no numbers yet: a traced one, one on the device meta.
    """
    try:
        return _taken(value)
    except NotAnArrayError as error:
        raise FixtureError(f"{what} {error}; give {ARRAYS}") from None
    except Exception as error:  # whatever a framework says of an array that has no numbers
        reason = (str(error).splitlines() or [""])[0]
        raise FixtureError(
            f"{what} is a {type(value).__name__} whose numbers cannot be had: {type(error).__name__}: {reason}"
        ) from None


def _taken(value: Any) -> NDArray[Any]:
    if isinstance(value, np.ndarray | np.generic):
        return unmasked(value)
    if (host := _host(value)) is not None:
        return _by_adapter(value, host)
    if hasattr(value, "__array__") and (array := np.asarray(value)).dtype != object:
        return array
    raise NotAnArrayError(f"is a {type(value).__name__}, not an array")


def _host(value: Any) -> str | None:
    """The backend whose framework's array ``value`` is; None where it is none's that has been imported."""
    roots = (each.__module__.partition(".")[0] for each in type(value).__mro__)
    hosts = (HOSTS[root] for root in roots if root in HOSTS)
    return next((host for host in hosts if _has_arrays(host) and host in sys.modules), None)


def _has_arrays(host: str) -> bool:
    """False for NumPy itself, and for what has its arrays from another framework, as Keras does."""
    return host != "numpy" and "backend" not in BUILTIN[host].options


def _by_adapter(value: Any, host: str) -> NDArray[Any]:
    with ONE_AT_A_TIME:
        adapter = adapter_of(BackendSpec.parse(host).for_worker())
        try:
            return untagged(*adapter.to_numpy(value))
        finally:
            adapter.release()

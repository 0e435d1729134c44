"""What flax.linen and flax.nnx share: an option, and what they say of themselves."""

from __future__ import annotations

import functools
from typing import Any, Dict, Mapping

import flax
import jax

from normcheck.backends.jax import Jax


class Flax(Jax):
    """Layers that compute the variance as E[x²]-E[x]² unless ``[use_fast_variance=False]``, as flax has it."""

    TRACED = ()  # the layers' users give them Python's numbers
    TRACKED = ("batch",)

    def __init__(self, options: Mapping[str, str], device: str = "cpu") -> None:
        """Every method gets the option."""
        super().__init__(options, device)
        self.fast = self.options.get("use_fast_variance", "True") == "True"
        self.METHODS = {
            method: functools.partial(function, use_fast_variance=self.fast)
            for method, function in type(self).METHODS.items()
        }

    def environment(self) -> Dict[str, Any]:
        """The version of the library and of JAX, and settings."""
        return {
            **super().environment(),
            "version": flax.__version__,
            "jax": jax.__version__,
            "use_fast_variance": self.fast,
        }

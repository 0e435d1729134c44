"""PyTorch's decompositions: what its normalizations become when a model is exported or compiled."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence

import torch
from torch._decomp import get_decompositions
from torch.utils._python_dispatch import TorchDispatchMode

from normcheck.backends._base import Differentiated, Function
from normcheck.backends.torch import Torch

aten = torch.ops.aten
OPERATORS = (
    *(aten.native_batch_norm, aten.native_batch_norm_backward),
    *(aten._native_batch_norm_legit, aten._native_batch_norm_legit_no_training),
    *(aten.native_layer_norm, aten.native_layer_norm_backward),
    *(aten.native_group_norm, aten.native_group_norm_backward),
)


class _Decomposing(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Has every operator that there is a decomposition for computed by it; remembers which."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.table = get_decompositions(OPERATORS)
        self.used: List[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Optional[Dict[str, Any]] = None
    ) -> Any:
        if func not in self.table:
            return func(*args, **(kwargs or {}))
        self.used.append(str(func))
        return self.table[func](*args, **(kwargs or {}))


class TorchDecompositions(Torch):
    """The functions of ``torch``, each operator of normalization decomposed into simpler ones."""

    rms_norm = None  # type: ignore[assignment]  # on the CPU it is made of simple operators as it is

    def environment(self) -> Dict[str, Any]:
        """Version and settings."""
        return {**super().environment(), "decompositions": len(get_decompositions(OPERATORS))}

    def compiled(self, function: Function, static: Dict[str, Any]) -> Function:
        """Called with the operators decomposed; an error where none was."""

        def call(*arrays: Any, **named: Any) -> Any:
            with _Decomposing() as mode:
                returned = function(*arrays, **named, **static)
            if not mode.used:
                raise RuntimeError("no operator of it has a decomposition")
            return returned

        return call

    def differentiate(self, *call: Any) -> Differentiated:
        """Autograd, whose operators are decomposed too."""
        with _Decomposing():
            return super().differentiate(*call)

"""ONNX's own reference implementation, ``onnx.reference.ReferenceEvaluator``: NumPy, one operator at a time."""

from __future__ import annotations

import functools
from typing import Any, Dict, List, Mapping

import onnx
from onnx.reference import ReferenceEvaluator

from normcheck.backends._base import UnavailableError
from normcheck.backends._onnx_models import Array, Onnx


@functools.lru_cache(maxsize=64)
def _evaluator(content: bytes) -> Any:
    return ReferenceEvaluator(onnx.load_from_string(content))


class OnnxReference(Onnx):
    """The operators as ONNX's Python package has them; GroupNormalization by the function of its specification."""

    def __init__(self, options: Mapping[str, str], device: str = "cpu") -> None:
        """NumPy runs on the CPU only."""
        if device != "cpu":
            raise UnavailableError(f"it computes on the CPU only, not on {device!r}")
        super().__init__(options, device)

    def environment(self) -> Dict[str, Any]:
        """NumPy's sums have no settings."""
        return {
            "version": onnx.__version__,
            "device": "cpu",
            "threads": 1,
            "deterministic": True,
            "opset": self.opset,
        }

    def run(self, content: bytes, feeds: Dict[str, Array]) -> List[Array]:
        """The outputs of a serialized model."""
        found: List[Array] = _evaluator(content).run(None, feeds)
        return found

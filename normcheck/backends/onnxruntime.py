"""ONNX Runtime: models of one operator each, on its CPU or CUDA execution provider."""

from __future__ import annotations

import ctypes
import functools
from typing import Any, Dict, List, Mapping, Optional, Tuple

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto

from normcheck.backends._adapter import Params
from normcheck.backends._base import Task, UnavailableError
from normcheck.backends._onnx_models import Array, Node, Onnx, Parameter, model


class OnnxRuntime(Onnx):
    """Sessions of one thread, with all graph optimizations, as they are by default."""

    def __init__(self, options: Mapping[str, str], device: str = "cpu") -> None:
        """The provider that computes on ``device``, tried out: no session falls back to another one unsaid."""
        super().__init__(options, device)
        kind, _, index = device.partition(":")
        self._provider = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}.get(kind)
        if self._provider not in ort.get_available_providers():
            there = ", ".join(ort.get_available_providers())
            raise UnavailableError(f"onnxruntime has no device {device!r} here; its providers: {there}")
        self._settings = {} if kind == "cpu" else {"device_id": index or "0", "use_tf32": "0"}
        self._session = functools.lru_cache(maxsize=64)(self._new_session)
        one = np.ones(1, np.float32)
        try:
            self.run(model([Node("Neg", ["x"], ["y"])], {"x": one}, {}, {"y": one}, self.opset), {"x": one})
        except Exception as error:  # RuntimeError and its own exceptions, which share no other base
            raise UnavailableError(f"onnxruntime has no device {device!r} here: {error}") from error

    def _new_session(self, content: bytes) -> Any:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.use_deterministic_compute = True
        if self._provider != "CPUExecutionProvider":
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        return ort.InferenceSession(content, options, providers=[(self._provider, self._settings)])

    def environment(self) -> Dict[str, Any]:
        """Version and settings."""
        return {
            "version": ort.__version__,
            "onnx": onnx.__version__,
            "device": self.device,
            "provider": self._provider,
            "threads": 1,
            "deterministic": True,
            "optimization": "all",
            "opset": self.opset,
            **({} if self.device == "cpu" else {"tf32": False}),
        }

    def expected_error(self, task: Task, shape: Tuple[int, ...]) -> Optional[str]:
        """The types that its CPU provider has no kernel for, or that the operator does not take."""
        task = self.within(task)
        if task.method != "batch" and task.parameter_dtype not in (None, task.dtype):
            return "ONNX's operators but BatchNormalization take x, scale and bias of one dtype only"
        if self.device != "cpu":
            return super().expected_error(task, shape)
        if task.method == "instance" and task.dtype == "float64":
            return "onnxruntime's InstanceNormalization has no float64 on the CPU"
        if task.method not in ("layer", "rms") and task.dtype == "bfloat16":
            return f"onnxruntime's {task.method} norm has no bfloat16 on the CPU"
        return super().expected_error(task, shape)

    def rms_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Array:
        """SimplifiedLayerNormalization, onnxruntime's own operator, into which it fuses what exporters write."""
        return self._scaled("SimplifiedLayerNormalization", x, weight, params, self.opset)

    def run(self, content: bytes, feeds: Dict[str, Array]) -> List[Array]:
        """The outputs of a serialized model."""
        values = {name: _value(array) for name, array in feeds.items()}
        return [_fetched(value) for value in self._session(content).run_with_ort_values(None, values)]


def _value(array: Array) -> Any:
    """ONNX Runtime's own value, in the memory of ``array`` if that is contiguous."""
    whole = np.ascontiguousarray(array)
    if whole.dtype == ml_dtypes.bfloat16:
        return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(whole.view(np.uint16), TensorProto.BFLOAT16)
    return ort.OrtValue.ortvalue_from_numpy(whole)


def _fetched(value: Any) -> Array:
    """The value as an array; its ``numpy`` knows no bfloat16."""
    if value.element_type() != TensorProto.BFLOAT16:
        return value.numpy()
    content = ctypes.string_at(value.data_ptr(), value.tensor_size_in_bytes())
    return np.frombuffer(bytearray(content), ml_dtypes.bfloat16).reshape(value.shape())

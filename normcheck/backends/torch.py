"""PyTorch: its native operators, from torch.nn.functional, and autograd."""

from __future__ import annotations

import contextlib
from typing import Any, ContextManager, Dict, Iterable, List, Mapping, Optional, Tuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (PyTorch's own name for it)

from normcheck.backends import _torch_modules
from normcheck.backends._adapter import FIRST, Params, Taped
from normcheck.backends._base import (
    Function,
    NotAnArrayError,
    Tagged,
    Task,
    UnavailableError,
    as_channel_lists,
)

Tensor = torch.Tensor
Parameter = Optional[Tensor]


class _Seeded(torch.autograd.Function):
    """A scalar whose gradient with respect to y is ``grad_y`` itself, without an array of that size."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, grad_y: Tensor) -> Tensor:
        ctx.grad_y = grad_y
        return y.new_zeros(())

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> Tuple[Tensor, None]:
        return ctx.grad_y, None


class Torch(Taped):
    """PyTorch's tensors, run eagerly, and autograd; the functions of torch.nn.functional."""

    CHANNELS = FIRST
    NO_BIAS = ("rms",)

    def __init__(self, options: Mapping[str, str], device: str = "cpu") -> None:
        """One thread, so that sums do not depend on the number of cores; no TF32; deterministic kernels."""
        self.options, self.device = dict(options), device
        threads, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
        self._before = (threads, mode, torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
        torch.set_num_threads(1)
        # The same as use_deterministic_algorithms, which imports the compiler and doubles the time of `import torch`.
        torch.set_deterministic_debug_mode("warn")
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        try:
            self._device = torch.device(device)
            torch.empty(1, device=self._device)
        except (
            Exception
        ) as error:  # RuntimeError, AssertionError, NotImplementedError: it depends on the device
            raise UnavailableError(f"torch has no device {device!r} here: {error}") from error

    def release(self) -> None:
        """The settings are as they were."""
        threads, mode, matmul, cudnn = self._before
        torch.set_num_threads(threads)
        torch.set_deterministic_debug_mode(mode)
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = matmul, cudnn

    def environment(self) -> Dict[str, Any]:
        """Version and settings."""
        on_gpu = self._device.type == "cuda"
        return {
            "version": torch.__version__,
            "device": torch.cuda.get_device_name(self._device) if on_gpu else self.device,
            "threads": torch.get_num_threads(),
            "deterministic": torch.are_deterministic_algorithms_enabled(),
            "tf32": torch.backends.cudnn.allow_tf32,
        }

    def expected_error(self, task: Task, shape: Tuple[int, ...]) -> Optional[str]:
        """PyTorch's batch and instance norm refuse statistic sets of one element, and its instance norm none at all."""
        channels = shape[task.params.get("channel_axis", 1)]
        elements = int(np.prod(shape)) // channels
        trains = task.mode == "train" or task.steps > 0 or not task.tracks
        if task.method == "batch" and elements == 1 and trains:
            return "torch batch_norm refuses one value per channel"
        if task.method == "instance" and shape[0] == 0:
            return "torch instance_norm refuses an empty batch"
        if task.method == "instance" and elements == shape[0] and trains:
            return "torch instance_norm refuses one spatial element"
        if task.method == "group":
            groups = as_channel_lists(task.params.get("num_groups"), task.params.get("groups"), channels)
            if any(elements * len(group) == 1 for group in groups):
                return "torch group_norm refuses one value per group"
        return None

    def from_numpy(self, tagged: Tagged) -> Tensor:
        """A tensor on the device; on the CPU it shares the memory of the data."""
        dtype, data = tagged
        if dtype == "bfloat16":
            return torch.from_numpy(data.view(np.int16)).view(torch.bfloat16).to(self._device)
        return torch.from_numpy(data).to(self._device)

    def to_numpy(self, value: Any) -> Tagged:
        """The tensor's data; bfloat16, which NumPy does not have, as 16-bit integers."""
        if not isinstance(value, torch.Tensor):
            raise NotAnArrayError(f"is a {type(value).__name__}, not a torch.Tensor")
        tensor = value.detach().cpu()
        if tensor.dtype == torch.bfloat16:
            return "bfloat16", tensor.contiguous().view(torch.int16).numpy().view(np.uint16)
        array = tensor.resolve_conj().resolve_neg().numpy()
        return array.dtype.name, array

    def as_function(self, value: Any) -> Function:
        """A torch.nn.Module as a function of the parameters that it holds; anything else is what it is."""
        if isinstance(value, torch.jit.ScriptFunction):
            return _torch_modules.ScriptFunction(value)
        return _torch_modules.ModuleFunction(value) if isinstance(value, torch.nn.Module) else value

    def held(self, value: Any) -> Optional[List[Tuple[str, Any]]]:
        """The parameters and buffers of a torch.nn.Module."""
        return _torch_modules.held(value) if isinstance(value, torch.nn.Module) else None

    def parts_of(self, layer: Any) -> Iterable[Any]:
        """The module and its submodules."""
        modules: Iterable[Any] = layer.modules()
        return modules

    def eps_of(self, layer: Any, names: Tuple[str, ...]) -> Dict[str, float]:
        """What torch.nn.RMSNorm takes if it was given none is the eps of the dtype that it computes in."""
        found = super().eps_of(layer, names)
        if not found and any(isinstance(module, torch.nn.RMSNorm) for module in layer.modules()):
            computed = {
                dtype: torch.float64 if dtype == "float64" else torch.float32 for dtype in self.DTYPES
            }
            return {dtype: torch.finfo(wide).eps for dtype, wide in computed.items()}
        return found

    def ndims_of(self, layer: Any) -> Tuple[int, ...]:
        """PyTorch's batch and instance norms have a class for each number of axes."""
        return _torch_modules.ndims(layer)

    def wide(self, array: Tensor) -> Tensor:
        """In float32 if it is of half precision."""
        return array.float() if array.element_size() == 2 else array

    def cast(self, array: Tensor, like: Tensor) -> Tensor:
        """In the dtype of ``like``."""
        return array.to(like.dtype)

    def moveaxis(self, array: Tensor, source: int, target: int) -> Tensor:
        """A view."""
        return array.movedim(source, target)

    def concatenate(self, arrays: List[Tensor], axis: int) -> Tensor:
        """A new tensor."""
        return torch.cat(arrays, dim=axis)

    def recording(self, leaves: List[Tensor]) -> ContextManager[Any]:
        """Autograd records what is called with tensors that require gradients."""
        for leaf in leaves:
            leaf.requires_grad_()
        return contextlib.nullcontext()

    def pulled_back(self, tape: Any, y: Tensor, leaves: List[Tensor], grad_y: Tensor) -> Any:
        """Autograd. Passing grad_y to autograd.grad would import half of torch.fx and SymPy, a quarter of the
        time of `import torch`.
        """
        if y.shape != grad_y.shape:
            raise ValueError(f"y has shape {tuple(y.shape)}, its gradient {tuple(grad_y.shape)}")
        seeded = _Seeded.apply(y, grad_y)  # type: ignore[no-untyped-call]
        return torch.autograd.grad(seeded, leaves, allow_unused=True)

    def batch_norm(self, x: Tensor, weight: Parameter, bias: Parameter, params: Params) -> Tensor:
        """Updates the running statistics in place."""
        mean, var = params.running_mean, params.running_var
        return F.batch_norm(x, mean, var, weight, bias, params.training, params.momentum, params.eps)

    def layer_norm(self, x: Tensor, weight: Parameter, bias: Parameter, params: Params) -> Tensor:
        """Over the last axes."""
        return F.layer_norm(x, x.shape[x.ndim - params.normalized_ndim :], weight, bias, params.eps)

    def rms_norm(self, x: Tensor, weight: Parameter, bias: Parameter, params: Params) -> Tensor:
        """Over the last axes."""
        return F.rms_norm(x, x.shape[x.ndim - params.normalized_ndim :], weight, params.eps)

    def instance_norm(self, x: Tensor, weight: Parameter, bias: Parameter, params: Params) -> Tensor:
        """Updates running statistics in place if it gets them."""
        mean, var = params.running_mean, params.running_var
        return F.instance_norm(x, mean, var, weight, bias, params.training, params.momentum, params.eps)

    def group_norm(self, x: Tensor, weight: Parameter, bias: Parameter, params: Params) -> Tensor:
        """Over equal groups."""
        return F.group_norm(x, len(params.groups), weight, bias, params.eps)

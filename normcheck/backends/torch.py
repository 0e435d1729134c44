"""PyTorch: its native operators, from torch.nn.functional, and autograd."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (PyTorch's own name for it)

from normcheck.backends._base import (
    GRADIENTS,
    Backend,
    Differentiated,
    Function,
    NotAnArrayError,
    Tagged,
    Task,
    UnavailableError,
    equal_contiguous,
    places,
    same_groups,
)

Tensor = torch.Tensor


class _ModuleFunction:
    """A torch.nn.Module called like a function; its eps, groups and momentum are its own."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.module = module

    def __call__(
        self,
        x: Tensor,
        weight: Optional[Tensor],
        bias: Optional[Tensor],
        *,
        training: bool = True,
        running_mean: Optional[Tensor] = None,
        running_var: Optional[Tensor] = None,
    ) -> Any:
        self.module.train(training)
        state: Dict[str, Tensor] = {}
        for name, given, neutral in (("weight", weight, 1.0), ("bias", bias, 0.0)):
            state.update(self._parameter(name, given, neutral, x.dtype))
        buffers = dict(self.module.named_buffers())
        tracked = {"running_mean": running_mean, "running_var": running_var}
        ours = {name: value for name, value in tracked.items() if value is not None and name in buffers}
        y = torch.func.functional_call(self.module, {**state, **ours}, (x,))
        return (y, *ours.values()) if len(ours) == 2 else y

    def _parameter(
        self, name: str, given: Optional[Tensor], neutral: float, dtype: torch.dtype
    ) -> Dict[str, Tensor]:
        """What stands in for the module's one parameter that is called ``name``."""
        own = {full: p for full, p in self.module.named_parameters() if full.rpartition(".")[2] == name}
        if not own and given is None:
            return {}
        if len(own) != 1:
            raise TypeError(f"the module has {len(own)} parameters called {name} to load the fixture's into")
        ((full, parameter),) = own.items()
        if given is None:
            return {full: torch.full_like(parameter, neutral, dtype=dtype)}
        if parameter.shape != given.shape:
            shapes = f"{tuple(parameter.shape)}, the fixture's has {tuple(given.shape)}"
            raise TypeError(f"the module's {name} has shape {shapes}")
        return {full: given}


def batch_norm(
    x: Tensor,
    weight: Optional[Tensor],
    bias: Optional[Tensor],
    *,
    eps: float,
    running_mean: Tensor,
    running_var: Tensor,
    training: bool,
    momentum: float,
    channel_axis: int = 1,
) -> Tuple[Tensor, Tensor, Tensor]:
    """``torch.nn.functional.batch_norm``, which updates the running statistics in place."""
    y = F.batch_norm(
        x.movedim(channel_axis, 1),
        running_mean,
        running_var,
        weight,
        bias,
        training=training,
        momentum=momentum,
        eps=eps,
    )
    return y.movedim(1, channel_axis), running_mean, running_var


def layer_norm(
    x: Tensor, weight: Optional[Tensor], bias: Optional[Tensor], *, eps: float, normalized_ndim: int
) -> Tensor:
    """``torch.nn.functional.layer_norm``."""
    return F.layer_norm(x, x.shape[x.ndim - normalized_ndim :], weight, bias, eps)


def instance_norm(
    x: Tensor,
    weight: Optional[Tensor],
    bias: Optional[Tensor],
    *,
    eps: float,
    running_mean: Optional[Tensor] = None,
    running_var: Optional[Tensor] = None,
    training: bool = True,
    momentum: float = 0.0,
    channel_axis: int = 1,
) -> Any:
    """``torch.nn.functional.instance_norm``, which updates running statistics in place if it gets them."""
    y = F.instance_norm(
        x.movedim(channel_axis, 1),
        running_mean,
        running_var,
        weight,
        bias,
        use_input_stats=training,
        momentum=momentum,
        eps=eps,
    ).movedim(1, channel_axis)
    return y if running_mean is None else (y, running_mean, running_var)


def group_norm(
    x: Tensor,
    weight: Optional[Tensor],
    bias: Optional[Tensor],
    *,
    eps: float,
    num_groups: Optional[int] = None,
    groups: Optional[List[List[int]]] = None,
    channel_axis: int = 1,
) -> Tensor:
    """``torch.nn.functional.group_norm``; for groups that it cannot have, one call for each, put together."""

    def call(part: Tensor, w: Optional[Tensor], b: Optional[Tensor], number: int) -> Tensor:
        return F.group_norm(part, number, w, b, eps)

    return in_groups(call, x, weight, bias, num_groups, groups, channel_axis)


def in_groups(
    call: Callable[[Tensor, Optional[Tensor], Optional[Tensor], int], Tensor],
    x: Tensor,
    weight: Optional[Tensor],
    bias: Optional[Tensor],
    num_groups: Optional[int],
    groups: Optional[List[List[int]]],
    channel_axis: int,
) -> Tensor:
    """``call(x, weight, bias, number of groups)`` with the channels in axis 1; once for each group where they are
    not equal and contiguous, put together again.
    """
    x = x.movedim(channel_axis, 1)
    split = same_groups({"num_groups": num_groups, "groups": groups}, x.shape[1])
    if equal_contiguous(split):
        y = call(x, weight, bias, len(split))
    else:
        parts = [call(x[:, group], _taken(weight, group), _taken(bias, group), 1) for group in split]
        y = torch.cat(parts, dim=1)[:, places(split)]
    return y.movedim(1, channel_axis)


def _taken(parameter: Optional[Tensor], group: List[int]) -> Optional[Tensor]:
    return None if parameter is None else parameter[group]


METHODS: Dict[str, Function] = {
    "batch": batch_norm,
    "layer": layer_norm,
    "instance": instance_norm,
    "group": group_norm,
}


class Torch(Backend):
    """PyTorch's tensors, run eagerly, and autograd."""

    METHODS = METHODS

    def __init__(self, options: Mapping[str, str], device: str = "cpu") -> None:
        """One thread, so that sums do not depend on the number of cores; no TF32; deterministic kernels."""
        self.options, self.device = dict(options), device
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

    def refuses(self, task: Task, shape: Tuple[int, ...]) -> Optional[str]:
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
            groups = same_groups(task.params, channels)
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
        return _ModuleFunction(value) if isinstance(value, torch.nn.Module) else value

    def differentiate(
        self,
        function: Function,
        static: Dict[str, Any],
        arrays: List[Any],
        named: Dict[str, Any],
        grad_y: Tensor,
    ) -> Differentiated:
        """Autograd, from y back to x, weight and bias."""
        leaves = {name: array.requires_grad_() for name, array in zip(GRADIENTS, arrays) if array is not None}
        returned = self.compiled(function, static)(*arrays, **named)
        y = returned[0] if isinstance(returned, tuple) and returned else returned
        try:
            if y.shape != grad_y.shape:
                raise ValueError(f"y has shape {tuple(y.shape)}, its gradient {tuple(grad_y.shape)}")
            # The gradient of Σ y·grad_y with respect to y is grad_y, exactly. Passing grad_y to autograd.grad
            # instead would import half of torch.fx and SymPy, a quarter of the time of `import torch`.
            found = torch.autograd.grad((y * grad_y).sum(), list(leaves.values()), allow_unused=True)
        except Exception as error:  # whatever the user's backward raises is an answer about the gradients
            return returned, {}, error
        return returned, dict(zip(leaves, found)), None

"""PyTorch: its native operators, from torch.nn.functional."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (PyTorch's own name for it)

from normcheck.backends._base import (
    Function,
    NotAnArrayError,
    Tagged,
    Task,
    equal_contiguous,
    same_groups,
)

Tensor = torch.Tensor


def environment() -> Dict[str, Any]:
    """One thread, so that sums do not depend on the number of cores; no TF32; deterministic kernels."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    return {
        "version": torch.__version__,
        "device": "cpu",
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "tf32": torch.backends.cudnn.allow_tf32,
    }


def configure(task: Task) -> None:
    """Nothing to prepare: PyTorch computes in the dtype of its tensors."""


def unsupported(task: Task, shape: Tuple[int, ...]) -> Optional[str]:
    """PyTorch's batch and instance norm refuse statistic sets of one element."""
    channels = shape[task.params.get("channel_axis", 1)]
    elements = int(np.prod(shape)) // channels
    if task.method == "batch" and elements == 1:
        return "torch batch_norm refuses one value per channel"
    if task.method == "instance" and elements == shape[0]:
        return "torch instance_norm refuses one spatial element"
    return None


def from_numpy(array: Any) -> Tensor:
    """A tensor that shares the memory of ``array``."""
    return torch.from_numpy(array)


def to_numpy(value: Any) -> Tagged:
    """The tensor's data; bfloat16, which NumPy does not have, as 16-bit integers."""
    if not isinstance(value, torch.Tensor):
        raise NotAnArrayError(f"is a {type(value).__name__}, not a torch.Tensor")
    tensor = value.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        return "bfloat16", tensor.contiguous().view(torch.int16).numpy().view(np.uint16)
    array = tensor.resolve_conj().resolve_neg().numpy()
    return array.dtype.name, array


def compiled(function: Function, static: Dict[str, Any]) -> Function:
    """PyTorch runs eagerly."""
    return lambda *arrays: function(*arrays, **static)


def batch_norm(
    x: Tensor, weight: Optional[Tensor], bias: Optional[Tensor], *, eps: float, channel_axis: int = 1
) -> Tensor:
    """``torch.nn.functional.batch_norm`` with the statistics of the batch."""
    y = F.batch_norm(x.movedim(channel_axis, 1), None, None, weight, bias, training=True, eps=eps)
    return y.movedim(1, channel_axis)


def layer_norm(
    x: Tensor, weight: Optional[Tensor], bias: Optional[Tensor], *, eps: float, normalized_ndim: int
) -> Tensor:
    """``torch.nn.functional.layer_norm``."""
    return F.layer_norm(x, x.shape[x.ndim - normalized_ndim :], weight, bias, eps)


def instance_norm(
    x: Tensor, weight: Optional[Tensor], bias: Optional[Tensor], *, eps: float, channel_axis: int = 1
) -> Tensor:
    """``torch.nn.functional.instance_norm`` with the statistics of the input."""
    channels_first = x.movedim(channel_axis, 1)
    y = F.instance_norm(channels_first, weight=weight, bias=bias, use_input_stats=True, eps=eps)
    return y.movedim(1, channel_axis)


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
    x = x.movedim(channel_axis, 1)
    split = same_groups({"num_groups": num_groups, "groups": groups}, x.shape[1])
    if equal_contiguous(split):
        y = F.group_norm(x, len(split), weight, bias, eps)
    else:
        parts = [
            F.group_norm(
                x[:, group],
                1,
                None if weight is None else weight[group],
                None if bias is None else bias[group],
                eps,
            )
            for group in split
        ]
        order = torch.tensor([channel for group in split for channel in group])
        y = torch.cat(parts, dim=1)[:, order.argsort()]
    return y.movedim(1, channel_axis)


METHODS: Dict[str, Function] = {
    "batch": batch_norm,
    "layer": layer_norm,
    "instance": instance_norm,
    "group": group_norm,
}

"""PyTorch with x and its gradient in channels-last memory, for which it has other kernels."""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

import torch

from normcheck.backends._base import Differentiated, Function, Task
from normcheck.backends.torch import Tensor, Torch

FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


class TorchChannelsLast(Torch):
    """The functions of ``torch``; an x whose channel axis is the last one has that layout already."""

    def environment(self) -> Dict[str, Any]:
        """Version and settings."""
        return {**super().environment(), "memory_format": "channels_last"}

    def unsupported(self, task: Task, shape: Tuple[int, ...]) -> Optional[str]:
        """Memory formats are for images and volumes."""
        if len(shape) not in FORMATS:
            return f"channels_last is a memory format of 4 or 5 axes, x has {len(shape)}"
        return super().unsupported(task, shape)

    def compiled(self, function: Function, static: Dict[str, Any]) -> Function:
        """Called with x in the memory format."""
        last = static.get("channel_axis", 1) != 1
        return lambda x, *rest, **named: function(x if last else _formatted(x), *rest, **named, **static)

    def differentiate(self, *call: Any) -> Differentiated:
        """Autograd; the incoming gradient has the layout of x, as it does in a network of such layers."""
        function, static, (x, *rest), named, grad_y = call
        if static.get("channel_axis", 1) == 1:
            x, grad_y = _formatted(x), _formatted(grad_y)
        return super().differentiate(function, static, [x, *rest], named, grad_y)


def _formatted(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=FORMATS[x.ndim])

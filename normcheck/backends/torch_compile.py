"""torch.compile: PyTorch's functions as its default compiler, inductor, rewrites them, forward and backward."""

from __future__ import annotations

import functools
import json
from typing import Any, Dict, Mapping, Tuple

import torch

from normcheck.backends._base import Function, Task, UnavailableError
from normcheck.backends.torch import Torch


class TorchCompile(Torch):
    """The functions of ``torch``, and a user's own, compiled as a whole for each case."""

    def __init__(self, options: Mapping[str, str], device: str = "cpu") -> None:
        """On the CPU inductor needs a C++ compiler."""
        super().__init__(options, device)
        if self._device.type == "cpu":
            from torch._inductor.cpp_builder import get_cpp_compiler

            try:
                get_cpp_compiler()
            except Exception as error:  # its own InvalidCxxCompiler
                raise UnavailableError(f"torch.compile has no C++ compiler here: {error}") from error
        self._programs: Dict[Tuple[Function, str], Function] = {}

    def environment(self) -> Dict[str, Any]:
        """Version and settings."""
        return {**super().environment(), "compiler": "inductor"}

    def configure(self, task: Task) -> None:
        """Start anew: after some programs of one function the compiler would give up and run it eagerly."""
        super().configure(task)
        self._programs.clear()
        torch.compiler.reset()

    def compiled(self, function: Function, static: Dict[str, Any]) -> Function:
        """The compiled function; a part that cannot be compiled is an error, not a part that runs eagerly."""
        key = (function, json.dumps(static, sort_keys=True))
        if key not in self._programs:
            whole = functools.partial(function, **static)
            self._programs[key] = torch.compile(whole, dynamic=False, fullgraph=True)
        return self._programs[key]

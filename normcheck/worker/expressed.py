"""Conventions that arguments express: what a built-in adapter gets, so that its library computes by them.

A library keeps PyTorch's convention. Under 1 + w it is given 1 plus the weight, formed in float32; where weight or bias
are ignored it is given none; where the momentum weighs the old statistics it is given 1 minus it. Under every other
convention it is called as ever, and its result is wrong, as it should be.
"""

from __future__ import annotations

from typing import Any, Dict

from normcheck.backends._base import HALF, Backend, Task


def widens(task: Task) -> bool:
    """True if weight and bias come in float32 whatever dtype they are stored in."""
    return task.convention.get("weight") == "1+w"


def adapted(task: Task) -> Task:
    """``task`` as the adapter is to see it."""
    ignored = [name for name in ("weight", "bias") if task.convention.get(name) == "ignored"]
    task = task._replace(arrays=tuple(name for name in task.arrays if name not in ignored))
    if widens(task):
        if (task.parameter_dtype or task.dtype) in HALF:
            task = task._replace(parameter_dtype="float32")
        dtypes = {name: "float32" if dtype in HALF else dtype for name, dtype in task.dtypes.items()}
        task = task._replace(dtypes=dtypes)
    if task.convention.get("momentum") == "old" and task.tracks:
        task = task._replace(params={**task.params, "momentum": 1 - task.params["momentum"]})
    return task


def arrays(backend: Backend, task: Task, native: Dict[str, Any]) -> Dict[str, Any]:
    """The framework's arrays as the adapter is to get them."""
    found = {name: array for name, array in native.items() if name in task.arrays}
    if widens(task) and "weight" in found:
        for name in ("weight", "bias"):
            if name in found:
                found[name] = backend.wide(found[name])
        found["weight"] = found["weight"] + 1
    return found

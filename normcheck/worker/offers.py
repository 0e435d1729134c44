"""What an adapter offers, by method, without computing anything."""

from __future__ import annotations

from typing import Any, Dict, Mapping

from normcheck.backends._base import Backend, Task


def offers(backend: Backend, methods: Mapping[str, Mapping[str, Any]]) -> Dict[str, Any]:
    """By method: dtypes, gradients and running statistics that the adapter has, and in words what it lacks.

    ``methods`` has usual parameters of each.
    """
    found: Dict[str, Any] = {}
    for method, params in methods.items():
        stateless = {dtype: backend.not_offered(_task(method, dtype, params)) for dtype in Backend.DTYPES}
        dtypes = [dtype for dtype, reason in stateless.items() if reason is None]
        reasons = {reason for reason in stateless.values() if reason is not None}
        state = False
        if dtypes and method in Backend.TRACKED:
            tracking = _task(method, dtypes[0], {**params, "momentum": 0.1})
            reason = backend.not_offered(tracking)
            state = reason is None
            reasons |= set() if reason is None else {reason}
        found[method] = {
            "dtypes": dtypes,
            "gradients": bool(dtypes) and backend.DIFFERENTIATES,
            "state": state,
            "lacks": sorted(reasons),
        }
    return found


def differentiates(backend: Backend, *, target: bool) -> bool:
    """True if no function is without gradients here: the backend's own, or a ``target``, which is the user's."""
    able = type(backend).differentiate is not Backend.differentiate
    return able and backend.DIFFERENTIATES and (backend.DIFFERENTIATES_TARGETS or not target)


def _task(method: str, dtype: str, params: Mapping[str, Any]) -> Task:
    return Task("", method, "train", dtype, "contiguous", 1, dict(params), ["y"])

"""Which conventions a method has: what it leaves open, and what contradicts it."""

from __future__ import annotations

from dataclasses import replace

from normcheck.case import Method
from normcheck.conventions import Convention
from normcheck.conventions.catalogue import KEYS, Statistics, spelled
from normcheck.dtype import DType
from normcheck.errors import UsageError
from normcheck.methods.definition import Definition
from normcheck.parameters import Params

IN_A_CHANNEL = (Statistics.BATCH, Statistics.INSTANCE)
IN_GROUPS = (Statistics.GROUP_CONTIGUOUS, Statistics.GROUP_INTERLEAVED)
OF_STATE = ("momentum", "running_var")


def resolved(own: Definition, dtype: DType, convention: Convention) -> Convention:
    """``convention`` with the method's and the dtype's own values where it states none.

    ``statistics`` remains None for a method whose sets are beyond the catalogue.
    """
    kind = own.statistics if isinstance(own.statistics, Statistics) else None
    return replace(
        convention,
        statistics=convention.statistics or kind,
        centered=own.centered if convention.centered is None else convention.centered,
        stats_dtype=convention.stats_dtype or _usual(dtype),
    )


def relative(own: Definition, dtype: DType, convention: Convention) -> Convention:
    """``convention`` without what the method and the dtype have anyway, as ids show it."""
    return replace(
        convention,
        statistics=None if convention.statistics == own.statistics else convention.statistics,
        centered=None if convention.centered == own.centered else convention.centered,
        stats_dtype=None if convention.stats_dtype == _usual(dtype) else convention.stats_dtype,
    )


def check(method: Method, own: Definition, params: Params, convention: Convention, *, residual: bool) -> None:
    """Raise UsageError for a key or a value that the method does not have; ``residual``: the fixture has one."""
    tracks = params.momentum is not None
    for key, value in convention.stated.items():
        if key in OF_STATE and not tracks:
            _refuse(method, key, tracks, residual, "keeps no running statistics")
        if key == "centered" and not value and tracks:
            _refuse(method, key, tracks, residual, "keeps a running mean")
        if key == "residual_sum" and not residual:
            _refuse(method, key, tracks, residual, "gets no residual from the fixture")
    kind = convention.statistics
    if kind is None or kind == own.statistics:
        return
    grouped = params.num_groups is not None or params.groups is not None
    valid = [each for each in Statistics if grouped or each not in IN_GROUPS]
    reason = "has no groups"
    if tracks:
        valid, reason = list(IN_A_CHANNEL), "keeps running statistics of each channel"
    if kind in valid and kind is Statistics.GROUP_INTERLEAVED and params.num_groups is None:
        valid.remove(kind)
        reason = "has its groups given one by one"
    if kind not in valid:
        raise UsageError(
            f"--convention statistics={spelled(kind)}: {method} norm {reason}; valid: {', '.join(valid)}"
        )


def _refuse(method: Method, key: str, tracks: bool, residual: bool, reason: str) -> None:
    missing = set() if tracks else set(OF_STATE)
    missing |= {"centered"} if tracks else set()
    missing |= set() if residual else {"residual_sum"}
    valid = ", ".join(each for each in KEYS if each not in missing)
    raise UsageError(f"--convention {key}: {method} norm {reason}; its conventions here: {valid}")


def _usual(dtype: DType) -> DType:
    return DType.FLOAT64 if dtype is DType.FLOAT64 else DType.FLOAT32

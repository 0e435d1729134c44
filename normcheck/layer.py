"""What a user's layer object brings along: its eps, groups, shape and arrays; read from what its source says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from normcheck.data import NOT_DATA
from normcheck.dtype import DType


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer's own; what is not known of it is None or empty.

    ``ndims`` are the numbers of axes of the x that it takes, ``holds`` the names of the arrays that it has, and
    ``arrays`` those that are made already. ``momentum`` is the weight of a batch's statistics, as in PyTorch.
    """

    eps: Mapping[DType, float]
    momentum: float | None
    num_groups: int | None
    normalized_axes: tuple[int, ...] | None
    normalized_shape: tuple[int, ...] | None
    channels: int | None
    ndims: tuple[int, ...]
    holds: tuple[str, ...]
    backend: str = field(default="", metadata=NOT_DATA)
    arrays: Mapping[str, NDArray[np.generic]] = field(default_factory=dict, metadata=NOT_DATA)

"""The NumPy side of the dtypes: NumPy itself has no bfloat16, ml_dtypes adds it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from normcheck.dtype import DType


def numpy_dtype(dtype: DType | str) -> np.dtype[Any]:
    """The NumPy dtype of that name, bfloat16 included."""
    if dtype == DType.BFLOAT16:
        import ml_dtypes  # only where it is used

        bfloat16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return bfloat16
    return np.dtype(str(dtype))


def tagged(array: NDArray[Any]) -> tuple[str, NDArray[Any]]:
    """An array as frames carry it: its dtype's name and its data, bfloat16 as the bits."""
    name = array.dtype.name
    return name, array.view(np.uint16) if name == DType.BFLOAT16 else array


def untagged(name: str, data: NDArray[Any]) -> NDArray[Any]:
    """Undo :func:`tagged`."""
    return data.view(numpy_dtype(name)) if name == DType.BFLOAT16 else data

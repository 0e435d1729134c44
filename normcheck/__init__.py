"""normcheck: verify that normalization layers in different frameworks compute the same thing.

>>> import normcheck
>>> report = normcheck.compare(method="group", fixtures=["documents"], backends=["numpy"])
>>> report.verdict
<Verdict.PASS: 'pass'>

Names are imported when they are first used: ``import normcheck`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from normcheck.api import compare
    from normcheck.errors import NormcheckError
    from normcheck.model import (
        Case,
        Comparison,
        DType,
        ExitCode,
        Method,
        Mode,
        Output,
        Pair,
        Report,
        Verdict,
    )

__version__ = "0.1.0"

__all__ = [
    "Case",
    "Comparison",
    "DType",
    "ExitCode",
    "Method",
    "Mode",
    "NormcheckError",
    "Output",
    "Pair",
    "Report",
    "Verdict",
    "__version__",
    "compare",
]

_HOMES = {"compare": "normcheck.api", "NormcheckError": "normcheck.errors"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'normcheck' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES.get(name, "normcheck.model")), name)


def __dir__() -> list[str]:
    return __all__

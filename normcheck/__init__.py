"""normcheck: verify that normalization layers in different frameworks compute the same thing.

>>> import normcheck
>>> report = normcheck.compare(method="group", fixtures=["documents"], backends=["numpy"])
>>> report.verdict
<Verdict.PASS: 'pass'>

Names are imported when they are first used: ``import normcheck`` costs next to nothing.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from normcheck import testing
    from normcheck._version import __version__
    from normcheck.api import compare, judge
    from normcheck.case import Case, Method, Mode, Output
    from normcheck.dtype import DType
    from normcheck.errors import ExitCode, MismatchError, NormcheckError, Unsupported, VerdictError
    from normcheck.report import Comparison, Pair, Report
    from normcheck.verdict import Verdict

__all__ = [
    "Case",
    "Comparison",
    "DType",
    "ExitCode",
    "Method",
    "MismatchError",
    "Mode",
    "NormcheckError",
    "Output",
    "Pair",
    "Report",
    "Unsupported",
    "Verdict",
    "VerdictError",
    "__version__",
    "compare",
    "judge",
    "testing",
]

_HOMES = {
    "_version": ("__version__",),
    "api": ("compare", "judge"),
    "case": ("Case", "Method", "Mode", "Output"),
    "dtype": ("DType",),
    "errors": ("ExitCode", "MismatchError", "NormcheckError", "Unsupported", "VerdictError"),
    "report": ("Comparison", "Pair", "Report"),
    "verdict": ("Verdict",),
}


def __getattr__(name: str) -> Any:
    if name == "testing":
        return importlib.import_module("normcheck.testing")
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"normcheck.{module}"), name)
    raise AttributeError(f"module 'normcheck' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__


class _Package(ModuleType):
    """The package, whose ``judge`` is the function, also once the room of that name has been imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name == "judge" and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package

"""normcheck in tests: ``assert_parity`` in one test, ``cases`` for a test of each case.

>>> from normcheck.testing import assert_parity
>>> assert_parity(my_group_norm, method="group", num_groups=4)

They need no plugin. With pytest's, :mod:`normcheck.pytest_plugin`, which is there once normcheck is installed, there
are marks and reports too. Names are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from normcheck.testing.parametrized import cases
    from normcheck.testing.parity import ParityCase, assert_parity

__all__ = ["ParityCase", "assert_parity", "cases"]

_HOMES = {"ParityCase": "parity", "assert_parity": "parity", "cases": "parametrized"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'normcheck.testing' has no attribute {name!r}")
    return getattr(importlib.import_module(f"normcheck.testing.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__

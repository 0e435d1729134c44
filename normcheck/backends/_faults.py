"""Faults of frameworks that make a right call raise, known by message, function and version.

What runs into one is unsupported there, be it a built-in or a user's own code: it is neither's to repair. Each is shown
by a program in docs/findings. Faults in what a framework returns are for the ledger: they are judged.
"""

from __future__ import annotations

import sys
import traceback
from typing import FrozenSet, NamedTuple, Optional


class Fault(NamedTuple):
    """``function`` is one that the call went through, as :func:`passed` or a backend's ``called`` names it."""

    module: str
    versions: FrozenSet[str]  # their beginnings
    function: str
    message: str
    reason: str
    link: str


FAULTS = (
    Fault(
        module="torch",
        versions=frozenset(["2.13"]),
        function="NativeGroupNormBackward0 without weight",
        message="tensor does not have a device",
        reason="F.group_norm with a bias and no weight cannot be differentiated with respect to the bias",
        link="docs/findings/torch-group-norm-bias-alone.py",
    ),
)


def known_fault(error: BaseException, called: FrozenSet[str] = frozenset()) -> Optional[str]:
    """The fault that made a call raise ``error``, with the version and a link; None where it is none of FAULTS.

    ``called`` are functions that the call went through beside those that are in the traceback.
    """
    for fault in FAULTS:
        version = str(getattr(sys.modules.get(fault.module), "__version__", ""))
        if (
            any(f"{version}.".startswith(f"{each}.") for each in fault.versions)
            and fault.message in str(error)
            and fault.function in called | passed(error)
        ):
            return f'{fault.module} {version}: {fault.reason} ("{fault.message}"; {fault.link})'
    return None


def passed(error: BaseException) -> FrozenSet[str]:
    """The functions in the traceback of ``error``, such as ``torch.nn.functional.group_norm``."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return frozenset(f"{frame.f_globals.get('__name__')}.{frame.f_code.co_name}" for frame in frames)

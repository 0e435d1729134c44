"""Every error that a user can meet, with its exit code.

A message is one line that says what is wrong, where, the bad value, the valid ones and, where there is
one, the next step. These errors are printed without a traceback; anything else is a bug in normcheck.
"""

from __future__ import annotations

import difflib
import enum
from collections.abc import Iterable

LONGEST = 80  # characters of a wrong name that a message repeats


class ExitCode(enum.IntEnum):
    """Exit codes of the command line (DESIGN §4)."""

    OK = 0
    MISMATCH = 1
    USAGE = 2
    BAD_INPUT = 3
    BACKEND = 4
    NOTHING_COMPARED = 5
    INTERNAL = 70
    INTERRUPTED = 130


class NormcheckError(Exception):
    """An error that the user can fix."""

    exit_code = ExitCode.BAD_INPUT

    def __init__(self, message: str, *, details: str = "") -> None:
        super().__init__(message)
        self.details = details  # more lines, such as the user's own traceback


class UnknownNameError(NormcheckError):
    """A name that is none of the valid ones."""

    exit_code = ExitCode.USAGE

    def __init__(self, kind: str, name: str, valid: Iterable[str], *, hint: str = "") -> None:
        valid, name = list(map(str, valid)), name if len(name) <= LONGEST else f"{name[:LONGEST]}…"
        near = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        more = f" {hint}" if hint else ""
        super().__init__(f"unknown {kind} {name!r}.{meant} Valid: {', '.join(valid)}.{more}")


class UsageError(NormcheckError):
    """Options that contradict each other or cannot be read."""

    exit_code = ExitCode.USAGE


class ParameterError(NormcheckError):
    """Parameters that do not fit the fixture, such as 3 channels in 2 groups."""


class FixtureError(NormcheckError):
    """A fixture that cannot be read, is not what it claims to be, or holds what cannot be compared."""


class TargetError(NormcheckError):
    """A user's own implementation that cannot be found or loaded."""


class ConfigError(NormcheckError):
    """A configuration file that cannot be read or understood."""


class RecordingError(NormcheckError):
    """A recording that cannot be read, was changed, or is of other inputs."""


class MissingExtraError(NormcheckError):
    """Something that needs a package which is not installed; the message says how to install it."""


class UnusableBackendError(NormcheckError):
    """A backend that was asked for alone and cannot be used here."""

    exit_code = ExitCode.BACKEND


class NothingComparedError(NormcheckError):
    """A selection that leaves nothing to compare: never a pass."""

    exit_code = ExitCode.NOTHING_COMPARED


class VerdictError(NormcheckError, AssertionError):
    """A run that does not pass; the message is what the table says of it, ``exit_code`` what the command returns."""

    exit_code = ExitCode.MISMATCH

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.MISMATCH) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class MismatchError(VerdictError):
    """A run that does not pass because of what was computed: a result is wrong, or no case decides it."""


class Unsupported(NotImplementedError):  # noqa: N818 (raised by users' code: a statement, not a failure)
    """Raise this in an implementation of your own where it does not have what is asked: it is then ``unsupported``
    there, with the message, and not wrong. NotImplementedError says the same.
    """

"""An error of ours is a sentence for whoever wrote the test: their line, and none of our stack."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from normcheck.errors import NormcheckError

P = ParamSpec("P")
T = TypeVar("T")


def quiet(function: Callable[P, T]) -> Callable[P, T]:
    """``function`` whose NormcheckErrors come from where it was called; the user's own traceback is their note."""

    @functools.wraps(function)
    def called(*arguments: P.args, **keywords: P.kwargs) -> T:
        __tracebackhide__ = True  # of pytest
        try:
            return function(*arguments, **keywords)
        except NormcheckError as error:
            if error.details.strip():
                error.add_note(error.details.rstrip())
            raise error.with_traceback(None) from None

    return called

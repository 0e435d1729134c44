"""What the user selects, and what is to be run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from normcheck.case import Case, Method, Mode
from normcheck.conventions import Convention
from normcheck.conventions.catalogue import PYTORCH, EpsPlacement
from normcheck.dtype import DType
from normcheck.errors import UsageError
from normcheck.fixtures import Fixture
from normcheck.methods import definition
from normcheck.parameters import TABLE, check_exclusive, row_of

DEFAULT_FIXTURES = ("core",)
EVERYWHERE = ("eps", "channel_axis")  # parameters of every method, or of the layout of x


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What to compare. Empty ``methods`` and ``fixtures`` mean all methods and the core fixtures, empty ``dtypes``
    those in which a file has its arrays, float32 where it states none.

    ``params`` are parameters by name, as text or as data; what is not among them is the fixture's own, or the default.
    A method that keeps no running statistics has the first of ``modes`` alone, which are the same to it. ``only`` are
    the ids of the cases that are wanted of all these; empty: all.
    """

    methods: Sequence[Method] = ()
    fixtures: Sequence[str | Fixture] = ()
    dtypes: Sequence[DType] = ()
    modes: Sequence[Mode] = tuple(Mode)
    params: Mapping[str, Any] = field(default_factory=dict)
    convention: Convention = PYTORCH
    gradients: bool = True
    only: Collection[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCase:
    """A case and the fixture that it takes its data from."""

    case: Case
    fixture: Fixture
    unsaid: Mode = Mode.TRAIN  # that of expected values which say none


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The cases to run, at least one, and what was left out and why."""

    cases: tuple[PlannedCase, ...]
    notes: tuple[str, ...] = field(default=())
    as_stored: tuple[str, ...] = ()  # the files, by the fixture's name, whose arrays keep their dtypes


def checked(selection: Selection) -> Selection:
    """The selection with parameters read; UsageError for those that no chosen method has, or that contradict."""
    given = {name: row_of(name).value(value) for name, value in selection.params.items()}
    check_exclusive(given)
    methods = [definition(method) for method in selection.methods or Method]
    for name in given:
        if name not in EVERYWHERE and not any(name in own.parameters for own in methods):
            valid = dict.fromkeys(each for own in methods for each in (*EVERYWHERE, *own.parameters))
            chosen = " and ".join(f"{method} norm" for method in selection.methods)
            flags = ", ".join(TABLE[each].flag for each in valid if TABLE[each].option)
            raise UsageError(f"{TABLE[name].flag}: {chosen} has no such parameter; valid: {flags}")
    if "eps" in given and selection.convention.eps_placement is EpsPlacement.NONE:
        raise UsageError("--eps and --convention eps_placement=none contradict each other: give one")
    return replace(selection, params=given)

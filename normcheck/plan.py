"""From what the user selects to the cases to run; impossible parameters are refused here, before any work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from normcheck.case import Case, Method, Mode
from normcheck.conventions import Convention
from normcheck.conventions.catalogue import PYTORCH, Bias, EpsPlacement, Weight
from normcheck.dtype import DType
from normcheck.errors import NormcheckError, NothingComparedError, ParameterError, UsageError
from normcheck.fixtures import Fixture, OwnParams, select
from normcheck.methods import (
    checked,
    checked_convention,
    complete,
    definition,
    outputs,
    parameter_shape,
)
from normcheck.parameters import TABLE, Params, check_exclusive, row_of

DEFAULT_FIXTURES = ("core",)
EVERYWHERE = ("eps", "channel_axis")  # parameters of every method, or of the layout of x


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What to compare. Empty ``methods`` and ``fixtures`` mean all methods and the core fixtures.

    ``params`` are parameters by name, as text or as data; what is not among them is the fixture's own, or the default.
    A method that keeps no running statistics has the first of ``modes`` alone, which are the same to it.
    """

    methods: Sequence[Method] = ()
    fixtures: Sequence[str] = ()
    dtypes: Sequence[DType] = (DType.FLOAT32,)
    modes: Sequence[Mode] = tuple(Mode)
    params: Mapping[str, Any] = field(default_factory=dict)
    convention: Convention = PYTORCH
    gradients: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCase:
    """A case and the fixture that it takes its data from."""

    case: Case
    fixture: Fixture


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The cases to run, at least one, and what was left out and why."""

    cases: tuple[PlannedCase, ...]
    notes: tuple[str, ...] = field(default=())


def plan(selection: Selection) -> Plan:
    """The cases of ``selection``.

    A fixture or method that the user named must fit, or a NormcheckError says why not; one that is only
    there by default is left out with a note. An empty plan is an error, never a pass.
    """
    selection = _checked(selection)
    cases: dict[str, PlannedCase] = {}
    notes: list[str] = []
    refusals: list[NormcheckError] = []
    chosen = select(selection.fixtures or DEFAULT_FIXTURES)
    for fixture in chosen:
        for method in selection.methods or Method:
            named = selection.methods and fixture.argument in selection.fixtures  # itself, not by a tag
            if not named and fixture.excludes(definition(method), method):
                continue
            try:
                for planned in _cases(fixture, method, selection):
                    cases.setdefault(planned.case.id, planned)
            except NormcheckError as refusal:
                if selection.fixtures and selection.methods:
                    raise
                refusals.append(refusal)
                notes.append(f"left out: {refusal}")
    if not cases:
        raise refusals[0] if refusals else NothingComparedError("the selection leaves nothing to compare")
    notes += _undecided(chosen, selection)
    return Plan(cases=tuple(cases.values()), notes=tuple(dict.fromkeys(notes)))


def _undecided(chosen: Sequence[Fixture], selection: Selection) -> Iterator[str]:
    """What of a tag is left out, by dtype: fixtures that can decide nothing in it."""
    for dtype in selection.dtypes:
        names = [fixture.name for fixture in chosen if not _decides(fixture, dtype, selection)]
        if names:
            yield f"left out in {dtype}, in which they decide too little: {', '.join(names)}"


def _checked(selection: Selection) -> Selection:
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


def _cases(fixture: Fixture, method: Method, selection: Selection) -> Iterator[PlannedCase]:
    where = f"fixture {fixture.argument}, {method} norm"
    if not selection.methods and None in fixture.expected_methods:
        raise UsageError(f"{where}: it has expected values, but not of which method: add --method")
    own = definition(method)
    for entry in _entries(fixture, method, selection):
        given = {**entry.params, **selection.params}
        params = complete(method, fixture.shape, given, channel_axis=fixture.channel_axis)
        params = checked(method, fixture.shape, params, where=where)
        if not fixture.pooled and fixture.parameters & {"weight", "bias"}:
            _check_parameters(fixture, method, params)
        unusual = () if entry.affine or not fixture.pooled else {"weight", "bias"}.difference(own.affine)
        without = [n for n in ("weight", "bias") if n in {*unusual, *fixture.without} & fixture.parameters]
        names = fixture.parameters.difference(without)
        residual = "residual" in names
        tracks = params.momentum is not None
        for dtype in selection.dtypes:
            if not _decides(fixture, dtype, selection):
                continue
            convention = checked_convention(method, dtype, params, selection.convention, residual=residual)
            for mode in selection.modes if tracks else selection.modes[:1]:
                yield PlannedCase(
                    fixture=fixture,
                    case=Case(
                        method=method,
                        params=params,
                        fixture=fixture.name,
                        shape=fixture.shape,
                        dtype=dtype,
                        mode=mode,
                        layout=fixture.layout,
                        grad_layout=fixture.grad_layout,
                        parameter_layout=fixture.parameter_layout,
                        parameter_dtype=fixture.parameter_dtype if dtype.half else None,
                        steps=_steps(fixture, mode),
                        convention=convention,
                        without=tuple(without),
                        frozen=tuple(n for n in fixture.frozen if n == "x" or n in names),
                        outputs=outputs(
                            mode,
                            tracks=tracks,
                            weight="weight" in names and convention.weight is not Weight.IGNORED,
                            bias="bias" in names and convention.bias is not Bias.IGNORED,
                            gradients=selection.gradients,
                            residual=residual,
                            frozen=fixture.frozen,
                        ),
                    ),
                )


def _decides(fixture: Fixture, dtype: DType, selection: Selection) -> bool:
    """True if ``dtype`` is one of those in which the fixture can decide anything, or the fixture was named itself."""
    return fixture.dtypes is None or dtype in fixture.dtypes or fixture.argument in selection.fixtures


def _check_parameters(fixture: Fixture, method: Method, params: Params) -> None:
    shape = parameter_shape(method, fixture.shape, params)
    arrays = fixture.arrays()
    if not arrays.parameters_fit(shape):
        given = {n: arrays.parameters[n].shape for n in ("weight", "bias") if n in arrays.parameters}
        found = ", ".join(f"{name} {shape}" for name, shape in given.items())
        per_sample = (fixture.shape[0], *shape)
        raise ParameterError(
            f"fixture {fixture.argument}: it has {found}; {method} norm of x {fixture.shape} needs {shape}, "
            f"or {per_sample} for each sample its own"
        )


def _entries(fixture: Fixture, method: Method, selection: Selection) -> Sequence[OwnParams]:
    """The fixture's own parameters for ``method``, unless the selection says what shares statistics.

    A method that it says nothing of has those of another with its statistic sets.
    """
    own = definition(method)
    if any(TABLE[name].splits and name in own.parameters for name in selection.params):
        return (OwnParams(),)
    alike = (each for each in fixture.own if definition(each).statistics == own.statistics)
    found = method if method in fixture.own else next(alike, None)
    return (OwnParams(),) if found is None else fixture.own[found]


def _steps(fixture: Fixture, mode: Mode) -> int:
    """How often the layer is trained on the batch: once in train mode, not at all before eval mode."""
    return fixture.steps if fixture.steps is not None else int(mode is Mode.TRAIN)

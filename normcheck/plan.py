"""From what the user selects to the cases to run; impossible parameters are refused here, before any work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from normcheck.case import PARAMETERS, Case, Layout, Method, Mode
from normcheck.conventions import Convention
from normcheck.conventions.catalogue import PYTORCH, Bias, EpsPlacement, Weight
from normcheck.dtype import DType
from normcheck.errors import NormcheckError, NothingComparedError, ParameterError, UsageError
from normcheck.fixtures import ALL, Fixture, OwnParams, select, unused
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
    """What to compare. Empty ``methods`` and ``fixtures`` mean all methods and the core fixtures, empty ``dtypes``
    those in which a file has its arrays, float32 where it states none.

    ``params`` are parameters by name, as text or as data; what is not among them is the fixture's own, or the default.
    """

    methods: Sequence[Method] = ()
    fixtures: Sequence[str] = ()
    dtypes: Sequence[DType] = ()
    mode: Mode = Mode.TRAIN
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
    as_stored: tuple[str, ...] = ()  # the files, by the fixture's name, whose arrays keep their dtypes


def all_cases() -> tuple[Case, ...]:
    """All cases of the fixtures that come with normcheck, with their own parameters."""
    selections = (Selection(fixtures=(ALL,), dtypes=tuple(DType), mode=mode) for mode in Mode)
    return tuple(each.case for selection in selections for each in plan(selection).cases)


def plan(selection: Selection) -> Plan:
    """The cases of ``selection``.

    A fixture or method that the user named must fit, or a NormcheckError says why not; one that is only
    there by default or by a tag is left out with a note. An empty plan is an error, never a pass.
    """
    selection = _checked(selection)
    cases: dict[str, PlannedCase] = {}
    notes: list[str] = []
    refusals: list[NormcheckError] = []
    for fixture in select(selection.fixtures or DEFAULT_FIXTURES):
        own: dict[str, PlannedCase] = {}
        refused: list[NormcheckError] = []
        named = _named(fixture, selection)
        for method in selection.methods or Method:
            if not (named and selection.methods) and fixture.excludes(definition(method), method):
                continue
            try:
                for planned in _cases(fixture, method, selection):
                    own.setdefault(planned.case.id, planned)
            except NormcheckError as refusal:
                if named and selection.methods:
                    raise
                refused.append(refusal)
        if named and refused and not own:
            raise refused[0]
        refusals += refused
        notes += [f"left out: {refusal}" for refusal in refused]
        if fixture.file and own:
            notes += unused.notes(
                fixture, [each.case for each in own.values()], chosen=bool(selection.dtypes)
            )
        cases |= {id: planned for id, planned in own.items() if id not in cases}
    if not cases:
        raise refusals[0] if refusals else NothingComparedError("the selection leaves nothing to compare")
    files = dict.fromkeys(each.fixture.name for each in cases.values() if each.fixture.file)
    as_stored = () if selection.dtypes else tuple(files)
    return Plan(cases=tuple(cases.values()), notes=tuple(dict.fromkeys(notes)), as_stored=as_stored)


def _named(fixture: Fixture, selection: Selection) -> bool:
    """True if the user named the fixture itself, not a tag that it has."""
    return fixture.file or fixture.argument in selection.fixtures


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
    if fixture.file and not selection.methods and any(e.method is None for e in fixture.arrays().expected):
        raise UsageError(f"{where}: it has expected values, but not of which method: add --method")
    own = definition(method)
    for entry in _entries(fixture, method, selection):
        given = {**entry.params, **selection.params}
        if fixture.file:
            _check_groups(fixture, method, given, where)
        params = complete(method, fixture.shape, given, channel_axis=fixture.channel_axis)
        params = checked(method, fixture.shape, params, where=where)
        if not fixture.pooled and fixture.parameters & {"weight", "bias"}:
            _check_parameters(fixture, method, params)
        without = [
            n for n in ("weight", "bias") if n not in own.affine and fixture.pooled and not entry.affine
        ]
        named = _named(fixture, selection)
        for chosen in selection.dtypes or (None,):
            dtypes = fixture.dtypes_in(chosen)
            dtype = dtypes["x"]
            if fixture.dtypes is not None and dtype not in fixture.dtypes and not named:
                continue
            residual = "residual" in fixture.parameters
            convention = checked_convention(method, dtype, params, selection.convention, residual=residual)
            names = fixture.parameters - set(without)
            yield PlannedCase(
                fixture=fixture,
                case=Case(
                    method=method,
                    params=params,
                    fixture=fixture.name,
                    shape=fixture.shape,
                    dtype=dtype,
                    mode=selection.mode,
                    layout=fixture.layouts.get("x", Layout.CONTIGUOUS),
                    layouts={name: layout for name, layout in fixture.layouts.items() if name != "x"},
                    **_dtypes(fixture, dtypes, tracks=params.momentum is not None),
                    steps=_steps(fixture, selection.mode),
                    convention=convention,
                    without=tuple(name for name in without if name in fixture.parameters),
                    outputs=outputs(
                        selection.mode,
                        tracks=params.momentum is not None,
                        weight="weight" in names and convention.weight is not Weight.IGNORED,
                        bias="bias" in names and convention.bias is not Bias.IGNORED,
                        gradients=selection.gradients,
                        residual=residual,
                    ),
                ),
            )


def _dtypes(fixture: Fixture, dtypes: Mapping[str, DType], *, tracks: bool) -> dict[str, Any]:
    """The fields of a Case for the dtypes of its arrays: what its parameters share, and what is left."""
    there = [
        name for name in PARAMETERS if name in fixture.parameters or (tracks and name.startswith("running"))
    ]
    common = dtypes[there[0]] if there else dtypes["x"]
    usual = {**dict.fromkeys(there, common), "residual": dtypes["x"]}
    return {
        "parameter_dtype": None if common is dtypes["x"] else common,
        "dtypes": {name: dtypes[name] for name, dtype in usual.items() if dtypes[name] is not dtype},
    }


def _check_groups(fixture: Fixture, method: Method, given: Mapping[str, Any], where: str) -> None:
    """ParameterError where a file is to be split into groups, and nothing says into how many."""
    axis = given.get("channel_axis", fixture.channel_axis)
    if "num_groups" not in definition(method).parameters or {"num_groups", "groups"} & given.keys():
        return
    if len(fixture.shape) > 1 and axis in (1, -1):
        channels = fixture.shape[axis]
        divisors = ", ".join(str(d) for d in range(1, channels + 1) if channels % d == 0)
        raise ParameterError(
            f"{where}: nothing says how its {channels} channels are split; add --num-groups with one of "
            f"{divisors}; or give the groups one by one: --groups '0,1|2'"
        )


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

"""From what the user selects to the cases to run; impossible parameters are refused here, before any work."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from normcheck.case import Case, Layout, Method, Mode
from normcheck.conventions import Convention
from normcheck.conventions.catalogue import PYTORCH, Bias, EpsPlacement, Weight
from normcheck.dtype import DType
from normcheck.errors import NormcheckError, NothingComparedError, ParameterError, UsageError
from normcheck.fixtures import Fixture, OwnParams, select, unused
from normcheck.fixtures.fixture import USUAL, dtype_fields
from normcheck.methods import (
    Definition,
    checked,
    checked_convention,
    complete,
    definition,
    outputs,
    parameter_shape,
)
from normcheck.parameters import TABLE, Params, Shape, check_exclusive, row_of

if TYPE_CHECKING:
    from normcheck.layer import Layer

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


def plan(selection: Selection, layers: Sequence[Layer] = ()) -> Plan:
    """The cases of ``selection``.

    A fixture or method that the user named must fit, or a NormcheckError says why not; one that is only
    there by default is left out with a note. An empty plan is an error, never a pass.

    ``layers`` are the users' layers that are to answer. The first one's own parameters are those of the cases, where
    the user gives no others, and its arrays those of a file that has none. Of a tag's fixtures those are taken that
    fit it; where none does, they are made in its shape.
    """
    selection = _checked(selection)
    found = _Found()
    chosen = select(selection.fixtures or DEFAULT_FIXTURES)
    for fixture in chosen:
        before = len(found.cases), len(found.refusals)
        for method in selection.methods or Method:
            named = _named(fixture, selection)
            if not (named and selection.methods) and fixture.excludes(definition(method), method):
                continue
            try:
                found.add(_cases(fixture, method, selection, layers))
            except _MisfitError:
                found.misfits.setdefault(method, []).append(fixture)
            except NormcheckError as refusal:
                if named and selection.methods:
                    raise
                found.refused(refusal)
        own = list(found.cases.values())[before[0] :]
        if _named(fixture, selection) and not own and len(found.refusals) > before[1]:
            raise found.refusals[before[1]]
        if fixture.file and own:
            found.notes += unused.notes(
                fixture, [each.case for each in own], chosen=bool(selection.dtypes), unsaid=selection.modes[0]
            )
    for method, misfits in found.misfits.items():
        if not any(each.case.method is method for each in found.cases.values()):
            for fixture in _made_for(layers[0], method, misfits):
                found.add(_cases(fixture, method, selection, layers))
    if not found.cases:
        raise _nothing(found, layers)
    found.keep(selection.only)
    found.notes += _undecided(chosen, selection)
    files = dict.fromkeys(each.fixture.name for each in found.cases.values() if each.fixture.file)
    return Plan(
        cases=tuple(found.cases.values()),
        notes=tuple(dict.fromkeys(found.notes)),
        as_stored=() if selection.dtypes else tuple(files),
    )


class _MisfitError(Exception):
    """A fixture of a tag that does not fit the layer that is to be called with it."""


@dataclass(slots=True)
class _Found:
    """The cases so far, and what has been left out."""

    cases: dict[str, PlannedCase] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    refusals: list[NormcheckError] = field(default_factory=list)
    misfits: dict[Method, list[Fixture]] = field(default_factory=dict)

    def add(self, cases: Iterable[PlannedCase]) -> None:
        """Keep those that are not there yet, all or none."""
        for planned in list(cases):
            self.cases.setdefault(planned.case.id, planned)
            if not planned.fixture.file and planned.case.convention != PYTORCH and _has_expected(planned):
                self.notes.append(_not_compared(planned))

    def keep(self, ids: Collection[str]) -> None:
        """Keep the cases of these ids alone, all where there are none; NothingComparedError where that leaves none."""
        others = [each for each in self.cases if ids and each not in ids]
        if len(others) == len(self.cases):
            raise NothingComparedError(
                f"no case is {' or '.join(ids)}; with a layer's own eps, groups and shape there are: "
                f"{', '.join(others)}"
            )
        for each in others:
            del self.cases[each]

    def refused(self, refusal: NormcheckError) -> None:
        """Say what has been left out."""
        self.refusals.append(refusal)
        self.notes.append(f"left out: {refusal}")


def _named(fixture: Fixture, selection: Selection) -> bool:
    """True if the user named the fixture itself, not a tag that it has."""
    return fixture.file or fixture.argument in selection.fixtures


def _nothing(found: _Found, layers: Sequence[Layer]) -> NormcheckError:
    if found.refusals:
        return found.refusals[0]
    if found.misfits:
        (layer, *_), methods = layers, " and ".join(f"{method} norm" for method in found.misfits)
        shape = layer.normalized_shape or (layer.channels,)
        return NothingComparedError(
            f"no fixture of the selection fits {layer.backend}, a layer of shape {shape}, for {methods}, and none can "
            "be made for it: name a file with --fixture"
        )
    return NothingComparedError("the selection leaves nothing to compare")


def _has_expected(planned: PlannedCase) -> bool:
    return any(each.method is planned.case.method for each in planned.fixture.arrays().expected)


def _not_compared(planned: PlannedCase) -> str:
    stated = " ".join(planned.case.convention.options)
    return (
        f"fixture {planned.fixture.argument}: its expected values of {planned.case.method} norm are by PyTorch's "
        f"convention: not compared under {stated}"
    )


def _undecided(chosen: Sequence[Fixture], selection: Selection) -> Iterator[str]:
    """What of a tag is left out, by dtype: fixtures that can decide nothing in it."""
    for dtype in selection.dtypes or (USUAL,):
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


def _cases(
    fixture: Fixture, method: Method, selection: Selection, layers: Sequence[Layer]
) -> Iterator[PlannedCase]:
    where = f"fixture {fixture.argument}, {method} norm"
    if fixture.file and not selection.methods and any(e.method is None for e in fixture.arrays().expected):
        raise UsageError(f"{where}: it has expected values, but not of which method: add --method")
    own, named = definition(method), _named(fixture, selection)
    layer = layers[0] if layers else None
    in_dtypes = [fixture.dtypes_in(chosen) for chosen in selection.dtypes or (None,)]
    for entry in _entries(fixture, method, selection, _brought(layer, method, in_dtypes[0]["x"])):
        for dtypes in in_dtypes:
            dtype = dtypes["x"]
            if not _decides(fixture, dtype, selection):
                continue
            brought = _brought(layer, method, dtype)
            given = _overlaid(entry.params, brought, selection.params)
            axis = fixture.channel_axis
            params = complete(method, fixture.shape, given, channel_axis=axis, guess=not fixture.file)
            if layer is not None:
                _check_agreement(layer, brought, selection.params)
                _check_fit(layer, method, fixture, params, where=where if named else None)
            params = checked(method, fixture.shape, params, where=where)
            if not fixture.pooled and fixture.parameters & {"weight", "bias"}:
                _check_parameters(fixture, method, params)
            shape = parameter_shape(method, fixture.shape, params)
            used, of_layer = _with_arrays(layers, fixture, shape, dtype) if layers else (fixture, {})
            without = [n for n in ("weight", "bias") if _lacks(used, own, entry, layer, n)]
            names = used.parameters.difference(without)
            residual = "residual" in names
            tracks = params.momentum is not None
            convention = checked_convention(method, dtype, params, selection.convention, residual=residual)
            for mode in selection.modes if tracks else selection.modes[:1]:
                asked = outputs(
                    mode,
                    tracks=tracks,
                    weight="weight" in names and convention.weight is not Weight.IGNORED,
                    bias="bias" in names and convention.bias is not Bias.IGNORED,
                    gradients=selection.gradients,
                    residual=residual,
                    frozen=fixture.frozen,
                )
                yield PlannedCase(
                    fixture=used,
                    unsaid=selection.modes[0],
                    case=Case(
                        method=method,
                        params=params,
                        fixture=fixture.name,
                        shape=fixture.shape,
                        dtype=dtype,
                        mode=mode,
                        layout=fixture.layouts.get("x", Layout.CONTIGUOUS),
                        layouts=_layouts(
                            fixture, names, tracks=tracks, gradients=any(o.is_gradient for o in asked)
                        ),
                        **dtype_fields({**dtypes, **of_layer}, used.parameters, tracks=tracks),
                        steps=_steps(fixture, mode),
                        convention=convention,
                        without=tuple(without),
                        frozen=tuple(n for n in fixture.frozen if n == "x" or n in names),
                        outputs=asked,
                    ),
                )


def _decides(fixture: Fixture, dtype: DType, selection: Selection) -> bool:
    """True if ``dtype`` is one of those in which the fixture can decide anything, or the fixture was named itself."""
    return fixture.dtypes is None or dtype in fixture.dtypes or _named(fixture, selection)


def _layouts(fixture: Fixture, names: Collection[str], *, tracks: bool, gradients: bool) -> dict[str, Layout]:
    """Those of the arrays beside x that a case has."""
    there = {*names, *(["running_mean", "running_var"] if tracks else []), *(["grad_y"] if gradients else [])}
    return {name: layout for name, layout in fixture.layouts.items() if name in there}


def _brought(layer: Layer | None, method: Method, dtype: DType) -> dict[str, Any]:
    if layer is None:
        return {}
    from normcheck.fixtures.own import params_of  # imports NumPy, as the others here

    return params_of(layer, method, dtype)


def _with_arrays(
    layers: Sequence[Layer], fixture: Fixture, shape: Shape, x: DType
) -> tuple[Fixture, dict[str, DType]]:
    """The fixture with the arrays that a layer brings, and their dtypes."""
    from normcheck.fixtures.own import dtypes_of, with_arrays

    found = with_arrays(layers, fixture, shape)
    return found, dtypes_of(layers[0], found.parameters - fixture.parameters, x)


def _made_for(layer: Layer, method: Method, fixtures: Sequence[Fixture]) -> list[Fixture]:
    from normcheck.fixtures.own import made_for

    return [made for each in fixtures if (made := made_for(layer, method, each)) is not None]


def _overlaid(*given: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters from what counts least to what counts most; one of two that exclude each other ends the other."""
    found: dict[str, Any] = {}
    for each in given:
        ended = {name for name in found if any(name in (TABLE[n].excludes, *_ended_by(n)) for n in each)}
        found = {name: value for name, value in found.items() if name not in ended} | dict(each)
    return found


def _ended_by(name: str) -> Iterator[str]:
    return (other for other in TABLE if TABLE[other].excludes == name)


def _check_agreement(layer: Layer, brought: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """ParameterError where the user asks for other parameters than the layer was made with."""
    for name in brought.keys() & given.keys():
        kind = TABLE[name].kind
        own, asked = kind.brief(brought[name]), kind.brief(given[name])
        if brought[name] != given[name]:
            raise ParameterError(
                f"{TABLE[name].flag} {asked}: {layer.backend} is a layer with a {name} of its own, {own}; "
                "leave the option out, or make another layer"
            )


def _check_fit(layer: Layer, method: Method, fixture: Fixture, params: Params, where: str | None) -> None:
    """ParameterError where the layer cannot be called with the x of a fixture that the user named, which ``where``
    says; _MisfitError where that is a tag's.
    """
    from normcheck.fixtures.own import misfit

    try:
        params = checked(method, fixture.shape, params, where=where or "")
    except NormcheckError:  # it has not even the axes, or not so many channels
        if where is not None:
            raise
        raise _MisfitError from None
    if (reason := misfit(layer, method, fixture.shape, params)) is None:
        return
    if where is None:
        raise _MisfitError
    raise ParameterError(f"{where}: {reason}")


def _lacks(fixture: Fixture, own: Definition, entry: OwnParams, layer: Layer | None, name: str) -> bool:
    """True if a case does not get the weight or the bias that its fixture has: it says so, or who answers has none."""
    if name not in fixture.parameters:
        return False
    if not fixture.pooled:
        return name in fixture.without
    usual = name in own.affine or entry.affine
    return not usual or (name in fixture.without if layer is None else name not in layer.holds)


def _check_parameters(fixture: Fixture, method: Method, params: Params) -> None:
    shape = parameter_shape(method, fixture.shape, params)
    arrays = fixture.arrays()
    if not arrays.parameters_fit(shape):
        given = {n: arrays.parameters[n].shape for n in ("weight", "bias") if n in arrays.parameters}
        found = ", ".join(f"{name} {shape}" for name, shape in given.items())
        per_sample = (fixture.shape[0], *shape)
        raise ParameterError(
            f"fixture {fixture.argument}: it has {found}; {method} norm of x {fixture.shape} needs {shape}, "
            f"or {per_sample} for each sample its own{_fitting(fixture.shape, method, given.values())}"
        )


def _fitting(shape: Shape, method: Method, given: Collection[Shape]) -> str:
    """How many last axes weight and bias are of, where they are of fewer than the method would take."""
    ends = {len(own) for own in given if own == shape[len(shape) - len(own) :]}
    if len(ends) != 1 or "normalized_ndim" not in definition(method).parameters:
        return ""
    return f"; --normalized-ndim {ends.pop()} has this one"


def _entries(
    fixture: Fixture, method: Method, selection: Selection, brought: Mapping[str, Any]
) -> Sequence[OwnParams]:
    """The fixture's own parameters for ``method``, unless the selection or the layer says what shares statistics.

    A method that it says nothing of has those of another with its statistic sets.
    """
    own = definition(method)
    said = {**selection.params, **brought}
    if any(TABLE[name].splits and name in own.parameters for name in said):
        return (OwnParams(),)
    alike = (each for each in fixture.own if definition(each).statistics == own.statistics)
    found = method if method in fixture.own else next(alike, None)
    return (OwnParams(),) if found is None else fixture.own[found]


def _steps(fixture: Fixture, mode: Mode) -> int:
    """How often the layer is trained on the batch: once in train mode, not at all before eval mode."""
    return fixture.steps if fixture.steps is not None else int(mode is Mode.TRAIN)

"""From what the user selects to the cases to run; impossible parameters are refused here, before any work."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from normcheck.case import Case, Layout, Method, Mode
from normcheck.conventions.catalogue import PYTORCH, Bias, Weight
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
from normcheck.parameters import TABLE, Params, Shape
from normcheck.plan.layers import (
    MisfitError,
    check_agreement,
    check_fit,
    made_for,
    overlaid,
    params_of,
    with_arrays,
)
from normcheck.plan.selection import DEFAULT_FIXTURES, Plan, PlannedCase, Selection
from normcheck.plan.selection import checked as checked_selection

if TYPE_CHECKING:
    from normcheck.layer import Layer


def plan(selection: Selection, layers: Sequence[Layer] = ()) -> Plan:
    """The cases of ``selection``.

    A fixture or method that the user named must fit, or a NormcheckError says why not; one that is only
    there by default is left out with a note. An empty plan is an error, never a pass.

    ``layers`` are the users' layers that are to answer. The first one's own parameters are those of the cases, where
    the user gives no others, and its arrays those of a file that has none. Of a tag's fixtures those are taken that
    fit it; where none does, they are made in its shape.
    """
    selection = checked_selection(selection)
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
            except MisfitError:
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
            for fixture in made_for(layers[0], method, misfits):
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


def _cases(
    fixture: Fixture, method: Method, selection: Selection, layers: Sequence[Layer]
) -> Iterator[PlannedCase]:
    where = f"fixture {fixture.argument}, {method} norm"
    if fixture.file and not selection.methods and any(e.method is None for e in fixture.arrays().expected):
        raise UsageError(f"{where}: it has expected values, but not of which method: add --method")
    own, named = definition(method), _named(fixture, selection)
    layer = layers[0] if layers else None
    in_dtypes = [fixture.dtypes_in(chosen) for chosen in selection.dtypes or (None,)]
    for entry in _entries(fixture, method, selection, params_of(layer, method, in_dtypes[0]["x"])):
        for dtypes in in_dtypes:
            dtype = dtypes["x"]
            if not _decides(fixture, dtype, selection):
                continue
            brought = params_of(layer, method, dtype)
            given = overlaid(entry.params, brought, selection.params)
            axis = fixture.channel_axis
            params = complete(method, fixture.shape, given, channel_axis=axis, guess=not fixture.file)
            if layer is not None:
                check_agreement(layer, brought, selection.params)
                check_fit(layer, method, fixture, params, where=where if named else None)
            params = checked(method, fixture.shape, params, where=where)
            if not fixture.pooled and fixture.parameters & {"weight", "bias"}:
                _check_parameters(fixture, method, params)
            shape = parameter_shape(method, fixture.shape, params)
            used, of_layer = with_arrays(layers, fixture, shape, dtype) if layers else (fixture, {})
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

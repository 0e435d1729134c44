"""From what the user selects to the cases to run; impossible parameters are refused here, before any work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from normcheck.case import DEFAULT_EPS, DEFAULT_MOMENTUM, Case, Groups, Method, Mode, Params
from normcheck.dtype import DType
from normcheck.errors import NormcheckError, NothingComparedError, ParameterError, UsageError
from normcheck.fixtures import ALL, Fixture, select
from normcheck.methods import outputs, parameter_shape, validate
from normcheck.methods.sets import default_num_groups

DEFAULT_FIXTURES = ("core",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What to compare. Empty ``methods`` and ``fixtures`` mean all methods and the core fixtures.

    Parameters that are None are the fixture's own, or the defaults.
    """

    methods: Sequence[Method] = ()
    fixtures: Sequence[str] = ()
    dtypes: Sequence[DType] = (DType.FLOAT32,)
    mode: Mode = Mode.TRAIN
    eps: float | None = None
    num_groups: int | None = None
    groups: Groups | None = None
    normalized_ndim: int | None = None
    momentum: float | None = None
    channel_axis: int | None = None
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


def all_cases() -> tuple[Case, ...]:
    """All cases of the fixtures that come with normcheck, with their own parameters."""
    selections = (Selection(fixtures=(ALL,), dtypes=tuple(DType), mode=mode) for mode in Mode)
    return tuple(each.case for selection in selections for each in plan(selection).cases)


def parse_groups(text: str) -> Groups:
    """Read ``0,1|2`` as ((0, 1), (2,)); UsageError if it is not written like that."""
    try:
        return tuple(tuple(int(channel) for channel in group.split(",")) for group in text.split("|"))
    except ValueError:
        raise UsageError(f"groups {text!r}: write the channels of each group like '0,1|2'") from None


def plan(selection: Selection) -> Plan:
    """The cases of ``selection``.

    A fixture or method that the user named must fit, or a NormcheckError says why not; one that is only
    there by default is left out with a note. An empty plan is an error, never a pass.
    """
    if selection.num_groups is not None and selection.groups is not None:
        raise UsageError("--num-groups and --groups exclude each other: give one")
    cases: dict[str, PlannedCase] = {}
    notes: list[str] = []
    refusals: list[NormcheckError] = []
    for fixture in select(selection.fixtures or DEFAULT_FIXTURES):
        for method in selection.methods or Method:
            if selection.methods and not selection.fixtures and not _meant_for(fixture, method):
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
    return Plan(cases=tuple(cases.values()), notes=tuple(dict.fromkeys(notes)))


def _meant_for(fixture: Fixture, method: Method) -> bool:
    return fixture.methods is None or method in fixture.methods


def _cases(fixture: Fixture, method: Method, selection: Selection) -> Iterator[PlannedCase]:
    where = f"fixture {fixture.argument}, {method} norm"
    if not selection.methods:
        if not _meant_for(fixture, method):
            return
        if None in fixture.expected_methods:
            raise UsageError(f"{where}: it has expected values, but not of which method: add --method")
    for own in _own_params(fixture, method, selection):
        params = _params(fixture, method, own, selection)
        validate(method, fixture.shape, params, where=where)
        if fixture.methods is None:
            _check_parameters(fixture, method, params)
        named = fixture.argument in selection.fixtures  # itself, not by a tag
        for dtype in selection.dtypes:
            if fixture.dtypes is not None and dtype not in fixture.dtypes and not named:
                continue
            case = Case(
                method=method,
                params=params,
                fixture=fixture.name,
                shape=fixture.shape,
                dtype=dtype,
                mode=selection.mode,
                layout=fixture.layout,
                parameter_dtype=fixture.parameter_dtype if dtype.half else None,
                steps=_steps(fixture, selection.mode),
                outputs=outputs(
                    selection.mode,
                    tracks=method is Method.BATCH or bool(params.track_running_stats),
                    weight="weight" in fixture.parameters,
                    bias="bias" in fixture.parameters,
                    gradients=selection.gradients,
                ),
            )
            yield PlannedCase(case=case, fixture=fixture)


def _check_parameters(fixture: Fixture, method: Method, params: Params) -> None:
    shape = parameter_shape(method, fixture.shape, params)
    arrays = fixture.arrays()
    if not arrays.parameters_fit(shape):
        given = {n: arrays.parameters[n].shape for n in ("weight", "bias") if n in arrays.parameters}
        found = ", ".join(f"{name} {shape}" for name, shape in given.items())
        raise ParameterError(
            f"fixture {fixture.argument}: it has {found}; {method} norm of x {fixture.shape} needs {shape}"
        )


def _own_params(fixture: Fixture, method: Method, selection: Selection) -> Sequence[Mapping[str, Any]]:
    """The fixture's own parameters for ``method``, unless the selection replaces them."""
    replaced = method is Method.GROUP and (selection.num_groups is not None or selection.groups is not None)
    replaced = replaced or (method is Method.LAYER and selection.normalized_ndim is not None)
    if fixture.methods is None or method not in fixture.methods or replaced:
        return ({},)
    return fixture.methods[method]


def _params(fixture: Fixture, method: Method, own: Mapping[str, Any], selection: Selection) -> Params:
    eps = selection.eps if selection.eps is not None else own.get("eps", DEFAULT_EPS)
    axis = selection.channel_axis if selection.channel_axis is not None else fixture.channel_axis
    common = Params(eps=float(eps), channel_axis=axis)
    if method is Method.BATCH or own.get("track_running_stats"):
        momentum = (
            selection.momentum if selection.momentum is not None else own.get("momentum", DEFAULT_MOMENTUM)
        )
        tracks = True if method is Method.INSTANCE else None
        return replace(common, momentum=float(momentum), track_running_stats=tracks)
    if method is Method.LAYER:
        chosen = selection.normalized_ndim
        if chosen is None:
            chosen = own.get("normalized_ndim", len(fixture.shape) - 1)
        return replace(common, normalized_ndim=chosen)
    if method is Method.GROUP:
        if selection.groups is not None:
            return replace(common, groups=selection.groups)
        if selection.num_groups is not None:
            return replace(common, num_groups=selection.num_groups)
        if "groups" in own:
            return replace(common, groups=tuple(tuple(group) for group in own["groups"]))
        channels = fixture.shape[axis] if axis in (1, -1) and len(fixture.shape) > 1 else 1
        return replace(common, num_groups=own.get("num_groups", default_num_groups(channels)))
    return common


def _steps(fixture: Fixture, mode: Mode) -> int:
    """How often the layer is trained on the batch: once in train mode, not at all before eval mode."""
    return fixture.steps if fixture.steps is not None else int(mode is Mode.TRAIN)

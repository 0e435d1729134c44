"""What a user's layer brings into a plan, and what does not fit it. Arrays are looked at only where there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from normcheck.case import Method
from normcheck.dtype import DType
from normcheck.errors import NormcheckError, ParameterError
from normcheck.fixtures import Fixture
from normcheck.methods import checked
from normcheck.parameters import TABLE, Params, Shape, ended_by

if TYPE_CHECKING:
    from normcheck.layer import Layer


class MisfitError(Exception):
    """A fixture of a tag that does not fit the layer that is to be called with it."""


def params_of(layer: Layer | None, method: Method, dtype: DType) -> dict[str, Any]:
    """The parameters of ``method`` that the layer was made with."""
    if layer is None:
        return {}
    from normcheck.fixtures.own import params_of  # imports NumPy, as the others here

    return params_of(layer, method, dtype)


def with_arrays(
    layers: Sequence[Layer], fixture: Fixture, shape: Shape, x: DType
) -> tuple[Fixture, dict[str, DType]]:
    """The fixture with the arrays that a layer brings, and their dtypes."""
    from normcheck.fixtures.own import dtypes_of, with_arrays

    found = with_arrays(layers, fixture, shape)
    return found, dtypes_of(layers[0], found.parameters - fixture.parameters, x)


def made_for(layer: Layer, method: Method, fixtures: Sequence[Fixture]) -> list[Fixture]:
    """Those of ``fixtures`` that can be made in a shape that fits the layer."""
    from normcheck.fixtures.own import made_for

    return [made for each in fixtures if (made := made_for(layer, method, each)) is not None]


def overlaid(*given: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters from what counts least to what counts most; one of two that exclude each other ends the other."""
    found: dict[str, Any] = {}
    for each in given:
        ended = ended_by(each)
        found = {name: value for name, value in found.items() if name not in ended} | dict(each)
    return found


def check_agreement(layer: Layer, brought: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """ParameterError where the user asks for other parameters than the layer was made with."""
    for name in brought.keys() & given.keys():
        kind = TABLE[name].kind
        own, asked = kind.brief(brought[name]), kind.brief(given[name])
        if brought[name] != given[name]:
            raise ParameterError(
                f"{TABLE[name].flag} {asked}: {layer.backend} is a layer with a {name} of its own, {own}; "
                "leave the option out, or make another layer"
            )


def check_fit(layer: Layer, method: Method, fixture: Fixture, params: Params, where: str | None) -> None:
    """ParameterError where the layer cannot be called with the x of a fixture that the user named, which ``where``
    says; MisfitError where that is a tag's.
    """
    from normcheck.fixtures.own import misfit

    try:
        params = checked(method, fixture.shape, params, where=where or "")
    except NormcheckError:  # it has not even the axes, or not so many channels
        if where is not None:
            raise
        raise MisfitError from None
    if (reason := misfit(layer, method, fixture.shape, params)) is None:
        return
    if where is None:
        raise MisfitError
    raise ParameterError(f"{where}: {reason}")

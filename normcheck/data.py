"""Cases, answers and reports as plain data, ready for strict JSON, and back: their dataclasses are the definition.

A dataclass is an object of its fields, an enumeration its value, a tuple or a set an array, a number that is not
finite one of the strings "nan", "inf" and "-inf". Two marks in a field's metadata change that: a field with
ABSENT_BY_DEFAULT has no key where it has its default, one with NOT_DATA never has.

Reading believes nothing: a wrong type, an unknown or missing key, and a name that is none of the valid ones are
errors. ``"3"`` and ``True`` are no integers; ``3`` is a float all the same, as JSON does not tell them apart.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import reprlib
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, get_args, get_origin

if TYPE_CHECKING:
    from cattrs import Converter

T = TypeVar("T")
Reader = Callable[[Any, Any], Any]  # of cattrs: data, class

ABSENT_BY_DEFAULT: Mapping[str, bool] = {"absent_by_default": True}
NOT_DATA: Mapping[str, bool] = {"not_data": True}

_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def to_data(value: Any) -> Any:
    """``value`` as dictionaries, lists, strings, numbers, booleans and None, in the order of the fields."""
    if dataclasses.is_dataclass(value):
        return {
            field.name: to_data(found)
            for field in dataclasses.fields(value)
            if not _skipped(field, found := getattr(value, field.name))
        }
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, Mapping):
        return {key: to_data(item) for key, item in value.items()}
    if isinstance(value, frozenset | set):
        return sorted(map(to_data, value))
    if isinstance(value, tuple | list):
        return [to_data(item) for item in value]
    return value


def _skipped(field: dataclasses.Field[Any], value: Any) -> bool:
    if field.metadata.get("absent_by_default"):
        made = field.default_factory
        return bool(value == (field.default if made is dataclasses.MISSING else made()))
    return bool(field.metadata.get("not_data"))


def from_data(cls: type[T], data: Any) -> T:
    """The ``cls`` that ``data`` spells; ValueError with a sentence that says where it is wrong, and what."""
    try:
        read: T = _converter().structure(data, cls)
    except Exception as error:  # cattrs wraps what the readers below raise in groups
        from cattrs import transform_error

        (first, *_) = transform_error(error, path="", format_exception=_in_words)
        words, _, place = first.rpartition(" @ ")
        raise ValueError(f"{place.removeprefix('.')}: {words}" if place else words) from None
    return read


def parse(text: str) -> Any:
    """The data in a JSON text; ValueError where that is not strict: NaN, a key that is there twice, a number
    beyond float64, nesting without end.
    """
    try:
        return json.loads(text, parse_constant=_not_json, parse_float=_finite, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _not_json(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON; write it as a string")


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text} is beyond the range of float64")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the key {name!r} is there twice")
        found[name] = value
    return found


def _in_words(error: BaseException, _: Any) -> str:
    if isinstance(error, KeyError):
        return f"the key {error} is missing"
    if isinstance(extra := getattr(error, "extra_fields", None), set):
        return f"unknown key {min(extra)!r}"
    return str(error) or type(error).__name__


@cache
def _converter() -> Converter:
    """The converter that reads; importing cattrs takes 50 ms, so only the first reading does."""
    from cattrs import Converter
    from cattrs.gen import make_dict_structure_fn, override

    converter = Converter(forbid_extra_keys=True)
    converter.register_structure_hook(str, _text)
    converter.register_structure_hook(bool, lambda data, _: _checked(bool, data, "true or false"))
    converter.register_structure_hook(int, lambda data, _: _checked(int, data, "an integer"))
    converter.register_structure_hook(float, _number)

    def array_reader(kind: Any) -> Reader:
        return lambda data, _: get_origin(kind)(_items(kind, _checked(list, data, "an array"), converter))

    def mapping_reader(kind: Any) -> Reader:
        _, value = get_args(kind)
        return lambda data, _: {
            name: _item(name, item, value, converter)
            for name, item in _checked(dict, data, "an object").items()
        }

    def object_reader(cls: Any) -> Reader:
        omitted = {f.name: override(omit=True) for f in dataclasses.fields(cls) if f.metadata.get("not_data")}
        read: Reader = make_dict_structure_fn(cls, converter, **omitted)  # type: ignore[arg-type]
        return lambda data, kind: read(_checked(dict, data, "an object"), kind)

    converter.register_structure_hook_factory(lambda kind: _is(kind, tuple, frozenset), array_reader)
    converter.register_structure_hook_factory(lambda kind: _is(kind, Mapping), mapping_reader)
    converter.register_structure_hook_factory(dataclasses.is_dataclass, object_reader)
    return converter


def _is(kind: Any, *generics: Any) -> bool:
    return get_origin(kind) in generics


def _checked(kind: type[T], data: Any, words: str) -> T:
    """``data`` if it is of just this type: a boolean is no integer."""
    if type(data) is not kind:
        raise TypeError(f"{reprlib.repr(data)} is not {words}")
    return data


def _text(data: Any, cls: type[str]) -> str:
    """A string, or the member of an enumeration of strings."""
    text = _checked(str, data, "a string")
    if issubclass(cls, enum.Enum) and text not in list(cls):
        raise ValueError(f"{reprlib.repr(text)} is unknown; valid: {', '.join(cls)}")
    return cls(text)


def _number(data: Any, _: Any) -> float:
    if isinstance(data, str) and data in _NOT_FINITE:
        return _NOT_FINITE[data]
    if type(data) not in (int, float) or not math.isfinite(data):
        raise TypeError(f'{reprlib.repr(data)} is not a number, "nan", "inf" or "-inf"')
    return float(data)


def _items(kind: Any, data: list[Any], converter: Converter) -> list[Any]:
    """The elements of an array: all of one kind, or each of the kind at its place."""
    kinds = get_args(kind)
    if get_origin(kind) is frozenset or kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(data)
    if len(kinds) != len(data):
        raise ValueError(f"an array of {len(data)}, not of {len(kinds)}")
    return [
        _item(index, item, each, converter)
        for index, (item, each) in enumerate(zip(data, kinds, strict=True))
    ]


def _item(place: int | str, data: Any, kind: Any, converter: Converter) -> Any:
    """One element or value; an error is told its place, as cattrs does."""
    try:
        return converter.structure(data, kind)
    except Exception as error:
        from cattrs import IterableValidationError, IterableValidationNote

        error.add_note(IterableValidationNote("", place, kind))
        raise IterableValidationError("", [error], kind) from None

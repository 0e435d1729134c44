"""The parameters of a normalization, once for all: the fields of :class:`Params` are the table of them.

Command-line options, the keywords of the Python API, what a fixture may say, ids, JSON, the lines that reproduce a
result and the keywords of functions are derived from it. To add a parameter is to add a field.
"""

from __future__ import annotations

import dataclasses
import reprlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from normcheck.data import ABSENT_BY_DEFAULT, to_data
from normcheck.errors import UnknownNameError, UsageError

DEFAULT_EPS = 1e-5
DEFAULT_MOMENTUM = 0.1
Groups = tuple[tuple[int, ...], ...]
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What values of one kind are: ``read`` takes plain data, ``parse`` and ``spell`` are of the command line.

    ``brief`` is how an id shows a value. Both readers raise ValueError with what is to be written.
    """

    read: Callable[[Any], Any]
    parse: Callable[[str], Any]
    spell: Callable[[Any], str]
    brief: Callable[[Any], str]


def _integer(data: Any) -> int:
    if type(data) is not int:
        raise ValueError("an integer")
    return data


def _number(data: Any) -> float:
    if type(data) not in (int, float):
        raise ValueError("a number")
    try:
        return float(data)
    except OverflowError:
        raise ValueError("a number within the range of float64") from None


def _flag(data: Any) -> bool:
    if type(data) is not bool:
        raise ValueError("true or false")
    return data


def _axes(data: Any) -> tuple[int, ...]:
    if not isinstance(data, list | tuple) or not data or not all(type(axis) is int for axis in data):
        raise ValueError("axes like 1,2")
    return tuple(data)


def _groups(data: Any) -> Groups:
    if not isinstance(data, list | tuple) or not all(isinstance(group, list | tuple) for group in data):
        raise ValueError("the channels of each group, like '0,1|2'")
    if not all(type(channel) is int for group in data for channel in group):
        raise ValueError("the channels of each group, like '0,1|2'")
    return tuple(tuple(group) for group in data)


def _parsed(number: Callable[[str], Any], words: str) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            return number(text)
        except ValueError:
            raise ValueError(words) from None

    return parse


def _split(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def format_groups(groups: Groups) -> str:
    """Write a partition of the channels as the command line takes it: ``0,1|2``."""
    return "|".join(",".join(map(str, group)) for group in groups)


def _joined(axes: tuple[int, ...]) -> str:
    return ",".join(map(str, axes))


INTEGER = Kind(read=_integer, parse=_parsed(int, "an integer"), spell=str, brief=str)
NUMBER = Kind(read=_number, parse=_parsed(float, "a number"), spell=repr, brief="{:g}".format)
FLAG = Kind(
    read=_flag,
    parse=_parsed({"true": True, "false": False}.__getitem__, "true or false"),
    spell=lambda flag: str(flag).lower(),
    brief=lambda flag: str(flag).lower(),
)
AXES = Kind(
    read=_axes, parse=_parsed(lambda text: tuple(_split(text)), "axes like 1,2"), spell=_joined, brief=_joined
)
GROUPS = Kind(
    read=_groups,
    parse=_parsed(
        lambda text: tuple(tuple(_split(group)) for group in text.split("|")),
        "the channels of each group, like '0,1|2'",
    ),
    spell=format_groups,
    brief=format_groups,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A row of the table.

    ``usual`` gives the value where none is given, from the shape of x and the channel axis; None where there is
    none. ``excludes`` names a parameter that says the same in another way. ``shown`` tells where an id shows a value,
    by default where it is not the usual one, which may be ``guessed``: not right for everyone's
    data. ``splits``: it decides which elements share statistics. ``option`` is False for what only fixtures and
    functions say.
    """

    name: str
    kind: Kind
    words: str
    metavar: str
    usual: Callable[[Shape, int], Any]
    excludes: str | None = None
    always_shown: bool = False
    splits: bool = False
    guessed: bool = False
    option: bool = True

    @property
    def flag(self) -> str:
        """The option on the command line."""
        return "--" + self.name.replace("_", "-")

    def value(self, given: Any) -> Any:
        """The value that ``given`` spells, as text or as data; UsageError with what is to be written."""
        try:
            return self.kind.parse(given) if isinstance(given, str) else self.kind.read(given)
        except ValueError as error:
            raise UsageError(f"{self.flag} is {reprlib.repr(given)}; write {error}") from None

    def of_data(self, given: Any) -> Any:
        """The value in a file; ValueError with what is to be written."""
        try:
            return self.kind.read(given)
        except ValueError as error:
            raise ValueError(f"{self.name} is {reprlib.repr(given)}; write {error}") from None

    def shown(self, value: Any, shape: Shape) -> bool:
        """True if an id shows ``value``."""
        if value is None:
            return False
        return self.always_shown or value != self.usual(shape, 1)


def _nothing(shape: Shape, channel_axis: int) -> None:
    """No value where none is given."""


def _all_but_the_first(shape: Shape, channel_axis: int) -> int:
    return len(shape) - 1


def _some_groups(shape: Shape, channel_axis: int) -> int:
    channels = shape[channel_axis] if channel_axis in (1, -1) and len(shape) > 1 else 1
    return default_num_groups(channels)


def default_num_groups(channels: int) -> int:
    """The default number of groups: the smallest divisor of ``channels`` above 1."""
    return next((d for d in range(2, channels + 1) if channels % d == 0), 1)


def _row(
    kind: Kind,
    metavar: str,
    words: str,
    usual: Callable[[Shape, int], Any] = _nothing,
    default: Any = None,
    **more: Any,
) -> Any:
    """A field with its row of the table; absent from JSON where it is None."""
    row = {"kind": kind, "metavar": metavar, "words": words, "usual": usual, **more}
    mark = ABSENT_BY_DEFAULT if default is None else {}
    return field(default=default, metadata={"row": row, **mark})


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """The parameters of a case, all explicit: nothing relies on a framework's default.

    Parameters that a method does not have are None. Shapes, axes and momentum are in PyTorch's sense.
    """

    eps: float = _row(NUMBER, "E", "Default: 1e-5.", lambda *_: DEFAULT_EPS, DEFAULT_EPS)
    channel_axis: int = _row(INTEGER, "A", "The axis of the channels: 1 or -1.", lambda *_: 1, 1)
    num_groups: int | None = _row(
        INTEGER,
        "G",
        "Group norm: this many equal groups.",
        _some_groups,
        always_shown=True,
        splits=True,
        guessed=True,
    )
    groups: Groups | None = _row(
        GROUPS, "'0,1|2'", "Group norm: these groups of channels.", excludes="num_groups", splits=True
    )
    normalized_ndim: int | None = _row(
        INTEGER, "K", "Layer and RMS norm: over the last K axes.", _all_but_the_first, splits=True
    )
    normalized_axes: tuple[int, ...] | None = _row(
        AXES, "A,B", "Layer and RMS norm: over these axes.", excludes="normalized_ndim", splits=True
    )
    momentum: float | None = _row(
        NUMBER, "P", "Batch norm: weight of the new batch. Default: 0.1.", lambda *_: DEFAULT_MOMENTUM
    )
    # instance norm: keeps running statistics, as batch norm does
    track_running_stats: bool | None = _row(FLAG, "", "Instance norm: keep running statistics.", option=False)

    def to_dict(self) -> dict[str, Any]:
        """The parameters that the method has, ready for JSON."""
        data: dict[str, Any] = to_data(self)
        return data

    def options(self, shape: Shape) -> tuple[str, ...]:
        """The parameters that set a case apart, as in its id: ``("groups=0,1|2",)``; empty if none does."""
        found = []
        for name in ID_ORDER:
            value, row = getattr(self, name), TABLE[name]
            # layer and RMS norm have no channels
            normalized = self.normalized_ndim or self.normalized_axes
            if row.shown(value, shape) and not (name == "channel_axis" and normalized):
                found.append(f"{name}={row.kind.brief(value)}")
        return tuple(found)


TABLE: Mapping[str, Parameter] = {
    each.name: Parameter(name=each.name, **each.metadata["row"]) for each in dataclasses.fields(Params)
}
ID_ORDER = sorted(TABLE, key=lambda name: not TABLE[name].splits)  # what shares statistics comes first
OPTIONS = tuple(row for row in TABLE.values() if row.option)


def row_of(name: str) -> Parameter:
    """The row of ``name``; UnknownNameError where there is none."""
    if name not in TABLE:
        raise UnknownNameError("parameter", name, TABLE)
    return TABLE[name]


def ended_by(names: Iterable[str]) -> set[str]:
    """The parameters that say in another way what one of ``names`` says."""
    names = set(names)
    ends = {TABLE[name].excludes for name in names & TABLE.keys()}
    return {name for name, row in TABLE.items() if name in ends or row.excludes in names}


def check_exclusive(given: Mapping[str, Any]) -> None:
    """Raise UsageError where two parameters are given that say the same in two ways."""
    for name in given:
        other = TABLE[name].excludes
        if other is not None and other in given:
            raise UsageError(f"{TABLE[other].flag} and {TABLE[name].flag} exclude each other: give one")

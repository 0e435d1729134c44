"""The catalogue of conventions: the one list of what implementations of one method do differently, and how.

A key is a field of :class:`Convention`, its values are the members of the field's class, each with a description; the
first value is PyTorch's. Options, ids, JSON, the oracle, canaries, the mutant corpus and the table in the documentation
take keys and values from here. To add a value is to add a member, to add a key is to add a field; the oracle then says
what it means.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from normcheck.data import ABSENT_BY_DEFAULT
from normcheck.dtype import DType
from normcheck.errors import UnknownNameError, UsageError


class Value(enum.StrEnum):
    """A value of a key, with ``words`` that describe it."""

    words: str

    def __new__(cls, value: str, words: str) -> Value:
        """The member ``value``."""
        member = str.__new__(cls, value)
        member._value_, member.words = value, words
        return member


class Statistics(Value):
    """Which elements share one mean and one variance."""

    BATCH = "batch", "one channel over the whole batch"
    LAYER = "layer", "one sample over its normalized axes"
    LAYER_CHANNELS_ONLY = "layer_channels_only", "one position of one sample, over the channels"
    INSTANCE = "instance", "one channel of one sample"
    GROUP_CONTIGUOUS = "group_contiguous", "neighbouring channels of one sample"
    GROUP_INTERLEAVED = "group_interleaved", "channel c of one sample in group c mod the number of groups"


class EpsPlacement(Value):
    """Where eps is added; r is the factor that x − mean is multiplied by."""

    INSIDE_SQRT = "inside_sqrt", "r = 1/√(var + eps)"
    OUTSIDE_SQRT = "outside_sqrt", "r = 1/(√var + eps)"
    MAX = "max", "r = 1/√max(var, eps)"
    NONE = "none", "r = 1/√var, without eps"


class Variance(Value):
    """What the sum of squares is divided by, to normalize."""

    BIASED = "biased", "n"
    UNBIASED = "unbiased", "n − 1"


class Weight(Value):
    """What x̂ is multiplied by."""

    PLAIN = "w", "the weight"
    ONE_PLUS = "1+w", "1 plus the weight, which is stored less 1"
    IGNORED = "ignored", "nothing: there may be a weight, but it is not used"


class Bias(Value):
    """What is added in the end."""

    PLAIN = "b", "the bias"
    IGNORED = "ignored", "nothing: there may be a bias, but it is not used"


class CastOrder(Value):
    """When a half precision result is rounded to its dtype."""

    AFFINE_THEN_CAST = "affine_then_cast", "once, after weight and bias"
    CAST_THEN_AFFINE = "cast_then_affine", "x̂ first, then weight and bias are applied as they are stored"


class Momentum(Value):
    """What the momentum weighs, when running statistics are updated."""

    NEW = "new", "the statistics of the new batch"
    OLD = "old", "the old running statistics"


class RunningVar(Value):
    """Which variance of the batch the running variance takes."""

    UNBIASED = "unbiased", "the sum of squares divided by n − 1"
    BIASED = "biased", "the sum of squares divided by n"


class ResidualSum(Value):
    """Which sum of x and the residual is normalized."""

    ROUNDED = "rounded", "the sum as it is stored, in the dtype of x"
    EXACT = "exact", "the sum before it is rounded to the dtype of x"


def _key(words: str, values: Iterable[Any], *, own: bool = False) -> Any:
    """A field with the first of ``values`` for its default; with ``own`` None: what the method or the dtype has."""
    values = tuple(values)
    return field(
        default=None if own else values[0], metadata={"words": words, "values": values, **ABSENT_BY_DEFAULT}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Convention:
    """One value for each key, by which a case is judged. None is the value that the method or the dtype has itself."""

    statistics: Statistics | None = _key("which elements share statistics", Statistics, own=True)
    centered: bool | None = _key("whether the mean is taken away", (True, False), own=True)
    eps_placement: EpsPlacement = _key("where eps is added", EpsPlacement)
    variance: Variance = _key("what the sum of squares is divided by", Variance)
    weight: Weight = _key("what x̂ is multiplied by", Weight)
    bias: Bias = _key("what is added in the end", Bias)
    cast_order: CastOrder = _key("when a half precision result is rounded", CastOrder)
    stats_dtype: DType | None = _key("in what statistics and intermediate results are held", DType, own=True)
    momentum: Momentum = _key("what the momentum weighs", Momentum)
    running_var: RunningVar = _key("which variance the running variance takes", RunningVar)
    residual_sum: ResidualSum = _key("which sum of x and the residual is normalized", ResidualSum)

    @property
    def stated(self) -> Mapping[str, Any]:
        """The keys whose values are not the default, in the order of the catalogue."""
        return {
            each.name: value
            for each in dataclasses.fields(self)
            if (value := getattr(self, each.name)) != each.default
        }

    @property
    def options(self) -> tuple[str, ...]:
        """The same as ``--convention`` takes them: ``("weight=1+w",)``."""
        return tuple(f"{key}={spelled(value)}" for key, value in self.stated.items())


PYTORCH = Convention()
KEYS: Mapping[str, Mapping[str, Any]] = {each.name: each.metadata for each in dataclasses.fields(Convention)}


def spelled(value: Any) -> str:
    """A value as the command line takes it."""
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def value_of(key: str, text: str) -> Any:
    """The value that ``text`` names; UnknownNameError with the valid ones."""
    if key not in KEYS:
        raise UnknownNameError("convention", key, KEYS)
    by_name = {spelled(value): value for value in KEYS[key]["values"]}
    if text not in by_name:
        raise UnknownNameError(f"value of {key}", text, list(by_name))
    return by_name[text]


def parse(texts: Iterable[str]) -> Convention:
    """Read ``KEY=VALUE``, once or several times; UsageError for a key that is given two values."""
    found: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--convention {text!r}: write KEY=VALUE; keys: {', '.join(KEYS)}")
        new = value_of(key, value)
        if found.setdefault(key, new) != new:
            raise UsageError(
                f"--convention {key} is given two values, {spelled(found[key])} and {value}: give one"
            )
    return Convention(**found)


def listed() -> Iterator[tuple[str, str, str, str]]:
    """Each value with its key, what that is about, and its description, for tables."""
    for key, about in KEYS.items():
        for value in about["values"]:
            yield key, about["words"], spelled(value), getattr(value, "words", "")

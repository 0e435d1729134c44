"""What is known of single elements of a result that fails: enough for a picture, however large the array is."""

from __future__ import annotations

from dataclasses import dataclass, field

from normcheck.data import ABSENT_BY_DEFAULT


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A block of an output, element by element, and how large the errors of all its elements are.

    The block begins at ``start`` and has ``shape``: all of the output where that is small, else what is around the
    worst element. Its elements follow in C order: their statistic ``sets``, counted as
    :func:`normcheck.methods.partition.labels` does, the inputs ``x`` (both empty where the output does not have the
    shape of x), what came out, what should have, and the ``backward_error`` in unit roundoffs: infinite where one side
    alone is finite, NaN where nothing can be decided. Numbers have the digits that tell those of the dtype apart.

    ``ulp`` counts all elements of the output that both sides have as finite numbers: first those that are exact, then
    those off by 1, by 2 or 3, by 4 to 7 ulp, and so on. Printed values have none.
    """

    start: tuple[int, ...]
    shape: tuple[int, ...]
    actual: tuple[float, ...]
    expected: tuple[float, ...]
    backward_error: tuple[float, ...]
    sets: tuple[int, ...] = field(default=(), metadata=ABSENT_BY_DEFAULT)
    x: tuple[float, ...] = field(default=(), metadata=ABSENT_BY_DEFAULT)
    ulp: tuple[int, ...] = field(default=(), metadata=ABSENT_BY_DEFAULT)

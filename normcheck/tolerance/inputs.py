"""The data that a tolerance is for: ordinary numbers of a shape, or a fixture's; as they are, or with an offset."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from normcheck.errors import FixtureError, UsageError
from normcheck.fixtures import Fixture
from normcheck.fixtures.description import of_data
from normcheck.plan import PlannedCase

if TYPE_CHECKING:
    from normcheck.fixtures.arrays import Arrays

OFFSETS = (0, 100)  # standard deviations added to ordinary data, where none is given
LARGEST_OFFSET = 2**24  # where float32 is left with the rounding of the data alone


def shape_of(text: str) -> tuple[int, ...]:
    """The shape that ``8,1024`` spells; UsageError for anything else."""
    try:
        shape = tuple(int(size) for size in text.split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise UsageError(f"--shape {text!r}: write the sizes of x, such as 8,1024 or 2,6,4,4")
    return shape


def ordinary(shape: Sequence[int]) -> Fixture:
    """Data of ``shape`` from fixed seeds: mean about 0, standard deviation 0.58, with a random weight and bias."""
    sizes = ",".join(map(str, shape))
    data = {
        "description": "ordinary data of a shape that was asked for",
        "shape": list(shape),
        "x": {"recipe": "bell", "seed": 1},
        "weight": {"recipe": "uniform", "seed": 2, "low": -2, "high": 2},
        "bias": {"recipe": "uniform", "seed": 3, "low": -1, "high": 1},
    }
    return of_data(data, name=f"ordinary[{sizes}]", argument=f"of --shape {sizes}", file=False)


def moved(planned: PlannedCase, deviations: int) -> PlannedCase:
    """``planned`` with ``deviations`` standard deviations of all of x added to each element of x."""
    if not deviations:
        return planned
    fixture = planned.fixture
    arrays = functools.cache(functools.partial(_moved, fixture, deviations))
    name = f"{fixture.name}+{deviations}σ"
    return replace(
        planned,
        case=replace(planned.case, fixture=name),
        fixture=replace(fixture, name=name, arrays=arrays),
    )


def _moved(fixture: Fixture, deviations: int) -> Arrays:
    import numpy as np

    found = fixture.arrays()
    x = found.x.astype(np.float64)
    with np.errstate(all="ignore"):
        deviation = float(np.std(x)) if x.size else 0.0
    if not (np.isfinite(deviation) and deviation > 0):
        raise FixtureError(
            f"fixture {fixture.argument}: the standard deviation of x is {deviation:g}, so --offset "
            f"{deviations} says nothing; leave it out"
        )
    return replace(found, x=x + deviations * deviation)

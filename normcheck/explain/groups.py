"""The same data under every number of groups: from all channels together to each alone."""

from __future__ import annotations

from dataclasses import replace

from normcheck.methods import definition, positive_axis
from normcheck.plan import PlannedCase


def stops(planned: PlannedCase) -> tuple[list[PlannedCase], int]:
    """The case with each number of equal groups that its channels can have, and itself, in the order of that number.

    Also the place of the case itself. A method without groups has no other.
    """
    case = planned.case
    if "num_groups" not in definition(case.method).parameters:
        return [planned], 0
    channels = case.shape[positive_axis(case.params.channel_axis, len(case.shape))]
    numbers = [number for number in range(1, channels + 1) if channels % number == 0]
    others = [_with(planned, number) for number in numbers if number != case.params.num_groups]
    several = sorted([*others, planned], key=_number)
    return several, several.index(planned)


def _with(planned: PlannedCase, number: int) -> PlannedCase:
    params = replace(planned.case.params, groups=None, num_groups=number)
    return replace(planned, case=replace(planned.case, params=params))


def _number(planned: PlannedCase) -> int:
    params = planned.case.params
    return params.num_groups or len(params.groups or ())

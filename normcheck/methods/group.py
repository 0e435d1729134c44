"""Group norm: each group of channels of each sample. Groups are equal and contiguous, or given one by one."""

from __future__ import annotations

from normcheck.conventions.catalogue import Statistics
from normcheck.errors import ParameterError
from normcheck.methods.definition import Definition, TorchCall, channel_alone, num_channels
from normcheck.methods.sets import channel_groups
from normcheck.parameters import Params, Shape, format_groups


def _checked(shape: Shape, params: Params, where: str) -> Params:
    channels = num_channels(shape, params)
    divisors = ", ".join(str(d) for d in range(1, channels + 1) if channels % d == 0)
    if params.groups is not None and params.num_groups is not None:
        raise ParameterError(f"{where}: group norm needs either num_groups or groups")
    if params.groups is None and params.num_groups is None:
        raise ParameterError(
            f"{where}: nothing says how its {channels} channels are split; add --num-groups with one of "
            f"{divisors}; or give the groups one by one: --groups '0,1|2'"
        )
    if params.num_groups is not None:
        if params.num_groups < 1 or channels % params.num_groups:
            raise ParameterError(
                f"{where}: {channels} channels cannot be split into {params.num_groups} equal groups; "
                f"valid num_groups: {divisors}; or give the groups one by one: --groups '0,1|2'"
            )
        return params
    groups = params.groups or ()
    given = [channel for group in groups for channel in group]
    problems = []
    if any(not group for group in groups):
        problems.append("has an empty group")
    if repeated := sorted({channel for channel in given if given.count(channel) > 1}):
        problems.append(f"repeats channel {', '.join(map(str, repeated))}")
    if unknown := sorted(set(given) - set(range(channels))):
        problems.append(f"names channel {', '.join(map(str, unknown))}, which x does not have")
    if missing := sorted(set(range(channels)) - set(given)):
        problems.append(f"omits channel {', '.join(map(str, missing))}")
    if problems:
        raise ParameterError(
            f"{where}: the partition {format_groups(groups)!r} {' and '.join(problems)}; "
            f"each of the {channels} channels 0 to {channels - 1} must be in exactly one group"
        )
    return params


def _torch(shape: Shape, params: Params) -> TorchCall | None:
    """Equal groups of neighbouring channels; of one sample it refuses groups of one element."""
    channels = num_channels(shape, params)
    groups = channel_groups(params, channels)
    if channels % len(groups) or groups != channel_groups(Params(num_groups=len(groups)), channels):
        return None
    return TorchCall(function="group_norm", arguments=(f"num_groups={len(groups)}",), refused=shape[0] == 1)


DEFINITION = Definition(
    statistics=Statistics.GROUP_CONTIGUOUS,
    parameters=("channel_axis", "num_groups", "groups"),
    parameter_axes=channel_alone,
    checked=_checked,
    torch=_torch,
    shares="one group of channels of one sample",
    used="Detection, segmentation and diffusion models, whose batches are too small for batch norm.",
)

"""Instance norm: each channel of each sample."""

from __future__ import annotations

from normcheck.conventions.catalogue import Statistics
from normcheck.methods.definition import Definition, TorchCall, channel_alone
from normcheck.parameters import Params, Shape


def _torch(shape: Shape, params: Params) -> TorchCall:
    return TorchCall(function="instance_norm", refused=True)


DEFINITION = Definition(
    statistics=Statistics.INSTANCE,
    parameters=("channel_axis", "momentum", "track_running_stats"),
    parameter_axes=channel_alone,
    torch=_torch,
    shares="one channel of one sample",
    used="Style transfer and image generation, where the contrast of each single image should not matter.",
)

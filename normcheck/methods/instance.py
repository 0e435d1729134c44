"""Instance norm: each channel of each sample."""

from __future__ import annotations

from normcheck.conventions.catalogue import Statistics
from normcheck.methods.definition import Definition, channel_alone

DEFINITION = Definition(
    statistics=Statistics.INSTANCE,
    parameters=("channel_axis", "momentum", "track_running_stats"),
    parameter_axes=channel_alone,
    shares="one channel of one sample",
    used="Style transfer and image generation, where the contrast of each single image should not matter.",
)

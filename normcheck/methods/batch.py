"""Batch norm: each channel over the whole batch, or with running statistics."""

from __future__ import annotations

from normcheck.conventions.catalogue import Statistics
from normcheck.methods.definition import Definition, TorchCall, channel_alone
from normcheck.parameters import Params, Shape


def _torch(shape: Shape, params: Params) -> TorchCall:
    return TorchCall(
        function="batch_norm",
        arguments=("running_mean=None", "running_var=None"),
        keywords=("training=True",),
        refused=True,
    )


DEFINITION = Definition(
    statistics=Statistics.BATCH,
    parameters=("channel_axis", "momentum"),
    parameter_axes=channel_alone,
    torch=_torch,
    shares="one channel over the whole batch",
    used=(
        "Convolutional networks trained with large batches; at inference the running statistics "
        "take the place of the batch's."
    ),
)

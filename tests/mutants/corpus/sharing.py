"""What shares statistics: wrong axes, wrong groups, memory read in the wrong order."""

from __future__ import annotations

import math

import numpy as np
from normalization import (
    Call,
    Normalization,
    channel_rows,
    honest,
    instance_rows,
    layer_rows,
    statistic_sets,
)


def sharing(sets) -> Normalization:
    return honest.but(statistic_sets=sets)


def whole_samples(index, call: Call):
    return [index.reshape(call.shape[0], -1)]


def last_axis(index, call: Call):
    return [index.reshape(-1, call.shape[-1])]


def each_position(index, call: Call):
    """One group of channels of one sample, at one position: no spatial axes."""
    by_channel = np.moveaxis(index, call.channel_axis, -1)
    return [by_channel[..., group].reshape(-1, len(group)) for group in call.groups()]


def interleaved_groups(index, call: Call):
    """Channel c in group c mod G."""
    by_channel = np.moveaxis(index, call.channel_axis, 1)
    count = len(call.groups())
    return [by_channel[:, first::count].reshape(call.shape[0], -1) for first in range(count)]


def groups_of_size(index, call: Call):
    """Reads num_groups as the size of a group."""
    by_channel = np.moveaxis(index, call.channel_axis, 1)
    size = len(call.groups())
    starts = range(0, call.channels, size)
    return [by_channel[:, start : start + size].reshape(call.shape[0], -1) for start in starts]


def equal_groups(index, call: Call):
    """As many groups as asked for, but of consecutive channels and as equal as can be."""
    by_channel = np.moveaxis(index, call.channel_axis, 1)
    parts = np.array_split(np.arange(call.channels), len(call.groups()))
    return [by_channel[:, part].reshape(call.shape[0], -1) for part in parts]


def other_channel_axis(index, call: Call):
    """Takes the last axis for the channels where they are second, and the second where they are last."""
    other = 1 if call.channel_axis == -1 else -1
    shared = (0,) if call.method == "instance" else ()
    kept = math.prod(call.shape[axis] for axis in (*shared, other))
    return [np.moveaxis(index, other, len(shared)).reshape(kept, -1)]


def as_stored(index, call: Call):
    """Memory cut into rows, whatever the strides say."""
    return [index.reshape(rows.shape) for rows in statistic_sets(index, call)][:1]


def last_two_axes(index, call: Call):
    """A kernel for images that is given volumes: the axes before the last two are kept."""
    kept = [axis for axis in range(len(call.shape)) if axis not in (call.channel_axis % len(call.shape), 0)]
    outer = kept[: max(0, len(kept) - 2)]
    first = [call.channel_axis % len(call.shape), *outer]
    front = first if call.method == "batch" else [0, *first]
    size = math.prod(call.shape[axis] for axis in front)
    return [np.moveaxis(index, front, range(len(front))).reshape(size, -1)]


class FirstRowForAll(Normalization):
    """Every set is normalized with the statistics of the first."""

    def normalized(self, rows, eps):
        first = rows[:1]
        centre = self.mean(first)
        return self.standardize(rows, centre, self.inverse_root(self.variance(first, centre), eps))


class LastRowLeft(Normalization):
    """The last set is passed through as it is: the grid is one block short."""

    def normalized(self, rows, eps):
        return np.concatenate([super().normalized(rows[:-1], eps), rows[-1:]])


def last_channel_copied(y, x):
    y = y.astype(x.dtype)
    y[:, -1] = y[:, -2]
    return y


layer_is_last_axis = sharing(last_axis)
layer_is_batch = sharing(lambda index, call: [index.reshape(call.shape[0], -1).T])
group_is_each_position = sharing(each_position)
group_is_instance = sharing(instance_rows)
group_is_layer = sharing(whole_samples)
group_is_batch = sharing(channel_rows)
batch_is_instance = sharing(instance_rows)
batch_is_layer = sharing(whole_samples)
instance_is_batch = sharing(channel_rows)
instance_is_layer = sharing(whole_samples)
everything_together = sharing(lambda index, _: [index.reshape(1, -1)])
interleaved = sharing(interleaved_groups)
group_size_for_num_groups = sharing(groups_of_size)
uneven_groups_made_equal = sharing(equal_groups)
wrong_channel_axis = sharing(other_channel_axis)
strides_ignored = sharing(as_stored)
images_only = sharing(last_two_axes)
first_set_for_all = FirstRowForAll()
last_set_left = LastRowLeft()
channel_copied = honest.but(deliver=last_channel_copied)
storage_offset_ignored = honest.but(receive=lambda x: np.roll(x.reshape(-1), 1).reshape(x.shape))
normalized_ndim_one_short = sharing(
    lambda index, call: layer_rows(
        index,
        Call(
            shape=call.shape,
            eps=call.eps,
            channel_axis=1,
            params={"normalized_ndim": max(1, call.params["normalized_ndim"] - 1)},
        ),
    )
)

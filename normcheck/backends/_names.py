"""What parameters are called, in functions and in layers: PyTorch's names are ours."""

from __future__ import annotations

from typing import Mapping, Tuple

# What a parameter may be called. The first name is ours.
SPELLINGS: Mapping[str, Tuple[str, ...]] = {
    "x": ("x", "input", "inputs", "hidden_states"),
    "weight": ("weight", "gamma", "scale", "w", "g"),
    "bias": ("bias", "beta", "shift", "b", "offset"),
    "residual": ("residual",),
    "eps": ("eps", "epsilon", "variance_epsilon"),
    "num_groups": ("num_groups", "G"),
    "groups": ("groups",),
    "normalized_shape": ("normalized_shape",),
    "normalized_ndim": ("normalized_ndim",),
    "normalized_axes": ("normalized_axes",),
    "axis": ("axis",),
    "channel_axis": ("channel_axis",),
    "running_mean": ("running_mean", "mean", "moving_mean"),
    "running_var": ("running_var", "variance", "var", "moving_variance", "moving_var"),
    "training": ("training", "use_input_stats"),
    "momentum": ("momentum",),
}
OURS = {name: ours for ours, names in SPELLINGS.items() for name in names}
DEFAULT_EPS = 1e-5

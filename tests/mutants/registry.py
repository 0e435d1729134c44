"""The corpus: every implementation in it, what is broken in it, and what is there for each convention."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"

METHODS = ("batch", "layer", "instance", "group")
B, L, I, G = ((method,) for method in METHODS)  # noqa: E741
DTYPES = ("float32", "float64", "float16", "bfloat16")
FULL = ("float32", "float64")  # where nothing is hidden by the rounding of the result
HALF = ("float16", "bfloat16")
CORE = ("core",)
EIGHT_CHANNELS = ("nchw", "offset-1e2")  # what layers of torch.nn are made for
IMAGES = ("offset-1", "offset-1e2")


@dataclass(frozen=True, slots=True)
class Implementation:
    """A target of normcheck in the corpus: ``attribute`` of ``file``, hosted by ``host``.

    ``catalogue`` is what it is an example of, by the ids of CATALOGUE; ``fixtures`` are what it is run on.
    """

    file: str
    attribute: str
    catalogue: str
    what: str
    methods: tuple[str, ...] = METHODS
    host: str = "numpy"
    dtypes: tuple[str, ...] = DTYPES
    fixtures: tuple[str, ...] = CORE

    @property
    def name(self) -> str:
        return f"{self.file}.{self.attribute}"

    @property
    def argument(self) -> str:
        """What ``--backend`` takes."""
        return f"{self.name}={self.host}:{CORPUS / self.file}.py:{self.attribute}"


@dataclass(frozen=True, slots=True)
class Mutant(Implementation):
    """A broken implementation.

    ``breaks`` says in which aspects: y, gradients, state, dtype, conduct, result (none, raised or died); in
    others it must never fail. ``killed_in`` are the dtypes in which it must be killed, each method by itself.
    ``survives`` says why it cannot be, where that is known; it is then expected to survive.
    """

    breaks: tuple[str, ...] = ("y",)
    killed_in: tuple[str, ...] = DTYPES
    survives: str | None = None


@dataclass(frozen=True, slots=True)
class Honest(Implementation):
    """A legitimate implementation: it must never be accused in ``dtypes``."""


CATALOGUE = {
    "E1": "another default eps",
    "E2": "eps outside the root",
    "E3": "the larger of variance and eps",
    "E4": "eps ignored",
    "E5": "eps raised to a minimum, or added twice",
    "E6": "eps in float16",
    "E7": "eps scaled by the largest element",
    "E8": "eps of the machine",
    "V1": "n - 1 inside the normalization",
    "V2": "running variance biased",
    "V3": "one pass: E[x²] - E[x]²",
    "V4": "the algorithm depends on the memory format",
    "V5": "sequential sums over long axes",
    "V6": "padded lanes counted",
    "V7": "folded affine",
    "A1": "layer norm over the channels only, or over all",
    "A2": "one group is not layer norm over the channels",
    "A3": "groups interleaved",
    "A4": "size of groups for their number",
    "A5": "wrong channel axis",
    "A6": "weight and bias by group",
    "A7": "strides or storage offset ignored",
    "A8": "not centred (RMS)",
    "W1": "1 + weight",
    "W2": "weight ignored",
    "W3": "weight of another shape",
    "P1": "x̂ rounded before the affine step",
    "P2": "output dtype follows the weight",
    "P3": "statistics in half precision",
    "P4": "input rounded before the statistics",
    "R1": "momentum weighs the old value",
    "R2": "cumulative average",
    "R3": "debiased moving average",
    "R4": "training with the moving average",
    "R5": "inference with the batch's statistics",
    "R6": "training as inference",
    "R7": "mean of unequal shards, or of their variances",
    "D1": "one value per statistic set",
    "D2": "empty batch",
    "D3": "squares overflow float32",
    "D4": "constant set",
    "D5": "NaN or Inf in another set",
    "D6": "wrong gradients",
}

NO_MUTANT = {
    "D3": "what most float32 implementations do, the honest ones here among them: a matter of range, not of "
    "mistakes; fixtures tagged range show it",
    "D2": "an empty fixture is refused: where nothing is compared, nothing can pass",
    "V5": "no order of summation is worse than n roundings: LOOSE by definition, an error with --strict; "
    "sequential_sums is among the honest ones",
    "V7": "legitimate: backward stable, see folded_affine among the honest ones",
}


def table(file: str, *rows: tuple, of: type[Implementation] = Mutant, **common) -> Iterator[Implementation]:
    """One implementation for each (attribute, catalogue id, what, exceptions to ``common``)."""
    for attribute, catalogue, what, *exceptions in rows:
        yield of(file, attribute, catalogue, what, **common | (exceptions[0] if exceptions else {}))


honest = functools.partial(table, of=Honest)
# In half precision PyTorch's own layers round what lies in between: normcheck says so, and is right.
MODULE = {"fixtures": EIGHT_CHANNELS, "dtypes": FULL}
STATE = {"breaks": ("y", "state")}

MUTANTS: tuple[Mutant, ...] = (
    *table(
        "epsilon",
        ("eps_1e_3", "E1", "eps is 1e-3"),
        ("eps_1e_6", "E1", "eps is 1e-6"),
        ("eps_1e_7", "E1", "eps is 1e-7"),
        ("eps_1e_12", "E1", "eps is 1e-12"),
        ("eps_outside_root", "E2", "1/(σ + eps)"),
        ("eps_inside_and_outside", "E2", "1/(√(σ² + eps) + eps)"),
        ("eps_as_floor", "E3", "1/√max(σ², eps)"),
        ("eps_ignored", "E4", "eps is 0"),
        ("eps_forgotten_in_inference", "E4", "eps is 0 in inference", {"methods": B}),
        ("eps_at_least_1001e_8", "E5", "eps is raised to 1.001e-5", {"fixtures": ("tiny",)}),
        ("eps_doubled", "E5", "eps is added twice"),
        ("eps_squared", "", "eps is squared"),
        ("eps_negative", "", "eps is subtracted"),
        ("eps_in_float16", "E6", "eps is rounded to float16", {"fixtures": ("tiny",)}),
        ("eps_scaled_by_max", "E7", "eps is scaled by max x²"),
        ("eps_machine", "E8", "eps is that of the dtype"),
        ("eps_over_n", "", "eps is added before the division by n"),
        ("eps_in_the_mean", "", "eps is added to the mean", STATE),
    ),
    *table(
        "variance",
        ("unbiased", "V1", "n - 1 inside the normalization"),
        ("divided_by_n_plus_1", "V1", "n + 1 for n", STATE),
        ("one_pass", "V3", "E[x²] - E[x]²", STATE),
        ("one_pass_clipped", "V3", "max(0, E[x²] - E[x]²)", STATE),
        ("padded_lanes", "V6", "a row padded with zeros, which count", STATE),
        (
            "single_passed_through",
            "D1",
            "x where a set has one element",
            {"methods": L + I + G, "fixtures": ("n-1",)},
        ),
        ("unbiased_of_one", "D1", "n - 1 = 0", {"methods": L + I + G, "fixtures": ("n-1",)}),
        ("no_remainder", "", "whole vectors of four only"),
        ("sharded_mean", "R7", "mean of the means of unequal shards", STATE),
        ("sharded_variance", "R7", "mean of the variances of shards", STATE),
        ("mean_over_n_minus_1", "V1", "mean divided by n - 1", STATE),
        ("mean_without_last", "", "mean without the last element", STATE),
        ("variance_without_first", "", "variance without the first element", STATE),
        ("median", "", "median for mean", STATE),
        ("rms", "A8", "neither mean nor variance is centred", STATE),
        ("rms_with_variance", "A8", "x divided by σ"),
        ("second_moment", "A8", "(x - mean)/√E[x²]", STATE),
        ("mean_absolute", "", "mean absolute deviation for σ", STATE),
        ("root_missing", "", "root missing"),
        ("root_of_quake", "", "fast inverse square root"),
        ("root_to_10_bits", "", "inverse root to 10 bits"),
        ("tf32_squares", "", "deviations rounded to TF32 before they are squared", STATE),
        ("tf32_input", "P4", "input rounded to TF32", STATE),
    ),
    *table(
        "sharing",
        ("layer_is_last_axis", "A1", "last axis only", {"methods": L}),
        ("layer_is_batch", "A1", "each element over the batch", {"methods": L}),
        ("normalized_ndim_one_short", "A1", "one axis too few", {"methods": L}),
        ("group_is_each_position", "A2", "no spatial axes", {"methods": G}),
        ("group_is_layer", "A2", "one group, whatever was asked", {"methods": G}),
        ("group_is_instance", "A4", "each channel a group", {"methods": G}),
        ("group_is_batch", "A4", "each channel over the batch", {"methods": G}),
        ("interleaved", "A3", "channel c in group c mod G", {"methods": G}),
        ("group_size_for_num_groups", "A4", "num_groups as the size of a group", {"methods": G}),
        ("uneven_groups_made_equal", "A4", "explicit groups replaced by equal ones", {"methods": G}),
        ("batch_is_instance", "A5", "each sample by itself", {"methods": B}),
        ("batch_is_layer", "A5", "all channels of a sample", {"methods": B}),
        ("instance_is_batch", "A5", "all samples of a channel", {"methods": I}),
        ("instance_is_layer", "A5", "all channels of a sample", {"methods": I}),
        ("everything_together", "A5", "one statistic set"),
        ("wrong_channel_axis", "A5", "last axis for channels", {"methods": B + I}),
        ("images_only", "A5", "last two axes only", {"methods": B + I}),
        ("strides_ignored", "A7", "memory cut into rows", {"methods": B}),
        ("storage_offset_ignored", "A7", "x read one element off", STATE),
        ("first_set_for_all", "", "statistics of the first set for all"),
        ("last_set_left", "", "last set passed through"),
        ("channel_copied", "", "last channel a copy of the one before"),
    ),
    *table(
        "affine",
        ("weight_plus_one", "W1", "1 + weight"),
        ("weight_ignored", "W2", "weight is 1"),
        ("weight_absolute", "", "|weight|"),
        ("weight_squared", "", "weight²"),
        ("weight_not_negative", "", "max(weight, 0)"),
        ("weight_in_bfloat16", "P1", "weight rounded to bfloat16", {"dtypes": (*FULL, "float16")}),
        ("weight_divides", "", "x̂/weight"),
        ("weight_reversed", "", "weight in reverse", {"methods": B + I + G}),
        ("weight_of_first_channel", "", "first weight for all"),
        ("weight_of_last_axis", "W3", "weight of the last axis only", {"methods": L}),
        ("weight_by_group", "A6", "one weight for each group", {"methods": G}),
        ("bias_by_group", "A6", "one bias for each group", {"methods": G}),
        ("bias_ignored", "", "bias is 0"),
        ("bias_negated", "", "bias subtracted"),
        ("bias_doubled", "", "bias added twice"),
        ("weight_and_bias_swapped", "", "weight and bias swapped"),
        ("bias_before_weight", "", "(x̂ + bias)·weight"),
    ),
    *table(
        "precision",
        ("x_hat_in_float16", "P1", "x̂ rounded to float16"),
        ("x_hat_in_bfloat16", "P1", "x̂ rounded to bfloat16"),
        ("product_in_float16", "P1", "weight·x̂ rounded to float16"),
        ("product_in_bfloat16", "P1", "weight·x̂ rounded to bfloat16"),
        ("scale_in_bfloat16", "P3", "1/σ rounded to bfloat16"),
        ("statistics_in_own_half", "P3", "everything in half precision", STATE | {"dtypes": HALF}),
        ("input_in_bfloat16", "P4", "input rounded to bfloat16", STATE | {"dtypes": (*FULL, "float16")}),
        ("input_in_float32", "P4", "input rounded to float32", STATE | {"dtypes": ("float64",)}),
        ("float16_variance", "P3", "variance in float16", STATE),
        ("float16_mean", "P3", "mean in float16", STATE),
        ("float32_variance", "P3", "variance in float32", STATE | {"dtypes": ("float64",)}),
        (
            "output_through_narrower",
            "P1",
            "result rounded to a narrower dtype first",
            {"dtypes": (*FULL, "float16")},
        ),
        ("output_truncated", "P1", "bits cut off", {"dtypes": ("float32", *HALF)}),
        ("output_in_float64", "P2", "result in float64", {"breaks": ("dtype",)}),
        ("output_in_float16", "P2", "result in float16", {"breaks": ("dtype",)}),
        ("output_in_integers", "", "result in integers", {"breaks": ("dtype",)}),
        ("output_in_complex", "", "result in complex numbers", {"breaks": ("dtype",)}),
        (
            "output_of_weight_dtype",
            "P2",
            "result in the dtype of the weight",
            {"breaks": ("dtype",), "dtypes": HALF, "fixtures": ("mixed",)},
        ),
    ),
    *table(
        "state",
        ("momentum_swapped", "R1", "momentum weighs the old value"),
        ("momentum_squared", "", "momentum squared"),
        ("momentum_hundredth", "", "momentum is 0.01"),
        ("cumulative_average", "R2", "average of old and new"),
        ("replaced_by_batch", "R2", "the batch's statistics alone"),
        ("debiased", "R3", "divided by 1 - (1 - momentum)"),
        ("old_not_decayed", "", "old + momentum·new"),
        ("biased_running_var", "V2", "running variance biased"),
        ("running_var_unbiased_twice", "V2", "running variance times (n/(n-1))²"),
        ("running_deviation", "V2", "moving average of σ"),
        ("inverse_deviation_kept", "V2", "1/σ for the variance"),
        ("kept_in_float16", "P3", "kept in float16"),
        ("float64_state", "", "kept in float64", {"breaks": ("dtype", "y")}),
        ("stale", "", "not updated"),
        ("stale_mean", "", "running mean not updated"),
        ("stale_variance", "", "running variance not updated"),
        ("statistics_swapped", "", "mean and variance swapped"),
        ("updates_each_sample", "", "updated once for each sample"),
        ("updates_in_inference", "", "updated in inference"),
        ("returns_y_alone", "", "running statistics neither returned nor updated"),
        methods=B,
        breaks=("state", "y"),  # y too, in inference after training steps
    ),
    *table(
        "state",
        ("batch_in_inference", "R5", "the batch's statistics in inference"),
        ("running_in_training", "R6", "running statistics in training"),
        ("updated_in_training", "R4", "updated running statistics in training"),
        ("mean_forgotten_in_inference", "", "not centred in inference"),
        ("deviation_for_variance", "", "running variance taken for σ"),
        ("mean_for_variance", "", "running mean and variance swapped in inference"),
        ("rebiased_in_inference", "", "running variance times (n-1)/n in inference"),
        methods=B,
    ),
    *table(
        "conduct",
        ("remembers_statistics", "", "statistics cached by shape"),
        ("remembers_weight", "", "weight cached by shape"),
        ("eps_of_first_call", "", "eps cached", {"fixtures": ("nchw", "eps-large"), "dtypes": FULL}),
        (
            "nan_removed",
            "D5",
            "NaN taken for 0",
            {"fixtures": ("one-nan",), "methods": B + I + G, "dtypes": FULL},
        ),
        (
            "nan_spread",
            "D5",
            "one NaN poisons every set",
            {"fixtures": ("one-nan",), "methods": B + I + G, "dtypes": FULL},
        ),
        ("zeros_returned", "", "zeros"),
        ("x_returned", "", "x itself"),
        ("nan_at_one_element", "", "NaN at one element"),
        ("infinity_at_one_element", "", "infinity at one element"),
        ("last_element_zero", "", "last element 0"),
        ("last_element_of_neighbour", "", "last element that of its neighbour"),
        ("first_element_off_1e_4", "", "first element off by 1e-4", {"killed_in": FULL}),
        ("samples_reversed", "", "samples in reverse"),
        ("clipped", "", "result clipped to ±2"),
        ("absolute_value", "", "result without its sign"),
    ),
    *table(
        "conduct",
        ("every_second_call", "", "no bias on every second call", {"breaks": ("conduct", "y")}),
        ("every_fifth_call", "", "no bias on every fifth call", {"breaks": ("conduct", "y")}),
        ("centres_in_place", "", "x is centred in place"),
        ("weight_overwritten", "", "weight is overwritten"),
        ("result_in_x", "", "the result is in the memory of x"),
        ("buffer_reused", "", "the next call overwrites the last one's result"),
        ("noise_1e_3", "", "noise of 1e-3"),
        ("noise_1000_ulp", "", "noise of 1000 ulp", {"killed_in": (*FULL, "float16")}),
        ("noise_of_the_last_bit", "", "the last bit is random"),
        breaks=("conduct",),
    ),
    *table(
        "conduct",
        ("last_sample_dropped", "", "last sample missing"),
        ("one_value_for_all", "", "one value, to be broadcast"),
        ("flattened", "", "one axis only"),
        ("axes_reversed", "", "transposed"),
        ("extra_axis", "", "one axis more"),
        ("nothing_returned", "", "None"),
        ("list_returned", "", "a list"),
        ("volumes_refused", "", "raises where there are five axes"),
        ("dies", "", "aborts where the last axis is odd"),
        breaks=("result",),
    ),
    *table(
        "gradients",
        ("mean_detached", "D6", "no gradient through the mean"),
        ("variance_detached", "D6", "no gradient through the variance"),
        ("statistics_detached", "D6", "no gradient through the statistics"),
        ("x_hat_term_missing", "D6", "no x̂·mean(h·x̂)"),
        ("mean_term_missing", "D6", "no mean(h)"),
        ("inference_formula_in_training", "D6", "training backward by the inference formula"),
        ("training_formula_in_inference", "D6", "inference backward by the training formula", {"methods": B}),
        ("n_minus_1_in_backward", "D6", "n - 1 in the backward pass"),
        ("scale_missing", "D6", "not divided by σ"),
        ("scale_squared", "D6", "divided by σ²"),
        ("x_for_x_hat", "D6", "x for x̂"),
        ("statistics_of_first_row", "D6", "means of the first set for all"),
        ("eps_missing_in_backward", "D6", "no eps in the backward pass"),
        ("weight_missing_in_backward", "D6", "grad_x without weight"),
        ("straight_through", "D6", "grad_x is grad_y·weight"),
        ("gradient_clipped", "D6", "grad_y clipped to ±1"),
        ("gradient_in_bfloat16", "D6", "grad_y rounded to bfloat16"),
        ("weight_of_x", "D6", "grad_weight of x for x̂"),
        ("weight_without_last_rows", "D6", "grad_weight without the last rows"),
        ("weight_of_first_sample", "D6", "grad_weight of the first sample"),
        ("weight_averaged", "D6", "grad_weight averaged"),
        ("weight_over_other_axes", "D6", "grad_weight summed over other axes"),
        ("weight_summed_in_bfloat16", "D6", "grad_weight summed in bfloat16"),
        ("bias_averaged", "D6", "grad_bias averaged"),
        ("bias_without_last_rows", "D6", "grad_bias without the last rows"),
        ("bias_halved", "D6", "grad_bias halved"),
        ("weight_unused", "D6", "no gradient to weight", {"breaks": ("result",)}),
        (
            "zero_where_constant",
            "D4",
            "grad_x is 0 where x is constant",
            {"methods": I, "fixtures": ("constant-by-channel",), "dtypes": FULL},
        ),
        ("graph_cut", "D6", "cannot be differentiated", {"breaks": ("result",)}),
        host="torch",
        breaks=("gradients",),
    ),
    *table(
        "torch_layers",
        ("batch_eps_1e_3", "E1", "BatchNorm2d(eps=1e-3)", {"methods": B, "breaks": ("y", "gradients")}),
        ("batch_momentum_keras", "R1", "BatchNorm2d(momentum=0.99)", {"methods": B, "breaks": ("state",)}),
        ("batch_cumulative", "R2", "BatchNorm2d(momentum=None)", {"methods": B, "breaks": ("conduct",)}),
        ("batch_untracked", "R5", "BatchNorm2d(track_running_stats=False)", {"methods": B}),
        ("two_groups", "A4", "GroupNorm(2, 8) for 4 groups", {"methods": G}),
        ("one_group", "A2", "GroupNorm(1, 8) for 4 groups", {"methods": G}),
        ("layer_eps_1e_3", "E1", "LayerNorm(eps=1e-3)", {"methods": L, "fixtures": IMAGES}),
        ("channels_last_group_norm", "V4", "group norm in channels_last memory", {"methods": G}),
        host="torch",
        breaks=("y", "gradients"),
        fixtures=EIGHT_CHANNELS,
        dtypes=FULL,
    ),
    *table(
        "jax_layers",
        ("fast_variance", "V3", "flax's default, use_fast_variance", {"breaks": ("y", "gradients")}),
        ("variance_stopped", "D6", "stop_gradient on the variance"),
        ("mean_stopped", "D6", "stop_gradient on the mean"),
        host="jax",
        breaks=("gradients",),
        methods=G,
        fixtures=EIGHT_CHANNELS,
        dtypes=("float32",),
    ),
)

HONEST: tuple[Honest, ...] = (
    *honest(
        "honest_numpy",
        ("two_pass", "", "two passes"),
        ("by_welford", "", "Welford's recurrence, element by element"),
        ("by_chan", "", "Chan's pairwise merging"),
        ("shifted_by_first", "", "one pass over x minus the first element"),
        ("shifted_by_pilot_mean", "", "one pass over x minus the mean of the first 16"),
        ("kahan_sums", "", "Kahan's compensated sums"),
        ("sequential_sums", "V5", "one element after the other"),
        ("blocked_sums", "", "blocks of 16"),
        ("exact_sums", "", "math.fsum"),
        ("sums_by_ones", "", "matrix product with ones"),
        ("sums_by_einsum", "", "einsum"),
        ("sums_of_sorted", "", "sums of sorted rows"),
        ("division_first", "", "x/n summed"),
        ("library_variance", "", "np.mean and np.var"),
        ("deviation_squared", "", "np.std, squared"),
        ("refined", "", "variance minus the square of the mean deviation"),
        ("root_by_newton", "", "inverse root by Newton's iteration"),
        ("root_as_power", "", "power of -1/2"),
        ("divided_by_root", "", "division by the root"),
        ("scaled_before_centred", "V7", "x·r - mean·r"),
        ("folded_affine", "V7", "x·s + (bias - mean·s)"),
        ("float64_inside", "", "float64, rounded once"),
        ("longdouble_inside", "", "long double, rounded once"),
        ("one_pass_in_longdouble", "V3", "E[x²] - E[x]² in long double", {"dtypes": ("float32", *HALF)}),
        ("axes_at_once", "", "a tuple of axes", {"methods": B + L + I}),
    ),
    *honest(
        "honest_torch",
        ("composed", "", "differentiated by autograd"),
        ("backward_by_hand", "", "autograd.Function with the textbook backward"),
        ("library_variance", "", "var_mean and rsqrt"),
        ("centre_detached", "", "no gradient through the mean inside the variance, where it is 0"),
        ("float64_inside", "", "float64, rounded once"),
        ("batch_module", "", "BatchNorm2d", {"methods": B} | MODULE),
        ("layer_module", "", "LayerNorm", {"methods": L} | MODULE | {"fixtures": IMAGES}),
        ("instance_module", "", "InstanceNorm2d", {"methods": I} | MODULE),
        ("group_module", "", "GroupNorm", {"methods": G} | MODULE),
        ("layer_by_group", "", "layer norm by group norm", {"methods": L}),
        ("instance_by_batch", "", "instance norm by batch norm", {"methods": I}),
        host="torch",
    ),
    *honest(
        "jax_layers",
        ("plain", "", "jitted"),
        ("library_variance", "", "jnp.mean and jnp.var"),
        ("ones_contracted", "", "matrix product with ones"),
        host="jax",
        methods=G,
        fixtures=EIGHT_CHANNELS,
        dtypes=("float32",),
    ),
)

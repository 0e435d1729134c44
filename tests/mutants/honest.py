"""The honest implementations of the corpus, file by file."""

from __future__ import annotations

import functools

from files import RESIDUAL
from registry import CENTRED, EIGHT_CHANNELS, FULL, HALF, IMAGES, B, G, Honest, I, L, R, table

honest = functools.partial(table, of=Honest)
# In half precision PyTorch's own layers round what lies in between: normcheck says so, and is right.
MODULE = {"fixtures": EIGHT_CHANNELS, "dtypes": FULL}
OF_THE_MEAN = {"methods": CENTRED}  # RMS norm has none
HONEST: tuple[Honest, ...] = (
    *honest(
        "honest_numpy",
        ("two_pass", "", "two passes"),
        ("by_welford", "", "Welford's recurrence, element by element", OF_THE_MEAN),
        ("by_chan", "", "Chan's pairwise merging", OF_THE_MEAN),
        ("shifted_by_first", "", "one pass over x minus the first element", OF_THE_MEAN),
        ("shifted_by_pilot_mean", "", "one pass over x minus the mean of the first 16", OF_THE_MEAN),
        ("kahan_sums", "", "Kahan's compensated sums"),
        ("sequential_sums", "V5", "one element after the other"),
        ("blocked_sums", "", "blocks of 16"),
        ("exact_sums", "", "math.fsum"),
        ("sums_by_ones", "", "matrix product with ones"),
        ("sums_by_einsum", "", "einsum"),
        ("sums_of_sorted", "", "sums of sorted rows"),
        ("division_first", "", "x/n summed", OF_THE_MEAN),
        ("library_variance", "", "np.mean and np.var", OF_THE_MEAN),
        ("deviation_squared", "", "np.std, squared", OF_THE_MEAN),
        ("refined", "", "variance minus the square of the mean deviation", OF_THE_MEAN),
        ("root_by_newton", "", "inverse root by Newton's iteration"),
        ("root_as_power", "", "power of -1/2"),
        ("divided_by_root", "", "division by the root"),
        ("scaled_before_centred", "V7", "x·r - mean·r", OF_THE_MEAN),
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
        ("library_variance", "", "var_mean and rsqrt", OF_THE_MEAN),
        (
            "centre_detached",
            "",
            "no gradient through the mean inside the variance, where it is 0",
            OF_THE_MEAN,
        ),
        ("float64_inside", "", "float64, rounded once"),
        ("batch_module", "", "BatchNorm2d", {"methods": B} | MODULE),
        ("layer_module", "", "LayerNorm", {"methods": L} | MODULE | {"fixtures": IMAGES}),
        ("instance_module", "", "InstanceNorm2d", {"methods": I} | MODULE),
        ("group_module", "", "GroupNorm", {"methods": G} | MODULE),
        ("rms_module", "", "RMSNorm", {"methods": R} | MODULE | {"fixtures": ("offset-1e2",)}),
        ("rms_by_length", "", "RMS norm by the length of vectors", {"methods": R}),
        ("layer_by_group", "", "layer norm by group norm", {"methods": L}),
        ("instance_by_batch", "", "instance norm by batch norm", {"methods": I}),
        host="torch",
    ),
    *honest(
        "layouts",
        ("copies_first", "", "what is not dense is copied first"),
        ("gradient_in_a_copy", "", "a copy of grad_y as a scratchpad"),
        ("by_strides", "", "x read through its strides and offset"),
        ("nothing_for_frozen", "", "no gradient for what is frozen"),
        host="torch",
    ),
    *honest(
        "tails",
        ("padded_and_masked", "", "rows padded to whole vectors, and masked"),
        ("eps_in_float32", "", "eps rounded to float32", {"dtypes": ("float32", *HALF)}),
    ),
    *honest(
        "rms",
        ("by_length", "", "the length, squared, over n"),
        ("by_dot_product", "", "x·x over n"),
        ("scaled_first", "", "divided by the largest element first"),
        ("variance_and_mean", "", "var + mean²"),
        ("last_axes_at_once", "", "a tuple of axes"),
        methods=R,
    ),
    *honest(
        "residual",
        ("honest", "", "add and normalize"),
        ("residual_first", "", "residual + x"),
        ("in_float64", "", "the rounded sum in float64"),
        ("by_library", "", "torch.nn.functional.rms_norm of the sum", {"methods": R}),
        host="torch",
        methods=L + R,
        fixtures=(RESIDUAL,),
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

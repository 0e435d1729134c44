"""Random cases, each from a seed: any method, shape, parameters and data, and what a convention restricts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from normcheck.case import Case, Layout, Method, Mode
from normcheck.conventions.catalogue import PYTORCH, Bias, Convention, Weight, listed, parse
from normcheck.dtype import DType
from normcheck.dtypes import numpy_dtype
from normcheck.errors import UsageError
from normcheck.methods import (
    checked,
    checked_convention,
    complete,
    outputs,
    parameter_axes,
    parameter_shape,
)
from normcheck.parameters import Params

Array = np.ndarray
Random = np.random.Generator
Shape = tuple[int, ...]

# JAX compiles for every shape, so it gets these, the others a random one.
SHAPES: tuple[Shape, ...] = (
    *((1, 1), (2, 1), (1, 3), (5, 2), (64, 12), (4096, 4), (3, 2, 1), (2, 6, 35), (2, 4, 7, 9)),
    *((2, 3, 64, 64), (2, 2, 3, 4, 5), (1, 2, 50_000)),
)
MAX_ELEMENTS = 200_000
OF_HALF = {"cast_order", "residual_sum"}  # what only a half precision shows
_OF_X = ("weight", "bias", "residual")


def offset(random: Random, shape: Shape) -> Array:
    return random.standard_normal(shape) + 10.0 ** random.uniform(0, 6) * random.choice([-1, 1])


def channel_offsets(random: Random, shape: Shape) -> Array:
    channels = (1, shape[1], *(1,) * (len(shape) - 2))
    return random.standard_normal(shape) + 10.0 ** random.uniform(-2, 5, channels)


def constant(random: Random, shape: Shape) -> Array:
    return np.full(shape, random.choice([0.0, 0.1, 1.0, 1 / 3, 1e3, -7.7e5, random.standard_normal()]))


def nearly_constant(random: Random, shape: Shape) -> Array:
    """A few units in the last place of float32 apart, or of float64."""
    size, unit = 10.0 ** random.uniform(-3, 6), random.choice([2.0**-23, 2.0**-20, 2.0**-52])
    return size * (1 + unit * random.integers(-3, 4, shape))


def ramp(random: Random, shape: Shape) -> Array:
    return np.arange(np.prod(shape), dtype=np.float64).reshape(shape) * random.choice([1.0, 0.1, 1e-3])


def outliers(random: Random, shape: Shape) -> Array:
    far = random.random(shape) < random.choice([0.1, 0.01])
    return random.standard_normal(shape) * np.where(far, 10.0 ** random.uniform(2, 6), 1.0)


def two_values(random: Random, shape: Shape) -> Array:
    return np.where(random.random(shape) < 0.5, -1.0, 1.0) + random.choice([0.0, 1.0, 1e4])


KINDS: Mapping[str, Callable[[Random, Shape], Array]] = {
    "normal": lambda random, shape: random.standard_normal(shape),
    "uniform": lambda random, shape: random.uniform(0, 1, shape),
    "offset": offset,
    "channel offsets": channel_offsets,
    "constant": constant,
    "nearly constant": nearly_constant,
    "ramp": ramp,
    "outliers": outliers,
    "two values": two_values,
    "log-normal": lambda random, shape: np.exp(random.uniform(0.5, 3) * random.standard_normal(shape)),
    "sparse": lambda random, shape: random.standard_normal(shape) * (random.random(shape) < 0.05),
    "image 0-255": lambda random, shape: random.integers(0, 256, shape).astype(np.float64),
    "tiny": lambda random, shape: random.standard_normal(shape) * 10.0 ** random.uniform(-12, -3),
    "huge": lambda random, shape: random.standard_normal(shape) * 10.0 ** random.uniform(3, 12),
}
IN_FLOAT16 = ("normal", "uniform")  # whose squares and roots a statistic in float16 can hold
WEIGHTS: Mapping[str, Callable[[Random, Shape], Array]] = {
    "normal": lambda random, shape: random.standard_normal(shape),
    "ones": lambda random, shape: np.ones(shape),
    "large and small": lambda random, shape: 10.0 ** random.uniform(-3, 3, shape),
}
GRADIENTS: Mapping[str, Callable[[Random, Shape], Array]] = {
    "normal": lambda random, shape: random.standard_normal(shape),
    "ones": lambda random, shape: np.ones(shape),
    "few": lambda random, shape: random.standard_normal(shape) * (random.random(shape) < 0.1),
    "positive": lambda random, shape: random.uniform(0, 1, shape),
}


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A case with its inputs, and what drew it."""

    seed: int
    kind: str
    case: Case
    arrays: Mapping[str, Array]

    def __str__(self) -> str:
        case, x = self.case, self.arrays["x"]
        options = ";".join(case.options)
        options = options if len(options) < 80 else f"{options[:77]}..."
        what = f"{case.method}[{options}] {case.dtype} {self.kind} {x.shape} {case.layout}"
        given = " ".join(f"{name} {self.arrays[name].shape}" for name in _OF_X if name in self.arrays)
        return f"{what} {given or 'without weight'} (seed {self.seed})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is drawn from: one of ``methods`` and of ``dtypes``, and by what it is judged."""

    methods: tuple[Method, ...] = tuple(Method)
    dtypes: tuple[DType, ...] = (*[DType.FLOAT32] * 3, DType.FLOAT64, DType.FLOAT16, DType.BFLOAT16)
    convention: Convention = PYTORCH

    @property
    def name(self) -> str:
        return ";".join(self.convention.options)


ANY = Wanted()


def draw(seed: int, backend: str, wanted: Wanted = ANY) -> Drawn:
    """The case that belongs to ``seed``, ``backend`` and what is ``wanted``."""
    few_shapes = backend.startswith("jax")
    random = np.random.default_rng(seed)
    dtype = _any_of(random, wanted.dtypes)
    shape = _any_of(random, SHAPES) if few_shapes else _shape(random)
    method, mode = _any_of(random, wanted.methods), Mode(random.choice(["train", "train", "eval"]))
    params = _params(random, method, shape, few=few_shapes, channels_last=backend == "numpy")
    narrow = wanted.convention.stats_dtype is DType.FLOAT16
    params = replace(params, eps=1e-3) if narrow else params  # float16 has no 1e-8
    layout = Layout.STRIDED if not few_shapes and random.random() < 0.1 else Layout.CONTIGUOUS
    kinds, weights = (IN_FLOAT16, ("normal", "ones")) if narrow else (tuple(KINDS), tuple(WEIGHTS))
    kind = _any_of(random, kinds)
    arrays = {
        "x": KINDS[kind](random, shape),
        **_parameters(random, method, shape, params, always=few_shapes, weights=weights),
    }
    arrays["grad_y"] = GRADIENTS[_any_of(random, tuple(GRADIENTS))](random, shape)
    if not few_shapes and (random.random() < 0.15 or "residual_sum" in wanted.convention.stated):
        arrays["residual"] = KINDS[_any_of(random, (kind, *kinds))](random, shape)
    # autograd rounds the gradient of a float32 parameter that is cast to a half precision, the oracle does not
    mixed = dtype.half and not few_shapes and "cast_order" not in wanted.convention.stated
    held = DType.FLOAT32 if mixed and random.random() < 0.5 else dtype
    like_x = {"x", "grad_y", "residual"}
    arrays = {name: _as(a, dtype if name in like_x else held) for name, a in arrays.items()}
    tracks = "running_mean" in arrays
    mode = mode if tracks and not narrow else Mode.TRAIN  # running means go beyond float16
    case = Case(
        method=method,
        params=params,
        fixture=kind,
        shape=shape,
        dtype=dtype,
        mode=mode,
        steps=int(mode is Mode.TRAIN) + _more_steps(random),
        layout=layout,
        parameter_dtype=held,
        convention=wanted.convention,
        outputs=outputs(
            mode,
            tracks=tracks,
            weight="weight" in arrays and wanted.convention.weight is not Weight.IGNORED,
            bias="bias" in arrays and wanted.convention.bias is not Bias.IGNORED,
            gradients=True,
            residual="residual" in arrays,
        ),
    )
    return Drawn(seed=seed, kind=kind, case=case, arrays=arrays)


def _more_steps(random: Random) -> int:
    """Training steps before the call."""
    return int(random.integers(1, 4)) if random.random() < 0.1 else 0


def _any_of(random: Random, choices: tuple[Any, ...]) -> Any:
    return choices[random.integers(len(choices))]


def _as(array: Array, dtype: DType) -> Array:
    """In ``dtype``; what float16 cannot hold, or the sum of two, is brought into its range."""
    if dtype is DType.FLOAT16 and (largest := np.abs(array).max()) > 3e4:
        array = array * (3e4 / largest)
    return array.astype(numpy_dtype(dtype))


def _shape(random: Random) -> Shape:
    """From 2 to 5 axes; now and then 10⁵ elements."""
    most = MAX_ELEMENTS if random.random() < 0.02 else 4000
    while True:
        ndim = int(random.integers(2, 6))
        sizes = np.exp(random.uniform(0, np.log(most) * 2 / ndim, ndim)).astype(int)
        if np.prod(sizes) <= most:
            return tuple(map(int, sizes))


def _params(random: Random, method: Method, shape: Shape, *, few: bool, channels_last: bool) -> Params:
    eps = float(random.choice([1e-3, 1e-5, 1e-5, 1e-8, 1e-12]))
    if method in {Method.LAYER, Method.RMS}:
        return _normalized(random, method, shape, eps, few=few)
    axis = -1 if random.random() < 0.2 and channels_last else 1
    if method is Method.BATCH:
        return Params(eps=eps, channel_axis=axis, momentum=float(random.choice([0.1, 0.01, 1.0])))
    if method is Method.INSTANCE:
        tracks = {"momentum": 0.1, "track_running_stats": True} if random.random() < 0.2 else {}
        return Params(eps=eps, channel_axis=axis, **tracks)
    channels = shape[axis]
    if random.random() < 0.7:
        divisors = [d for d in range(1, channels + 1) if channels % d == 0]
        return Params(
            eps=eps,
            channel_axis=axis,
            num_groups=divisors[len(divisors) // 2] if few else _any_of(random, tuple(divisors)),
        )
    order = np.random.default_rng(0 if few else random.integers(100)).permutation(channels)
    groups = np.array_split(order, min(channels, 3))
    return Params(eps=eps, channel_axis=axis, groups=tuple(tuple(map(int, group)) for group in groups))


def _normalized(random: Random, method: Method, shape: Shape, eps: float, *, few: bool) -> Params:
    """The last axes, or now and then any of them but the first."""
    ndim = len(shape)
    if few or random.random() < 0.8:
        return Params(eps=eps, normalized_ndim=ndim - 1 if few else int(random.integers(1, ndim + 1)))
    axes = 1 + random.permutation(ndim - 1)[: random.integers(1, ndim)]
    params = Params(eps=eps, normalized_axes=tuple(map(int, axes)))
    return checked(method, shape, params, where="a drawn case")


def _parameters(
    random: Random, method: Method, shape: Shape, params: Params, *, always: bool, weights: tuple[str, ...]
) -> dict[str, Array]:
    own = parameter_shape(method, shape, params)
    found = {}
    first_is_free = 0 not in parameter_axes(method, shape, params)
    affine = (shape[0], *own) if first_is_free and not always and random.random() < 0.1 else own
    if always or random.random() < 0.8:
        found["weight"] = WEIGHTS[_any_of(random, weights)](random, affine)
        if method is not Method.RMS or random.random() < 0.3:
            found["bias"] = random.standard_normal(affine) * random.choice([0.0, 1.0, 100.0])
    if params.momentum is not None:
        found["running_mean"] = random.standard_normal(own) * random.choice([1.0, 1e3])
        found["running_var"] = 10.0 ** random.uniform(-3, 3, own)
    return found


def suits(drawn: Drawn) -> bool:
    """True if the method has the convention, and the convention says something of the case."""
    case, stated = drawn.case, drawn.case.convention.stated
    try:
        found = checked_convention(
            case.method, case.dtype, case.params, case.convention, residual="residual" in drawn.arrays
        )
    except UsageError:
        return False
    own_axis = case.tracks and case.dtype.half and drawn.arrays.get("weight", np.empty(0)).ndim > 1
    if own_axis and not stated:
        return False  # the torch adapter widens x but not the running statistics, and PyTorch raises
    of_half = OF_HALF & set(stated) and not case.dtype.half
    averaged = (
        stated and case.tracks and case.method is Method.INSTANCE
    )  # the corpus has none that follows one
    return not of_half and not averaged and (not stated or found != PYTORCH)


def each_convention(texts: list[str], wanted: Wanted) -> Iterator[Wanted]:
    """What is drawn from for each convention that is named: PyTorch's if none is, for ``all`` each value of each key.

    Methods and dtypes in which it is what they have anyway, or that do not have it, are left out.
    """
    if not texts:
        yield wanted
        return
    if texts == ["all"]:
        texts = [f"{key}={value}" for key, _, value, _ in listed()]
    for convention in map(parse, ([text] for text in texts)):
        pairs = [(m, d) for m in wanted.methods for d in wanted.dtypes if _has(m, d, convention)]
        methods, dtypes = (
            (tuple(dict.fromkeys(each)) for each in zip(*pairs, strict=True)) if pairs else ((), ())
        )
        if pairs and convention != PYTORCH:
            kept = tuple(dtype for dtype in wanted.dtypes if dtype in dtypes)
            yield replace(wanted, methods=methods, dtypes=kept, convention=convention)


def _has(method: Method, dtype: DType, convention: Convention) -> bool:
    params = complete(method, (2, 4), {}, channel_axis=1)
    try:
        return checked_convention(method, dtype, params, convention, residual=True) != PYTORCH and (
            dtype.half or not OF_HALF & set(convention.stated)
        )
    except UsageError:
        return False

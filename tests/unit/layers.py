"""Whole layers for the tests of the oracle: every method, dtype and mode, with adversarial data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from unit_helpers import shaped_params

from normcheck.case import Case, Method, Mode, Output
from normcheck.conventions.catalogue import PYTORCH, Bias, Convention, ResidualSum, Weight
from normcheck.dtype import DType
from normcheck.dtypes import numpy_dtype
from normcheck.fixtures.generate import bell, integers, log_normal, sparse, uniform
from normcheck.methods import outputs, parameter_axes, parameter_shape, partition_of, resolved
from normcheck.oracle import Inputs, Truth, evaluate
from normcheck.oracle.rule import Rule
from normcheck.oracle.state import Training

Array = np.ndarray
Shape = tuple[int, ...]

# The largest offset and the largest magnitude, which is one over the smallest, that the tests go to.
OFFSET = {DType.FLOAT64: 1e15, DType.FLOAT32: 1e8, DType.BFLOAT16: 1e8, DType.FLOAT16: 6e4}
SPAN = {DType.FLOAT64: 1e300, DType.FLOAT32: 1e30, DType.BFLOAT16: 1e30, DType.FLOAT16: 1e4}


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A case with its inputs."""

    case: Case
    inputs: Inputs

    def oracle(self, *, precise: bool | None = None) -> Mapping[Output, Truth]:
        """Every output; ``precise`` (None: in float64) in double-double."""
        case = self.case
        convention = resolved(case.method, case.dtype, case.convention)
        stats = case.dtype is DType.FLOAT64 if precise is None else precise
        return evaluate(
            self.inputs,
            case.outputs,
            rule=Rule.of(case.params.eps, convention),
            partition=partition_of(case.method, self.inputs.x.shape, case.params, case.convention),
            stats=DType.FLOAT64 if stats else DType.FLOAT32,
            training=Training.of(case, convention),
            convention=convention,
            running=case.uses_running,
        )


def layer(
    x: Any,
    method: Method,
    dtype: DType = DType.FLOAT64,
    *,
    weight: float | None = 1.0,
    mode: Mode = Mode.TRAIN,
    steps: int | None = None,
    convention: Convention = PYTORCH,
    residual: bool = False,
    per_sample: Sequence[str] = (),
    **params: Any,
) -> Layer:
    """A layer of ``x``, with weights of about the size of ``weight`` (None: neither weight nor bias)."""
    x = np.asarray(x, np.float64).astype(numpy_dtype(dtype))
    tracks = method is Method.BATCH or bool(params.get("track_running_stats"))
    if tracks:
        params.setdefault("momentum", 0.1)
    chosen = shaped_params(method, x.ndim, **params)
    mode = mode if tracks else Mode.TRAIN
    arrays = _arrays(x, parameter_shape(method, x.shape, chosen), weight, per_sample)
    if tracks:
        arrays |= _state(x.astype(np.float64), x.shape[chosen.channel_axis])
    # float16 is too narrow for variances: such layers keep them, and their parameters, in float32
    held = DType.FLOAT32 if dtype is DType.FLOAT16 else dtype
    cast = {name: a.astype(numpy_dtype(dtype if name == "grad_y" else held)) for name, a in arrays.items()}
    if residual:
        cast["residual"] = np.roll(x, 1) * x.dtype.type(-0.75)
    has = weight is not None
    return Layer(
        case=Case(
            method=method,
            params=chosen,
            fixture="layer",
            shape=x.shape,
            dtype=dtype,
            mode=mode,
            steps=int(mode is Mode.TRAIN) if steps is None else steps,
            parameter_dtype=held,
            convention=convention,
            outputs=outputs(
                mode,
                tracks=tracks,
                weight=has and convention.weight is not Weight.IGNORED,
                bias=has and convention.bias is not Bias.IGNORED,
                gradients=True,
                residual=residual,
            ),
        ),
        inputs=Inputs(
            x=x,
            **cast,
            parameter_axes=parameter_axes(method, x.shape, chosen),
            exact=convention.residual_sum is ResidualSum.EXACT,
        ),
    )


def _arrays(x: Array, own: Shape, weight: float | None, per_sample: Sequence[str]) -> dict[str, Array]:
    found = {"grad_y": uniform(4, x.size, low=-1, high=1).reshape(x.shape)}
    if weight is not None:
        shapes = {n: (len(x), *own) if n in per_sample else own for n in ("weight", "bias")}
        counts = {name: int(np.prod(shape)) for name, shape in shapes.items()}
        found["weight"] = uniform(2, counts["weight"], low=-2, high=2).reshape(shapes["weight"]) * weight
        found["bias"] = uniform(3, counts["bias"], low=-1, high=1).reshape(shapes["bias"])
    return found


def _state(x: Array, channels: int) -> dict[str, Array]:
    """Running statistics of about the size of the input's, as far as they are in range."""
    size = float(np.abs(x).max()) or 1.0
    return {
        "running_mean": uniform(5, channels, low=-1, high=1) * size,
        "running_var": uniform(6, channels, low=1, high=3) * np.clip(size, 1e-15, 1e15) ** 2,
    }


def adversarial(shape: Shape, dtype: DType = DType.FLOAT64) -> dict[str, Array]:
    """Data that is hard on a normalization, by name; within the range of ``dtype``."""
    count = int(np.prod(shape))
    offset, span, unit = OFFSET[dtype], SPAN[dtype], dtype.output_roundoff
    noise, ramp = bell(1, count), np.arange(1.0, count + 1)
    alternating = np.where(ramp % 2, -1.0, 1.0)
    found = {
        "ordinary": noise,
        "offset 10": noise + 10,
        "large offset": noise + offset,
        "large negative offset": noise - offset,
        "zero": 0 * ramp,
        "constant 0.1": np.full(count, 0.1),
        "constant 1e-30": np.full(count, 1 / span**0.1),
        "large constant": np.full(count, 1.07 * offset),
        "one unit apart": 1 + 2 * unit * (ramp % 3),
        "one of all differs": np.where(ramp == count, 1 + 2 * unit, 1.0),
        "ramp": ramp,
        "alternating": alternating * offset + noise,
        "outlier": np.where(ramp == count // 2, offset, noise),
        "log-normal": log_normal(7, count),
        "sparse": sparse(8, count),
        "tiny": noise / span,
        "small": noise / span ** (2 / 3),
        "huge": noise * span,
        "huge beside tiny": noise * span**alternating,
        "subnormal": integers(9, count, 4) * dtype.smallest_subnormal,
    }
    return {name: data.reshape(shape) for name, data in found.items()}

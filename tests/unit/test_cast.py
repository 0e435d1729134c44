"""x̂ rounded to a half precision before the affine step: what Hugging Face's layers do is forgiven, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from normcheck.answer import Answer
from normcheck.case import Case, Method, Output
from normcheck.conventions.catalogue import parse
from normcheck.dtype import DType
from normcheck.dtypes import numpy_dtype
from normcheck.judge.case import CaseJudge
from normcheck.options import Options
from normcheck.parameters import Params
from normcheck.verdict import Verdict

torch = pytest.importorskip("torch")
EPS, SHAPE = 1e-6, (6, 96)
OUTPUTS = (Output.Y, Output.GRAD_X, Output.GRAD_WEIGHT)
HALVES = (DType.FLOAT16, DType.BFLOAT16)


def as_llama(x: Any, weight: Any, *, wrong: float = 1.0) -> Any:
    """As LlamaRMSNorm has it; its mean square ``wrong`` times what it is."""
    wide = x.float()
    x_hat = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) * wrong + EPS)
    return weight * x_hat.to(x.dtype)


def as_gemma(x: Any, weight: Any) -> Any:
    """The same with a weight that is stored less 1, added in half precision."""
    return as_llama(x, 1 + weight)


def in_half(x: Any, weight: Any) -> Any:
    """Statistics in half precision."""
    return weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS))


def judged(norm: Any, dtype: DType, *conventions: str, scale: float = 1.0, gradient: float = 1.0) -> Any:
    """The judgements of ``norm``, whose x and incoming gradient have these sizes."""
    random = np.random.default_rng(5)
    offset = 0.0 if "weight=1+w" in conventions else 1.0
    data = {
        "x": random.standard_normal(SHAPE) * scale,
        "weight": random.standard_normal(SHAPE[1]) * 0.5 + offset,
        "grad_y": random.standard_normal(SHAPE) * gradient,
    }
    tensors = {name: torch.tensor(each).to(getattr(torch, dtype)) for name, each in data.items()}
    x, weight = (tensors[name].requires_grad_() for name in ("x", "weight"))
    y = norm(x, weight)
    found = (y, *torch.autograd.grad(y, (x, weight), tensors["grad_y"]))
    case = Case(
        method=Method.RMS,
        params=Params(eps=EPS, normalized_ndim=1),
        fixture="f",
        shape=SHAPE,
        dtype=dtype,
        convention=parse(conventions),
        outputs=OUTPUTS,
    )
    answer = Answer(verdict=None, outputs={o: _array(t, dtype) for o, t in zip(OUTPUTS, found, strict=True)})
    arrays = {name: _array(each, dtype) for name, each in tensors.items()}
    results = CaseJudge(case, arrays, Options()).judge({"a": answer}).results["a"]
    return {result.output: result.judgement for result in results}


def _array(tensor: Any, dtype: DType) -> np.ndarray:
    return tensor.detach().float().numpy().astype(numpy_dtype(dtype))


@pytest.mark.parametrize("gradient", [1.0, 2.0**-12, 2.0**-18])  # of one number, and of a mean loss
@pytest.mark.parametrize("scale", [1.0, 1e-2, 30.0])
@pytest.mark.parametrize("dtype", HALVES)
def test_what_is_written_that_way_passes(dtype: DType, scale: float, gradient: float) -> None:
    """In float16 h = g·weight is below the normal numbers where the gradient is that of a mean loss."""
    for norm, more in ((as_llama, ()), (as_gemma, ("weight=1+w",))):
        found = judged(norm, dtype, "cast_order=cast_then_affine", *more, scale=scale, gradient=gradient)
        beyond = {o: j.backward_error for o, j in found.items() if j.backward_error > j.allowed}
        assert {} == beyond, norm


@pytest.mark.parametrize("dtype", HALVES)
def test_by_the_other_order_it_fails(dtype: DType) -> None:
    assert Verdict.FAIL is judged(as_llama, dtype)[Output.Y].verdict


@pytest.mark.parametrize("dtype", HALVES)
def test_statistics_in_half_precision_and_a_wrong_mean_square_still_fail(dtype: DType) -> None:
    wrong = judged(lambda x, w: as_llama(x, w, wrong=1.02), dtype, "cast_order=cast_then_affine", scale=1e-2)
    assert {Verdict.FAIL} == {wrong[Output.Y].verdict, wrong[Output.GRAD_X].verdict}
    found = judged(in_half, dtype, "cast_order=cast_then_affine")
    assert Verdict.FAIL in {judgement.verdict for judgement in found.values()}

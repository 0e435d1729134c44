"""x̂ rounded to a half precision before the affine step: what Hugging Face's layers do is forgiven, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from normcheck.answer import Answer
from normcheck.case import Case, Method, Mode, Output
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


def judged(
    norm: Any,
    dtype: DType,
    *conventions: str,
    scale: float = 1.0,
    gradient: float = 1.0,
    held: DType | None = None,
) -> Any:
    """The judgements of ``norm``, whose x and incoming gradient have these sizes; its weight is ``held`` in a dtype."""
    random = np.random.default_rng(5)
    offset = 0.0 if "weight=1+w" in conventions else 1.0
    data = {
        "x": random.standard_normal(SHAPE) * scale,
        "weight": random.standard_normal(SHAPE[1]) * 0.5 + offset,
        "grad_y": random.standard_normal(SHAPE) * gradient,
    }
    dtypes = dict.fromkeys(data, dtype) | {"weight": held or dtype}
    tensors = {name: torch.tensor(each).to(getattr(torch, dtypes[name])) for name, each in data.items()}
    x, weight = (tensors[name].requires_grad_() for name in ("x", "weight"))
    y = norm(x, weight)
    y = y.to(x.dtype)
    found = (y, *torch.autograd.grad(y, (x, weight), tensors["grad_y"]))
    case = Case(
        method=Method.RMS,
        params=Params(eps=EPS, normalized_ndim=1),
        fixture="f",
        shape=SHAPE,
        dtype=dtype,
        parameter_dtype=held,
        convention=parse(conventions),
        outputs=OUTPUTS,
    )
    answer = Answer(verdict=None, outputs={o: _array(t) for o, t in zip(OUTPUTS, found, strict=True)})
    arrays = {name: _array(each) for name, each in tensors.items()}
    results = CaseJudge(case, arrays, Options()).judge({"a": answer}).results["a"]
    return {result.output: result.judgement for result in results}


def _array(tensor: Any) -> np.ndarray:
    return (
        tensor.detach().float().numpy().astype(numpy_dtype(DType(str(tensor.dtype).removeprefix("torch."))))
    )


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


@pytest.mark.parametrize("dtype", HALVES)
def test_a_weight_of_float32_promotes_what_was_rounded_and_is_not_rounded_itself(dtype: DType) -> None:
    def rounding(x: Any, weight: Any) -> Any:
        return as_llama(x, weight.to(x.dtype))

    order = "cast_order=cast_then_affine"
    found = judged(as_llama, dtype, order, held=DType.FLOAT32)
    assert {Verdict.PASS} == {judgement.verdict for judgement in found.values()}
    found = judged(rounding, dtype, order, held=DType.FLOAT32)
    assert Verdict.FAIL is found[Output.Y].verdict


def of_range(x: float, weight: float, bias: float, gradient: float, **wrong: float) -> Any:
    """Batch norm of float16 in inference whose first row has an x̂ and so on of these sizes, the second of 1."""
    columns = {"x": [x, 1.0], "running_mean": [0.0] * 2, "running_var": [1e-6, 1.0]}
    columns |= {"weight": [weight, 1.0], "bias": [bias, 0.0], "grad_y": [gradient, 1.0]}
    tensors = {n: torch.tensor([c], dtype=torch.float16) for n, c in columns.items()}
    tensors = {n: t if n in {"x", "grad_y"} else t[0] for n, t in tensors.items()}
    leaves = [tensors[name].requires_grad_() for name in ("x", "weight", "bias")]
    r = torch.rsqrt(tensors["running_var"].float() + EPS)
    x_hat = ((leaves[0].float() - tensors["running_mean"].float()) * r).half()
    y = x_hat * leaves[1] + leaves[2]
    found = [y, *torch.autograd.grad(y, leaves, tensors["grad_y"])]
    names = (Output.Y, Output.GRAD_X, Output.GRAD_WEIGHT, Output.GRAD_BIAS)
    case = Case(
        method=Method.BATCH,
        params=Params(eps=EPS, momentum=0.1),
        mode=Mode.EVAL,
        steps=0,
        fixture="f",
        shape=(1, 2),
        dtype=DType.FLOAT16,
        convention=parse(["cast_order=cast_then_affine"]),
        outputs=names,
    )
    outputs = {name: _array(tensor) for name, tensor in zip(names, found, strict=True)}
    for name, factor in wrong.items():
        outputs[Output(name)][..., 1] *= factor
    arrays = {name: _array(each) for name, each in tensors.items()}
    results = CaseJudge(case, arrays, Options()).judge({"a": Answer(verdict=None, outputs=outputs)}).results
    return {result.output: result.verdict for result in results["a"]}


@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param((100.0, 0.01, 0.0, 1.0), id="x̂"),
        pytest.param((0.0, 0.01, 0.0, 1.0), id="nothing"),
        pytest.param((90.0, 1.1, -60000.0, 1.0), id="w·x̂"),
        pytest.param((0.01, 200.0, 0.0, 2000.0), id="g·w"),
        pytest.param((40.0, 0.01, 0.0, 3.0), id="g·x̂"),
    ],
)
def test_what_overflows_on_the_way_is_not_decided_and_what_does_not_is(sizes: Any) -> None:
    right = of_range(*sizes)
    assert Verdict.FAIL not in right.values()
    for name in right:
        assert Verdict.FAIL is of_range(*sizes, **{name: 1.01})[name], name

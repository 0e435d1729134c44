"""What a run without options looks at: every layout, what is frozen or absent, both modes, awkward sizes and scales."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from in_process import host, judged

from normcheck.backends._base import laid_out
from normcheck.case import Case, Layout, Method, Mode, Output
from normcheck.dtype import DType
from normcheck.methods import definition, partition_of
from normcheck.plan import Selection, plan
from normcheck.verdict import Verdict
from normcheck.worker.compute import Worker

DENSE = {Layout.CONTIGUOUS}


def cases(method: Method, dtype: DType = DType.FLOAT32, fixtures: tuple[str, ...] = ()) -> list[Case]:
    chosen = Selection(methods=[method], dtypes=[dtype], fixtures=fixtures)
    return [planned.case for planned in plan(chosen).cases]


def given(case: Case) -> set[str]:
    """The parameters that a case has; documents, which has none, says so by its outputs."""
    return {name for name in ("weight", "bias") if f"grad_{name}" in case.outputs or name in case.frozen}


@pytest.mark.parametrize("method", Method)
def test_the_core_has_every_layout_of_every_array(method: Method) -> None:
    found = cases(method)
    ours = set(Layout) - {Layout.FORTRAN}  # that of files
    assert ours - {Layout.EXPANDED} == {case.layout for case in found}
    assert ours - {Layout.OFFSET} == {case.layout_of("grad_y") for case in found}
    assert {Layout.CONTIGUOUS, Layout.STRIDED} == {case.layout_of("weight") for case in found}
    whole = [c for c in found if {c.layout, *c.layouts.values()} == DENSE]
    assert whole, "a case in which nothing is unusual"


@pytest.mark.parametrize("method", Method)
def test_the_core_has_weight_and_bias_both_either_neither_and_frozen(method: Method) -> None:
    usual = set(definition(method).affine)
    found = cases(method)
    alone = {frozenset(given(case)) for case in found}
    wanted = [{"weight", "bias"}, {"weight"}, {"bias"}, set()]
    assert {frozenset(usual & each) for each in map(set.intersection, wanted, [set(usual)] * 4)} <= alone
    frozen = {frozenset(case.frozen) for case in found}
    assert {frozenset(), frozenset({"weight"}), frozenset(usual)} <= frozen
    assert all(Output.GRAD_X in case.outputs for case in found)


@pytest.mark.parametrize("method", Method)
def test_the_core_has_sets_beside_a_power_of_two_another_eps_and_one_that_matters(method: Method) -> None:
    found = cases(method)
    sizes = {
        int(np.prod([c.shape[a] for a in partition_of(method, c.shape, c.params).reduced])) for c in found
    }
    assert {0.25, 1e-5} == {case.params.eps for case in found}
    assert "low-sigma" in {case.fixture for case in found}
    if method is not Method.GROUP:  # whose groups are an axis more
        assert {63, 65} <= sizes


@pytest.mark.parametrize("method", [Method.BATCH, Method.INSTANCE])
def test_what_keeps_running_statistics_runs_in_both_modes(method: Method) -> None:
    tracking = [case for case in cases(method) if case.tracks]
    assert set(Mode) == {case.mode for case in tracking}
    pairs = [{c.mode for c in tracking if c.fixture == fixture} for fixture in {c.fixture for c in tracking}]
    assert pairs
    assert all(modes == set(Mode) for modes in pairs)
    (one,) = {case.mode for case in cases(Method.LAYER)}
    assert Mode.TRAIN is one


@pytest.mark.parametrize("method", Method)
def test_the_adversarial_fixtures_have_more_sets_than_a_grid_has_blocks(method: Method) -> None:
    sets = [
        case.shape[0] * case.shape[1] if method is not Method.BATCH else case.shape[1]
        for case in cases(method, fixtures=("adversarial",))
    ]
    assert max(sets) > 65_535


@pytest.mark.parametrize("dtype", [DType.FLOAT16, DType.BFLOAT16])
def test_half_precision_runs_the_adversarial_fixtures_and_names_those_that_it_does_not(dtype: DType) -> None:
    wanted = {DType.FLOAT16: {"huge"}, DType.BFLOAT16: {"tiny"}}[dtype]
    full = plan(Selection(fixtures=["adversarial"]))
    half = plan(Selection(fixtures=["adversarial"], dtypes=[dtype]))
    left = {each.fixture.name for each in full.cases} - {each.fixture.name for each in half.cases}
    assert wanted == left
    (note,) = [note for note in half.notes if dtype in note]
    assert all(name in note for name in wanted)


X = np.arange(24.0).reshape(2, 3, 2, 2)


@pytest.mark.parametrize("layout", Layout)
def test_a_layout_changes_where_the_elements_are_and_not_what_they_are(layout: Layout) -> None:
    x = np.broadcast_to(X[:1], X.shape) if layout is Layout.EXPANDED else X
    found = laid_out(x, layout)
    np.testing.assert_array_equal(x, found)
    assert not np.shares_memory(x, found)
    strides = {
        Layout.CONTIGUOUS: (12, 4, 2, 1),
        Layout.CHANNELS_LAST: (12, 1, 6, 3),
        Layout.STRIDED: (24, 8, 4, 2),
        Layout.OFFSET: (12, 4, 2, 1),
        Layout.EXPANDED: (0, 4, 2, 1),
        Layout.FORTRAN: (1, 2, 6, 12),
    }[layout]
    assert strides == tuple(step // 8 for step in found.strides)


def test_samples_that_differ_are_not_expanded() -> None:
    np.testing.assert_array_equal(X, laid_out(X, "expanded"))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_tensor_has_the_offset_and_the_strides_of_its_array(requires: Any, dtype: str) -> None:
    requires("torch")
    bits = np.arange(24, dtype=np.uint16 if dtype == "bfloat16" else np.float32).reshape(2, 3, 4)
    found = {
        layout: host("torch").from_numpy((dtype, laid_out(bits, layout)))
        for layout in ("contiguous", "offset", "strided")
    }
    assert [0, 3, 0] == [tensor.storage_offset() for tensor in found.values()]
    assert [(12, 4, 1), (12, 4, 1), (24, 8, 2)] == [tensor.stride() for tensor in found.values()]
    assert all((tensor == found["contiguous"]).all() for tensor in found.values())


def normalized(x: Any, weight: Any, bias: Any, eps: float, normalized_ndim: int) -> Any:
    import torch

    return torch.nn.functional.layer_norm(x, x.shape[-normalized_ndim:], weight, bias, eps)


def honest(x: Any, weight: Any, bias: Any, *, eps: float, normalized_ndim: int) -> Any:
    return normalized(x, weight, bias, eps, normalized_ndim)


def dense(tensor: Any) -> Any:
    """``tensor`` as if it were dense, from where its storage begins."""
    import torch

    memory = torch.empty(0, dtype=tensor.dtype).set_(tensor.detach().untyped_storage())
    return memory[: tensor.numel()].reshape(tensor.shape)


def x_dense(x: Any, weight: Any, bias: Any, *, eps: float, normalized_ndim: int) -> Any:
    return normalized(x + (dense(x) - x).detach(), weight, bias, eps, normalized_ndim)


def weight_dense(x: Any, weight: Any, bias: Any, *, eps: float, normalized_ndim: int) -> Any:
    seen = weight if weight is None else weight + (dense(weight) - weight).detach()
    return normalized(x, seen, bias, eps, normalized_ndim)


def weight_frozen(x: Any, weight: Any, bias: Any, *, eps: float, normalized_ndim: int) -> Any:
    y = normalized(x, weight, bias, eps, normalized_ndim)
    return y if weight is None or weight.requires_grad else y * 1.01 - (y * 0.01).detach()


def bias_alone(x: Any, weight: Any, bias: Any, *, eps: float, normalized_ndim: int) -> Any:
    return normalized(x, weight, bias if weight is not None else None, eps, normalized_ndim)


def eps_constant(x: Any, weight: Any, bias: Any, *, eps: float, normalized_ndim: int) -> Any:
    return normalized(x, weight, bias, 1e-5, normalized_ndim)


def squares_in_half(x: Any, weight: Any, bias: Any, *, eps: float, normalized_ndim: int) -> Any:
    import torch

    axes = tuple(range(x.ndim - normalized_ndim, x.ndim))
    wide = x.float()  # once: its gradients are summed in its own dtype
    d = wide - wide.mean(axes, keepdim=True)
    largest = torch.finfo(torch.float16).max
    y = d * torch.rsqrt((d * d).clamp(max=largest).mean(axes, keepdim=True) + eps)
    y = y if weight is None else y * weight.float()
    return (y if bias is None else y + bias.float()).to(x.dtype)


BROKEN = {
    "offset-1": x_dense,  # a slice
    "nc": x_dense,  # strided
    "ncdhw": x_dense,  # channels last
    "offset-1e2": weight_dense,
    "hundreds": weight_frozen,
    "past-64": bias_alone,
    "short-of-64": eps_constant,
}


@pytest.mark.parametrize("fixture", BROKEN)
def test_each_fixture_shows_what_it_is_there_for(requires: Any, fixture: str) -> None:
    requires("torch")
    assert {Verdict.PASS} == verdicts(honest, fixture)
    assert Verdict.FAIL in verdicts(BROKEN[fixture], fixture)


def test_squares_that_leave_half_precision_show(requires: Any) -> None:
    requires("torch")
    found = judged(Worker(host("torch"), squares_in_half), fixture="hundreds", dtype="float16")
    assert Verdict.FAIL in {r.verdict for r in found}
    found = judged(Worker(host("torch"), squares_in_half), fixture="nchw", dtype="float16")
    assert {Verdict.PASS} == {r.verdict for r in found}


def verdicts(function: Callable[..., Any], fixture: str) -> set[Verdict]:
    return {result.verdict for result in judged(Worker(host("torch"), function), fixture=fixture)}


def test_an_incoming_gradient_that_is_written_over_fails(requires: Any) -> None:
    requires("torch")
    import torch

    class Overwrites(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, y: Any) -> Any:
            return y.clone()

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            right = g.clone()
            g.mul_(2)
            return right

    def overwriting(x: Any, weight: Any, bias: Any, *, eps: float, normalized_ndim: int) -> Any:
        return Overwrites.apply(normalized(x, weight, bias, eps, normalized_ndim))

    found = judged(Worker(host("torch"), overwriting), fixture="nchw")
    assert {"the call changed its input grad_y"} == {result.judgement.reason for result in found}

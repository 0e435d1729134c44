"""What the layer libraries of JAX have in common: flax.linen, flax.nnx, equinox and haiku, at their most stable."""

from __future__ import annotations

import pytest
from driver import compare, wrong
from support import in_one_place, require_backend

from normcheck.case import Method, Mode, Output
from normcheck.verdict import Verdict

pytestmark = pytest.mark.usefixtures("kept_workers")
STABLE = (
    "flax.linen[use_fast_variance=False]",
    "flax.nnx[use_fast_variance=False]",
    "equinox[mode=batch]",
    "haiku",
)


SMALL = ("nc", "nchw", "nhwc", "odd", "documents")  # no offsets: what E[x²]-E[x]² gets right too


@pytest.fixture(scope="module", params=in_one_place("backend", STABLE))
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    require_backend(name.partition("[")[0])
    return name


@pytest.mark.parametrize("mode", Mode)
def test_their_layers_agree_with_the_oracle(backend: str, mode: Mode) -> None:
    report = compare(backend=backend, fixtures=SMALL, mode=mode, dtype=("float32", "float64"))
    assert [] == wrong(report, Verdict.UNSUPPORTED)
    passed = {r.case.method for r in report.results if r.backend == backend and r.verdict is Verdict.PASS}
    assert set(Method) - passed == ({Method.INSTANCE} if backend.startswith("equinox") else set())


def test_gradients_and_running_statistics_are_theirs(backend: str) -> None:
    report = compare("batch", backend=backend, fixtures=("nchw", "steps"))
    assert [] == wrong(report, Verdict.UNSUPPORTED)
    assert set(Output) - {Output.SUM, Output.GRAD_RESIDUAL} == {
        r.output for r in report.results if r.backend == backend
    }


def test_they_say_which_jax_they_ran_on(backend: str) -> None:
    report = compare("layer", backend=backend, fixtures=["nc"], gradients=False)
    facts = report.environment.backends[backend]
    assert facts["version"]
    assert facts["jax"]
    assert facts["version"] != facts["jax"]


def test_an_empty_batch_is_no_trouble(backend: str) -> None:
    report = compare(backend=backend, fixtures=["empty-batch"])
    trouble = [each for each in wrong(report, Verdict.UNSUPPORTED) if each[2] is not Verdict.INCONCLUSIVE]
    assert [] == trouble
    assert {r.output for r in report.results if r.verdict is Verdict.PASS} == {
        Output.GRAD_WEIGHT,
        Output.GRAD_BIAS,
    }

"""What arguments express is expressed for every library; what comes before and after a norm is the same for all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from driver import compare, wrong
from support import in_one_place, require_backend

from normcheck.backends import BUILTIN, DEFAULT
from normcheck.case import Mode, Output
from normcheck.verdict import Verdict

pytestmark = pytest.mark.usefixtures("kept_workers")
QUICK = [name for name, entry in BUILTIN.items() if not entry.by_hand and name != "torch.channels_last"]
HALF_ROUNDS = {"flax.linen", "flax.nnx", "haiku", "onnx.reference", "mlx", "tensorflow", "torch.decomp"}


@pytest.fixture(scope="module", params=in_one_place("backend", QUICK))
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    require_backend(name)
    return name


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Fixtures with weight and bias of each sample, and with a residual."""
    random, folder = np.random.default_rng(5), tmp_path_factory.mktemp("files")
    x, residual = random.standard_normal((2, 3, 6, 5)).astype(np.float32)
    parts = {
        "by-sample": {"weight": random.standard_normal((3, 5)), "bias": random.standard_normal((3, 5))},
        "bias-by-sample": {"weight": random.standard_normal(5), "bias": random.standard_normal((3, 5))},
        "residual": {"weight": random.standard_normal(5), "residual": residual},
        "channels-by-sample": {
            "weight": random.standard_normal((3, 6)),
            "bias": random.standard_normal((3, 6)),
        },
    }
    for name, arrays in parts.items():
        wide = {each: array.astype(np.float32) for each, array in arrays.items()}
        np.savez(folder / f"{name}.npz", x=x, **wide)
    return {name: str(folder / f"{name}.npz") for name in parts}


def judged(backend: str, method: str, fixtures: list[str], **more: object) -> None:
    report = compare(method, fixtures=fixtures, backend=backend, **more)
    assert [] == wrong(report, Verdict.UNSUPPORTED)
    lacks = {r.reason for r in report.results if r.verdict is Verdict.UNSUPPORTED}
    assert lacks <= {f"has no {method} norm", "torch.nn.LayerNorm has no bias without a weight"}


@pytest.mark.parametrize("method", ["layer", "rms"])
@pytest.mark.parametrize("axes", [[1], [1, 2]], ids=str)
def test_axes_that_are_not_the_last(backend: str, method: str, axes: list[int]) -> None:
    judged(backend, method, ["nchw"], normalized_axes=axes)


@pytest.mark.parametrize("method", ["layer", "rms"])
@pytest.mark.parametrize("name", ["by-sample", "bias-by-sample", "residual"])
def test_parameters_of_each_sample_and_a_residual(
    backend: str, method: str, name: str, files: dict[str, str]
) -> None:
    judged(backend, method, [str(Path(files[name]))], normalized_ndim=1)


@pytest.mark.parametrize("mode", Mode)
def test_running_statistics_of_half_precision_beside_parameters_of_each_sample(
    backend: str, mode: Mode, files: dict[str, str]
) -> None:
    """What is applied after the norm has it compute in float32, its statistics too."""
    report = compare(
        "batch", fixtures=[files["channels-by-sample"]], backend=backend, dtype="bfloat16", mode=mode
    )
    verdicts = {r.verdict for r in report.results}
    assert Verdict.ERROR not in verdicts
    if backend in DEFAULT:
        assert {Verdict.PASS} == verdicts


@pytest.mark.parametrize("convention", ["weight=1+w", "weight=ignored", "bias=ignored"])
def test_conventions_of_weight_and_bias_are_expressed(backend: str, convention: str) -> None:
    judged(backend, "layer", ["nc", "nchw"], convention=convention)


def test_one_plus_weight_is_formed_in_float32(backend: str) -> None:
    if backend in HALF_ROUNDS or backend.startswith("keras"):
        pytest.skip("rounds on the way")
    report = compare("rms", fixtures=["nc"], backend=backend, dtype="float16", convention="weight=1+w")
    assert {r.verdict for r in report.results if r.output is Output.Y} <= {Verdict.PASS, Verdict.UNSUPPORTED}


def test_momentum_of_the_old_statistics_is_expressed(backend: str) -> None:
    if backend in ("equinox", "haiku"):
        pytest.skip("their debiased averages are for momentums of PyTorch's sense alone")
    judged(backend, "batch", ["nchw"], convention="momentum=old", momentum=0.9)


@pytest.mark.parametrize(
    "convention", ["variance=unbiased", "eps_placement=outside_sqrt", "running_var=biased"]
)
def test_what_no_argument_expresses_fails(convention: str) -> None:
    method = "batch" if convention.startswith("running_var") else "instance"
    report = compare(
        method,
        fixtures=["n-2" if method == "instance" else "nchw"],
        backend="torch",
        convention=convention,
        eps=0.1,
    )
    assert Verdict.FAIL in {r.verdict for r in report.results}

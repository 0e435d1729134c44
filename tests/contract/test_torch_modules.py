"""Modules of PyTorch as they come out of a model: scripted, traced, compiled, with names and shapes of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import Completed

pytestmark = pytest.mark.filterwarnings("ignore")  # of PyTorch, that scripting is deprecated
Run = Callable[..., Completed]

MODULES = """
import torch
from torch import nn
from torch.nn import functional as F

class Named(nn.Module):
    def __init__(self, groups=4, channels=8):
        super().__init__()
        self.groups, self.epsilon = groups, 1e-3
        self.gamma = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x):
        y = F.group_norm(x, self.groups, None, None, self.epsilon)
        return y * self.gamma + self.beta

class Heedless(nn.GroupNorm):
    def forward(self, x):
        return F.group_norm(x, self.num_groups, self.weight, self.bias, 1e-2)

class Residual(nn.LayerNorm):
    def forward(self, x, residual):
        return super().forward(x + residual), x + residual

class Root(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight, self.variance_epsilon = nn.Parameter(torch.ones(size)), 1e-6

    def forward(self, hidden_states):
        wide = hidden_states.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
        return self.weight * wide.to(hidden_states.dtype)

@torch.jit.script
def scripted_function(x: torch.Tensor, num_groups: int, weight: torch.Tensor, bias: torch.Tensor, eps: float = 1e-5):
    return F.group_norm(x, num_groups, weight, bias, eps)

group = nn.GroupNorm(4, 8)
named = Named()
heedless = Heedless(4, 8)
scripted = torch.jit.script(nn.GroupNorm(4, 8))
traced = torch.jit.trace(nn.GroupNorm(4, 8), (torch.randn(3, 8, 5, 7),), check_trace=False)
compiled = torch.compile(nn.GroupNorm(4, 8), backend="eager")
wrapped = nn.Sequential(nn.GroupNorm(4, 8))
batch = torch.jit.script(nn.BatchNorm2d(8))
plain = nn.BatchNorm2d(8, track_running_stats=False)
no_affine = nn.GroupNorm(4, 8, affine=False)
residual = Residual(12)
rms = nn.RMSNorm(12)
root = Root(12)
filled = nn.LayerNorm(12)
with torch.no_grad():
    filled.weight.copy_(torch.linspace(0.5, 2, 12))
    filled.bias.copy_(torch.linspace(-1, 1, 12))
"""


@pytest.fixture
def own(
    invoke: Run, parsed: Any, requires: Callable[[str], None], tmp_path: Path
) -> Callable[..., tuple[int, dict[str, str]]]:
    """The exit code, and the verdicts by output, of a module of the file on a fixture."""
    requires("torch")
    (tmp_path / "own.py").write_text(MODULES)

    def compare(name: str, method: str, fixture: str = "nchw", *options: str) -> tuple[int, dict[str, str]]:
        chosen = ["--method", method, "--fixture", fixture, "--backend", f"mine=torch:own.py:{name}"]
        done = invoke("compare", *chosen, "--format", "json", *options)
        return done.returncode, {row["output"]: row["verdict"] for row in parsed(done.stdout)["results"]}

    return compare


AFFINE = dict.fromkeys(["y", "grad_x", "grad_weight", "grad_bias"], "pass")


@pytest.mark.parametrize(
    "name", ["group", "named", "scripted", "traced", "compiled", "wrapped", "scripted_function"]
)
def test_a_module_passes_however_it_comes(own: Any, name: str) -> None:
    assert (0, AFFINE) == own(name, "group", "nchw", "--num-groups", "4")


def test_a_scripted_batch_norm_updates_its_state(own: Any) -> None:
    state = dict.fromkeys(["running_mean", "running_var"], "pass")
    assert (0, AFFINE | state) == own("batch", "batch")
    assert (0, AFFINE) == own("batch", "batch", "nchw", "--mode", "eval")


def test_a_module_that_does_not_heed_its_own_eps_is_caught(own: Any) -> None:
    code, verdicts = own("heedless", "group")
    assert (1, "fail") == (code, verdicts["y"])


def test_a_module_without_state_has_no_eval_mode(own: Any) -> None:
    code, verdicts = own("plain", "batch", "nchw", "--mode", "eval")
    assert (5, {"unsupported"}) == (code, set(verdicts.values()))


def test_a_module_without_parameters_is_given_none(own: Any) -> None:
    assert (0, {"y": "pass", "grad_x": "pass"}) == own("no_affine", "group")


@pytest.mark.parametrize("name", ["rms", "root"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_rms_norm_brings_its_eps(own: Any, name: str, dtype: str) -> None:
    """PyTorch's is that of the dtype in which it computes, unless it is given one."""
    code, verdicts = own(name, "rms", "nc", "--dtype", dtype, "--convention", "cast_order=cast_then_affine")
    code, verdicts = own(name, "rms", "nc", "--dtype", dtype) if dtype == "float32" else (code, verdicts)
    assert (0, {"y", "grad_x", "grad_weight"}) == (code, set(verdicts))


def test_a_module_that_takes_a_residual_gets_it(own: Any, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(5, 12)).astype(np.float32)
    np.savez(tmp_path / "in.npz", x=x, residual=x[::-1].copy())
    code, verdicts = own("residual", "layer", str(tmp_path / "in.npz"), "--normalized-ndim", "1")
    assert (0, {*AFFINE, "sum", "grad_residual"}) == (code, set(verdicts))
    code, verdicts = own("filled", "layer", str(tmp_path / "in.npz"), "--normalized-ndim", "1")
    assert (5, {"unsupported"}) == (code, set(verdicts.values()))


def test_a_module_s_own_weights_are_those_of_a_file_that_has_none(own: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(5, 12)).astype(np.float32))
    assert (0, AFFINE) == own("filled", "layer", str(tmp_path / "x.npy"))

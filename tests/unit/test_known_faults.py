"""Faults of frameworks that are known by message, function and version are nobody's here: unsupported, with a link."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_process import judged
from support import CHECKOUT, Completed

from normcheck.backends import _faults
from normcheck.backends._faults import FAULTS, Fault
from normcheck.run.backends import BackendSpec
from normcheck.verdict import Verdict
from normcheck.worker.compute import Worker
from normcheck.worker.serve import adapter_of

Run = Callable[..., Completed]
OWN = """
import torch.nn.functional as F
def norm(x, weight, bias, num_groups, eps):
    y = F.group_norm(x, num_groups, weight, bias, eps)
    if y.requires_grad:
        y.register_hook(hook)
    return y
def hook(grad): {hook}
"""


@pytest.fixture
def compare(invoke: Run, tmp_path: Path, requires: Callable[[str], None]) -> Callable[..., dict[str, Any]]:
    """The results of group norm on an x with a bias, by output."""
    requires("torch")
    drawn = np.random.default_rng(0)
    x, bias = drawn.standard_normal((2, 4, 3), np.float32), drawn.standard_normal(4, np.float32)
    np.savez(tmp_path / "bias.npz", x=x, bias=bias)
    np.savez(tmp_path / "both.npz", x=x, bias=bias, weight=np.flip(bias) + 2)

    def compare(backend: str, parsed: Any, fixture: str = "bias.npz") -> dict[str, Any]:
        options = ["--method", "group", "--num-groups", "2", "--no-config", "--format", "json"]
        done = invoke("compare", "--backend", backend, "--fixture", fixture, *options)
        report = parsed(done.stdout)
        return {"exit": done.returncode, **{each["output"]: each for each in report["results"]}}

    return compare


@pytest.mark.parametrize(
    "backend", ["torch", "mine=torch:torch.nn.functional:group_norm", "mine=torch:norm.py:norm"]
)
def test_a_bias_without_weight_is_unsupported_in_torch(
    compare: Any, parsed: Any, tmp_path: Path, backend: str
) -> None:
    """Whosever call it is; y is judged, and the exit code is what it was."""
    (tmp_path / "norm.py").write_text(OWN.format(hook="return None"))
    found = compare(backend, parsed)
    assert (0, "pass") == (found["exit"], found["y"]["verdict"])
    for output in ("grad_x", "grad_bias"):
        assert "unsupported" == found[output]["verdict"]
        assert found[output]["reason"].startswith("torch 2.13")
        assert "docs/findings/torch-group-norm-bias-alone.py" in found[output]["reason"]


@pytest.mark.parametrize(
    "change", [{"versions": frozenset(["2.1"])}, {"message": "another"}, {"function": "g"}]
)
def test_another_version_message_or_function_is_an_error(
    compare: Any, parsed: Any, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    monkeypatch.setattr(_faults, "FAULTS", (FAULTS[0]._replace(**change),))
    found = compare("torch", parsed)
    assert (4, "pass", "error") == (found["exit"], found["y"]["verdict"], found["grad_x"]["verdict"])


def test_the_same_words_in_a_users_own_backward_are_an_error(
    compare: Any, parsed: Any, tmp_path: Path
) -> None:
    """With a weight PyTorch has no fault: what raises is the user's."""
    (tmp_path / "norm.py").write_text(OWN.format(hook='raise RuntimeError("tensor does not have a device")'))
    found = compare("mine=torch:norm.py:norm", parsed, "both.npz")
    assert (4, "error") == (found["exit"], found["grad_x"]["verdict"])


def test_a_fault_of_the_forward_is_known_by_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    library = types.ModuleType("library")
    exec("def norm(x): raise ValueError('odd shape')", library.__dict__)  # noqa: S102 (a library of one function)
    library.__dict__["__version__"] = "1.2.3"
    monkeypatch.setitem(sys.modules, "library", library)

    def norm(x: Any, weight: Any, bias: Any, eps: float) -> Any:
        return library.norm(x)

    def results() -> set[tuple[Verdict, str | None]]:
        worker = Worker(adapter_of(BackendSpec.parse("numpy").for_worker()), norm)
        return {(result.verdict, result.reason) for result in judged(worker)}

    assert {(Verdict.ERROR, "ValueError: odd shape")} == results()
    entry = Fault("library", frozenset(["1.2"]), "library.norm", "odd shape", "norm refuses it", "a link")
    monkeypatch.setattr(_faults, "FAULTS", (entry,))
    assert {(Verdict.UNSUPPORTED, 'library 1.2.3: norm refuses it ("odd shape"; a link)')} == results()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.link)
def test_each_fault_is_shown_by_a_program(fault: Fault) -> None:
    assert (CHECKOUT / fault.link).is_file()
    assert Path(fault.link).name in (CHECKOUT / "docs" / "findings" / "README.md").read_text()

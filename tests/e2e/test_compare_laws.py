"""``normcheck compare --laws`` with the real command: honest backends obey, a law's run that dies costs no other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from law_reports import by_law, law_of
from support import Completed, in_one_place, require_backend, run_normcheck

from normcheck.fixtures import catalogue

LAWLESS = Path(__file__).parents[1] / "lawless" / "lawless_numpy.py"
HONEST = ("numpy", "torch", "jax")
Run = Callable[..., Completed]
Parsed = Callable[[str], dict[str, Any]]
Folders = pytest.TempPathFactory

KNOWN = {
    # see docs/findings/torch-instance-norm-channels-last-gradient.py
    ("torch", "instance[channel_axis=-1;law=alone]/nhwc", "grad_x"),
    ("torch", "instance[law=alone]/ncdhw", "grad_x"),
    # LOOSE: of sets of one element y is the bias, and x·s + (bias - mean·s) is that but for a rounding
    ("torch", "group[num_groups=4]/n-1", "y"),
    # see docs/findings/rms-norm-gradient-of-large-numbers.py
    ("torch", "rms/huge", "grad_x"),
    ("torch", "rms[law=projection]/huge", "grad_x"),
}
# Too long for a test of everything; 'mixed' is for half precisions alone.
LEFT_OUT = {"long", "constant-image", "many-channels", "many-rows", "mixed"}
# Each layout, number of axes and state, one sample, and an offset.
IN_FLOAT64 = ("documents", "nhwc", "ncdhw", "nc", "steps", "tracked", "past-64", "offset-1e4")


def decided_elsewhere(result: dict[str, Any], results: list[dict[str, Any]]) -> bool:
    """True for what this case leaves open and another one decides."""

    def kind(r: dict[str, Any]) -> tuple[str, ...]:
        return r["method"], r["output"], law_of(r)

    return result["verdict"] == "inconclusive" and any(
        r["verdict"] == "pass" and kind(r) == kind(result) for r in results
    )


def rounds_on_the_way(result: dict[str, Any]) -> bool:
    """True for what PyTorch computes in half precision itself, as in docs/findings/torch-half-precision-cpu.py."""
    dense = not catalogue()[result["fixture"]].layouts
    return not dense and ("torch", "bfloat16") == (result["backend"], result["dtype"])


def run_of_all(folder: Path, *options: str) -> str:
    """The JSON report of one run of all honest backends: the oracle's work is shared."""
    for name in HONEST:
        require_backend(name)
    backends = [f"--backend={name}" for name in HONEST]
    return run_normcheck("compare", "--laws", *backends, "--format", "json", *options, cwd=folder).stdout


@pytest.fixture(scope="module", params=in_one_place("laws", ["float32", "float64"]))
def report(request: pytest.FixtureRequest, tmp_path_factory: Folders, parsed: Parsed) -> dict[str, Any]:
    """All laws: in float32 on all of core and adversarial; in float64, where double-double takes its time, on a few."""
    everything = [
        n for n, f in catalogue().items() if {"core", "adversarial"} & set(f.tags) and n not in LEFT_OUT
    ]
    names = everything if request.param == "float32" else IN_FLOAT64
    fixtures = [f"--fixture={name}" for name in names]
    return parsed(run_of_all(tmp_path_factory.mktemp("laws"), f"--dtype={request.param}", *fixtures))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("backend", HONEST)
def test_honest_backends_obey_every_law(report: dict[str, Any], backend: str) -> None:
    results = [r for r in report["results"] if r["backend"] == backend]
    accused = {
        (r["backend"], r["case"].rpartition("/")[0], r["output"])
        for r in results
        if r["verdict"] not in {"pass", "unsupported"} and not decided_elsewhere(r, results)
    }
    assert accused <= KNOWN
    applied = {law_of(r) for r in results if r["verdict"] == "pass"}
    laws = {"shift", "scale", "permutation", "alone", "affine", "sum", "projection", "linearity"}
    assert {"", *laws, "one-group", "own-groups"} == applied


@pytest.mark.xdist_group("laws in eval mode")
def test_honest_backends_obey_the_laws_of_running_statistics(tmp_path: Path, parsed: Parsed) -> None:
    options = ["--method", "batch", "--mode", "eval", "--dtype", "float32", "--dtype", "bfloat16"]
    report = parsed(run_of_all(tmp_path, *options))
    report["results"] = [r for r in report["results"] if not rounds_on_the_way(r)]
    for backend in HONEST:
        for law in ("", "scale", "permutation", "alone", "affine", "linearity"):
            assert {"pass"} == by_law(report, backend, law)
            assert {"float32", "bfloat16"} == {
                r["dtype"] for r in report["results"] if (backend, law) == (r["backend"], law_of(r))
            }


def test_a_law_run_that_dies_costs_no_other_comparison(run: Run, parsed: Parsed) -> None:
    target = f"bad=numpy:{LAWLESS}:dies_on_a_single_sample"
    cases = ["--method=instance", "--fixture=nchw", "--fixture=offset-1"]
    done = run("compare", "--laws", "--backend", target, "--format", "json", *cases)
    report = parsed(done.stdout)
    assert 4 == done.returncode
    assert {"crash"} == by_law(report, "bad", "alone")
    assert {"pass"} == by_law(report, "bad", "") == by_law(report, "bad", "shift")


def test_the_python_api_has_laws_too() -> None:
    import normcheck

    report = normcheck.compare("group", backends=["numpy"], fixtures=["documents"], laws=True)
    laws = {result.law for result in report.results}
    assert {"", "shift", "scale", "permutation", "alone", "sum", "projection", "linearity"} <= laws

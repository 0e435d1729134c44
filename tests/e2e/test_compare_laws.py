"""``normcheck compare --laws``: honest backends obey, whoever breaks a law is told which, nothing passes by default."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import Completed

from normcheck.fixtures import catalogue

HERE = Path(__file__).parent
NUMPY, TORCH = HERE / "lawless_numpy.py", HERE / "lawless_torch.py"
Run = Callable[..., Completed]
Parsed = Callable[[str], dict[str, Any]]
Requires = Callable[[str], None]

# PyTorch 2.13 on CPU: the gradient of instance_norm is wrong for a batch of one sample whose incoming gradient lies
# in memory with the channels last; F.instance_norm(x) of x (1, 6, 5, 7) shows it, a batch of two is right.
KNOWN = {("torch", "instance[channel_axis=-1;law=alone]/nhwc", "grad_x")}
# Too long for a test of everything; 'mixed' is for half precisions alone.
LEFT_OUT = {"long", "constant-image", "mixed"}


def law_of(result: dict[str, Any]) -> str:
    options = result["case"].partition("[")[2].partition("]")[0].split(";")
    return next((option.removeprefix("law=") for option in options if option.startswith("law=")), "")


def by_law(report: dict[str, Any], backend: str, law: str) -> set[str]:
    """The verdicts on one backend by one law, by whatever output; "" is the oracle."""
    return {r["verdict"] for r in report["results"] if r["backend"] == backend and law_of(r) == law}


def decided_elsewhere(result: dict[str, Any], results: list[dict[str, Any]]) -> bool:
    """True for what this case leaves open and another one decides."""

    def kind(r: dict[str, Any]) -> tuple[str, ...]:
        return r["method"], r["output"], law_of(r)

    return result["verdict"] == "inconclusive" and any(
        r["verdict"] == "pass" and kind(r) == kind(result) for r in results
    )


@pytest.mark.timeout(600)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("backend", ["numpy", "torch", "jax"])
def test_honest_backends_obey_every_law(
    run: Run, parsed: Parsed, requires: Requires, backend: str, dtype: str
) -> None:
    requires(backend)
    tags = {"core", "adversarial"} if dtype == "float32" else {"core"}  # double-double takes its time
    names = [n for n, f in catalogue().items() if tags & set(f.tags) and n not in LEFT_OUT]
    fixtures = [word for name in names for word in ("--fixture", name)]
    done = run("compare", "--laws", "--backend", backend, "--dtype", dtype, "--format", "json", *fixtures)
    results = parsed(done.stdout)["results"]
    accused = {
        (r["backend"], r["case"].rpartition("/")[0], r["output"])
        for r in results
        if r["verdict"] not in {"pass", "unsupported"} and not decided_elsewhere(r, results)
    }
    assert accused <= KNOWN
    applied = {law_of(r) for r in results if r["verdict"] == "pass"}
    laws = {
        "shift",
        "scale",
        "permutation",
        "alone",
        "sum",
        "projection",
        "linearity",
        "one-group",
        "own-groups",
    }
    assert {"", *laws} == applied


@pytest.mark.parametrize("backend", ["numpy", "torch", "jax"])
def test_honest_backends_obey_the_laws_of_running_statistics(
    run: Run, parsed: Parsed, requires: Requires, backend: str
) -> None:
    requires(backend)
    options = ["--method", "batch", "--mode", "eval", "--dtype", "float32", "--dtype", "bfloat16"]
    report = parsed(run("compare", "--laws", "--backend", backend, "--format", "json", *options).stdout)
    assert "pass" == report["summary"]["verdict"]
    for law in ("scale", "permutation", "alone", "affine", "linearity"):
        assert {"pass"} == by_law(report, backend, law)


INSTANCE = ("--method", "instance", "--fixture", "nchw")
BATCH = ("--method", "batch", "--fixture", "nchw")
LAWLESS = [
    ("numpy", "shift", "centred_by_running_mean", (*BATCH, "--no-gradients")),
    ("numpy", "scale", "eps_of_its_own", ("--method", "instance", "--fixture", "low-sigma")),
    ("numpy", "permutation", "without_the_last", INSTANCE),
    ("numpy", "alone", "wrong_for_one_sample", INSTANCE),
    ("numpy", "affine", "clipped", (*BATCH, "--mode", "eval", "--no-gradients")),
    ("torch", "sum", "detached_mean", INSTANCE),
    ("torch", "projection", "detached_variance", INSTANCE),
    ("torch", "linearity", "clipped_gradient", INSTANCE),
]


@pytest.mark.parametrize(("host", "law", "name", "options"), LAWLESS, ids=[row[1] for row in LAWLESS])
def test_whoever_breaks_a_law_fails_by_it(
    run: Run, parsed: Parsed, requires: Requires, host: str, law: str, name: str, options: tuple[str, ...]
) -> None:
    requires(host)
    target = f"bad={host}:{NUMPY if host == 'numpy' else TORCH}:{name}"
    done = run("compare", "--laws", "--backend", target, "--format", "json", *options)
    report = parsed(done.stdout)
    assert 1 == done.returncode
    assert "fail" in by_law(report, "bad", law)
    assert not {"error", "crash"} & by_law(report, "bad", law)


@pytest.mark.parametrize(
    ("host", "path", "laws"),
    [
        ("numpy", NUMPY, ("shift", "scale", "permutation", "alone")),
        ("torch", TORCH, ("shift", "scale", "permutation", "alone", "sum", "projection", "linearity")),
    ],
    ids=["numpy", "torch"],
)
def test_an_honest_implementation_of_ones_own_obeys(
    run: Run, parsed: Parsed, requires: Requires, host: str, path: Path, laws: tuple[str, ...]
) -> None:
    requires(host)
    done = run("compare", "--laws", "--backend", f"own={host}:{path}:honest", "--format", "json", *INSTANCE)
    report = parsed(done.stdout)
    assert 0 == done.returncode
    assert {"", *laws} == {law_of(r) for r in report["results"]}


@pytest.mark.parametrize(
    ("name", "law", "fixture"),
    [("eps_of_its_own", "scale", "low-sigma"), ("wrong_for_one_sample", "alone", "nchw")],
)
def test_laws_see_what_the_oracle_was_not_asked(
    run: Run, parsed: Parsed, name: str, law: str, fixture: str
) -> None:
    options = ("--backend", f"bad=numpy:{NUMPY}:{name}", "--method", "instance", "--fixture", fixture)
    report = parsed(run("compare", "--laws", "--format", "json", *options).stdout)
    assert {"pass"} == by_law(report, "bad", "")
    assert {"fail"} == by_law(report, "bad", law)


def test_all_zero_output_obeys_and_fails_all_the_same(run: Run, parsed: Parsed) -> None:
    done = run("compare", "--laws", "--backend", f"bad=numpy:{NUMPY}:zero", "--format", "json", *INSTANCE)
    report = parsed(done.stdout)
    assert {"fail"} == by_law(report, "bad", "")
    assert {"pass"} == by_law(report, "bad", "shift")
    assert 1 == done.returncode


def test_a_law_run_that_dies_costs_no_other_comparison(run: Run, parsed: Parsed) -> None:
    target = f"bad=numpy:{NUMPY}:dies_on_a_single_sample"
    done = run(
        "compare", "--laws", "--backend", target, "--format", "json", *INSTANCE, "--fixture", "offset-1"
    )
    report = parsed(done.stdout)
    assert 4 == done.returncode
    assert {"crash"} == by_law(report, "bad", "alone")
    assert {"pass"} == by_law(report, "bad", "") == by_law(report, "bad", "shift")


def test_the_table_has_a_line_for_each_law_and_how_to_see_it_again(run: Run) -> None:
    target = f"bad=numpy:{NUMPY}:wrong_for_one_sample"
    text = run("compare", "--laws", "--backend", "numpy", "--backend", target, *INSTANCE).stdout
    _, _, laws = text.partition("\nlaws, ")
    assert laws.splitlines()[1].split() == ["law", "numpy", "bad", "worst", "in"]
    assert "breaks the law that a sample alone gives what it gives in the batch" in text
    assert "the law demands" in text
    (command,) = (line for line in text.splitlines() if "reproduce: " in line)
    assert command.endswith("--laws")
    assert "note: laws that applied to no case in this run: affine, one-group" in text


def test_without_laws_there_are_none(run: Run, parsed: Parsed) -> None:
    report = parsed(run("compare", "--backend", "numpy", "--format", "json", *INSTANCE).stdout)
    assert {""} == {law_of(result) for result in report["results"]}


def test_the_python_api_has_laws_too() -> None:
    import normcheck

    report = normcheck.compare("group", backends=["numpy"], fixtures=["documents"], laws=True)
    laws = {result.law for result in report.results}
    assert {"", "shift", "scale", "permutation", "alone", "sum", "projection", "linearity"} <= laws

"""``normcheck compare --laws``: whoever breaks a law is told which, and nothing passes by default."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from law_reports import by_law, law_of
from support import Completed

HERE = Path(__file__).parents[1] / "lawless"
NUMPY, TORCH = HERE / "lawless_numpy.py", HERE / "lawless_torch.py"
Run = Callable[..., Completed]
Parsed = Callable[[str], dict[str, Any]]
Requires = Callable[[str], None]

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
    invoke: Run, parsed: Parsed, requires: Requires, host: str, law: str, name: str, options: tuple[str, ...]
) -> None:
    requires(host)
    target = f"bad={host}:{NUMPY if host == 'numpy' else TORCH}:{name}"
    done = invoke("compare", "--laws", "--backend", target, "--format", "json", *options)
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
    invoke: Run, parsed: Parsed, requires: Requires, host: str, path: Path, laws: tuple[str, ...]
) -> None:
    requires(host)
    done = invoke(
        "compare", "--laws", "--backend", f"own={host}:{path}:honest", "--format", "json", *INSTANCE
    )
    report = parsed(done.stdout)
    assert 0 == done.returncode
    assert {"", *laws} == {law_of(r) for r in report["results"]}


@pytest.mark.parametrize(
    ("name", "law", "fixture"),
    [("eps_of_its_own", "scale", "low-sigma"), ("wrong_for_one_sample", "alone", "nchw")],
)
def test_laws_see_what_the_oracle_was_not_asked(
    invoke: Run, parsed: Parsed, name: str, law: str, fixture: str
) -> None:
    options = ("--backend", f"bad=numpy:{NUMPY}:{name}", "--method", "instance", "--fixture", fixture)
    report = parsed(invoke("compare", "--laws", "--format", "json", *options).stdout)
    assert {"pass"} == by_law(report, "bad", "")
    assert {"fail"} == by_law(report, "bad", law)


def test_all_zero_output_obeys_and_fails_all_the_same(invoke: Run, parsed: Parsed) -> None:
    done = invoke("compare", "--laws", "--backend", f"bad=numpy:{NUMPY}:zero", "--format", "json", *INSTANCE)
    report = parsed(done.stdout)
    assert {"fail"} == by_law(report, "bad", "")
    assert {"pass"} == by_law(report, "bad", "shift")
    assert 1 == done.returncode


def test_the_table_has_a_line_for_each_law_and_how_to_see_it_again(invoke: Run) -> None:
    target = f"bad=numpy:{NUMPY}:wrong_for_one_sample"
    text = invoke("compare", "--laws", "--backend", "numpy", "--backend", target, *INSTANCE).stdout
    _, _, laws = text.partition("\nlaws, ")
    assert laws.splitlines()[1].split() == ["law", "numpy", "bad", "worst", "in"]
    assert "breaks the law that a sample alone gives what it gives in the batch" in text
    assert "the law demands" in text
    (command,) = (line for line in text.splitlines() if "reproduce: " in line)
    assert command.endswith("--laws")
    assert "note: laws that applied to no case in this run: affine, one-group" in text


def test_without_laws_there_are_none(invoke: Run, parsed: Parsed) -> None:
    report = parsed(invoke("compare", "--backend", "numpy", "--format", "json", *INSTANCE).stdout)
    assert {""} == {law_of(result) for result in report["results"]}

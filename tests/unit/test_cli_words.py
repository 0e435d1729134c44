"""What the command line says of itself: completion, ``--version``, how much the table says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from support import Completed

from normcheck.cli import group

Run = Callable[..., Completed]
QUICK = [
    "compare",
    "--method",
    "rms",
    "--method",
    "layer",
    "--fixture",
    "nc",
    "--fixture",
    "ncl",
    "--backend",
    "numpy",
]


def offered(*words: str) -> list[str]:
    *arguments, incomplete = words
    complete = ShellComplete(group, {}, "normcheck", "_NORMCHECK_COMPLETE")
    return [item.value for item in complete.get_completions(arguments, incomplete)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["com"], ["compare"]),
        (["compare", "--method", "l"], ["layer"]),
        (["compare", "--backend", "torch.d"], ["torch.decomp"]),
        (["record", "--backend", "torch.d"], ["torch.decomp"]),
        (["compare", "--backend", "mine=torch:no"], ["mine=torch:norm.py"]),
        (["compare", "--fixture", "adv"], ["adversarial"]),
        (["compare", "--fixture", "da"], ["data/"]),
        (["compare", "--fixture", "data/"], ["data/x.npy"]),
        (["compare", "--fixture", "nowhere/"], []),
        (["compare", "--convention", "weight=1"], ["weight=1+w"]),
        (["compare", "--suite", ""], ["ci"]),
    ],
    ids=" ".join,
)
def test_a_shell_is_offered_what_would_be_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], expected: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "normcheck.toml").write_text("[suites.ci]")
    (tmp_path / "norm.py").touch()
    (tmp_path / "data").mkdir()
    for name in ("x.npy", "notes.txt"):
        (tmp_path / "data" / name).touch()
    assert expected == offered(*words)


def test_a_configuration_that_cannot_be_read_offers_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "normcheck.toml").write_text("[")
    assert [] == offered("compare", "--suite", "")


def test_the_version_is_also_that_of_the_frameworks(invoke: Run) -> None:
    own, frameworks = invoke("--version").stdout.splitlines()
    assert own.startswith("normcheck 0.")
    assert "python 3." in frameworks
    assert " · numpy " in frameworks


def test_the_table_says_as_much_as_is_asked(invoke: Run) -> None:
    quiet, usual, verbose = (invoke(*QUICK, *option) for option in (["-q"], [], ["-v"]))
    assert [0, 0, 0] == [done.returncode for done in (quiet, usual, verbose)]
    (line,) = quiet.stdout.splitlines()
    assert line.startswith("✓ pass  6 cases, ")
    folded = [line.split("  ")[0] for line in usual.stdout.splitlines() if "the worst of each" in line]
    assert ["3 cases"] * 2 == sorted(folded)
    assert {"nc", "ncl"} <= {line.split(" ")[0] for line in verbose.stdout.splitlines()}
    assert "\nnot tested  dtypes: float64, " in usual.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-q", "-v"], "--quiet and --verbose contradict each other"),
        (["-q", "--format", "json"], "--format json has one form"),
    ],
)
def test_more_or_less_of_what_has_one_form_is_refused(invoke: Run, options: list[str], message: str) -> None:
    done = invoke(*QUICK, *options)
    assert (2, "") == (done.returncode, done.stdout)
    assert message in done.stderr

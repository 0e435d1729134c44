"""The ledger of known deviations: what it knows does not fail a run, and what it knows wrongly does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import Completed

Run = Callable[..., Completed]
NO_BIAS = """
from normcheck.backends.numpy import NumPy

def layer(x, weight, bias, **params):
    return NumPy({}).METHODS["layer"](x, weight, None, **params)
"""
ENTRY = {
    "backend": "mine",
    "case": "layer/nchw/*",
    "verdict": "fail",
    "reason": "it has no bias",
    "link": "a#1",
}


@pytest.fixture
def compare(invoke: Run, tmp_path: Path) -> Callable[..., Completed]:
    """Compare a layer norm without a bias; its y is wrong, its gradients are not there."""
    (tmp_path / "norm.py").write_text(NO_BIAS)

    def compare(*options: object, backend: str = "mine=numpy:norm.py:layer", **rest: Any) -> Completed:
        chosen = ["--method", "layer", "--fixture", "nchw", "--normalized-ndim", "3"]
        return invoke("compare", "--backend", backend, *chosen, *options, **rest)

    return compare


def written(folder: Path, *entries: dict[str, str], name: str = "normcheck.toml") -> Path:
    head = "[[known]]" if name == "normcheck.toml" else "[[tool.normcheck.known]]"
    tables = ("\n".join([head, *(f'{key} = "{value}"' for key, value in entry.items())]) for entry in entries)
    (folder / name).write_text("\n".join(tables))
    return folder / name


@pytest.mark.parametrize("name", ["normcheck.toml", "pyproject.toml"])
def test_a_known_failure_shows_as_such_and_does_not_fail_the_run(
    compare: Any, parsed: Any, tmp_path: Path, name: str
) -> None:
    assert 1 == compare().returncode
    written(tmp_path, ENTRY, name=name)
    done = compare()
    assert 0 == done.returncode, done.stdout
    assert "† known  mine: it has no bias (a#1): fail in 1 comparison" in done.stdout
    assert "✓ pass  1 case, 1 comparison: 1 known" in done.stdout
    report = parsed(compare("--format", "json").stdout)
    assert ("pass", 1, 1) == tuple(report["summary"][key] for key in ("verdict", "known", "fail"))
    (result,) = report["results"]
    assert ("fail", {"reason": "it has no bias", "link": "a#1"}) == (result["verdict"], result["known"])


def test_it_is_found_from_below_and_left_out_when_told_so(compare: Any, tmp_path: Path) -> None:
    path = written(tmp_path, ENTRY)
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    backend = f"mine=numpy:{tmp_path}/norm.py:layer"
    assert 0 == compare(backend=backend, cwd=below).returncode
    assert 1 == compare("--no-config").returncode
    moved = path.rename(tmp_path / "other.toml")
    assert 1 == compare().returncode
    assert 0 == compare("--config", moved).returncode


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"verdict": "error"}, "no longer gives error in layer/nchw/*"),
        ({"case": "layer/nhcw/*"}, "no case matches 'layer/nhcw/*'"),
        ({"backend": "other"}, "no backend matches 'other'"),
    ],
)
def test_an_entry_that_is_true_no_more_fails_the_run(
    compare: Any, parsed: Any, tmp_path: Path, change: dict[str, str], message: str
) -> None:
    written(tmp_path, ENTRY, {**ENTRY, **change})
    done = compare()
    assert 1 == done.returncode
    assert message in done.stdout
    report = parsed(compare("--format", "json").stdout)
    assert ("fail", 1) == (report["summary"]["verdict"], len(report["stale"]))
    assert message in report["stale"][0]


def test_each_of_several_patterns_has_to_hold(compare: Any, tmp_path: Path) -> None:
    table = "\n".join(f'{key} = "{value}"' for key, value in ENTRY.items() if key != "case")
    for cases, code in (("['layer/nchw/*', 'batch/nchw/*']", 0), ("['layer/nchw/*', 'layer/nope/*']", 1)):
        (tmp_path / "normcheck.toml").write_text(f"[[known]]\ncase = {cases}\n{table}")
        assert code == compare().returncode


def test_what_passes_again_is_no_known_failure(compare: Any, tmp_path: Path) -> None:
    written(tmp_path, {**ENTRY, "backend": "numpy"})
    done = compare(backend="numpy")
    assert 1 == done.returncode
    assert "no longer gives fail" in done.stdout


@pytest.mark.parametrize("change", [{"case": "batch/nchw/float32"}, {"case": "group*"}, {"backend": "torch"}])
def test_what_did_not_run_says_nothing(compare: Any, tmp_path: Path, change: dict[str, str]) -> None:
    written(tmp_path, ENTRY, {**ENTRY, **change})
    assert 0 == compare().returncode


def test_another_verdict_than_the_known_one_fails(compare: Any, tmp_path: Path) -> None:
    (tmp_path / "norm.py").write_text("def layer(x, weight, bias, *, eps): raise ValueError")
    written(tmp_path, ENTRY)
    assert 1 == compare().returncode


def test_brackets_in_a_pattern_are_brackets(invoke: Run, tmp_path: Path) -> None:
    entry = {**ENTRY, "backend": "numpy", "case": "group[num_groups=4]/nchw/float32", "output": "y"}
    written(tmp_path, entry)
    done = invoke("compare", "--backend", "numpy", "--method", "group", "--fixture", "nchw")
    assert "no longer gives fail in group[num_groups=4]/nchw/float32 (1 compared: pass)" in done.stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[known]]\ncase = 'a'", "'backend' is missing; required: case, backend, verdict, reason"),
        (
            "[[known]]\ncase='a'\nbackend='b'\nverdict='pass'\nreason='c'",
            "verdict is 'pass'; valid: loose, fail",
        ),
        ("[[known]]\ncase='a'\nbackend='b'\nverdict='fail'\nreason=' '", "reason is ' '; it must be text"),
        ("[[known]]\ncase='a'\nbackend='b'\nverdict='fail'\nreason='c'\nuntil='d'", "unknown key 'until'"),
        (
            "[[known]]\ncase='a'\nbackend='b'\nverdict='fail'\nreason='c'\noutput='z'",
            "output is 'z'; valid: y",
        ),
        ("[[known]]\ncase=[]\nbackend='b'\nverdict='fail'\nreason='c'", "case is an empty array"),
        ("[[known]]\ncase=['a',3]\nbackend='b'\nverdict='fail'\nreason='c'", "case is 3; it must be text"),
        ("known = 3", "'known' must be an array of tables"),
        ("knwon = []", "unknown key 'knwon'; valid: known"),
        ("[[known]", "not readable as TOML"),
    ],
)
def test_a_ledger_that_cannot_be_understood_is_refused(
    compare: Any, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "normcheck.toml").write_text(text)
    done = compare()
    assert (3, "") == (done.returncode, done.stdout)
    assert message in done.stderr


def test_a_config_without_a_word_for_normcheck_is_refused_if_it_is_named(
    compare: Any, tmp_path: Path
) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'a'")
    assert 1 == compare().returncode  # not meant for us
    assert "has no [tool.normcheck]" in compare("--config", "pyproject.toml").stderr
    assert 3 == compare("--config", "absent.toml").returncode

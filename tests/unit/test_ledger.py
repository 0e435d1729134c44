"""The ledger of known deviations: what it knows does not fail a run, and what it knows wrongly does."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import Completed
from test_reports import PASSED, judged, report

from normcheck.ledger.apply import applied
from normcheck.ledger.read import Entry, Ledger
from normcheck.report import Known
from normcheck.verdict import Verdict

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
    assert "† known  1 case, 1 comparison: 1 known" in done.stdout
    assert f"\nledger: {name}\n" in done.stdout
    found = parsed(compare("--format", "json").stdout)
    assert ("pass", 1, 1) == tuple(found["summary"][key] for key in ("verdict", "known", "fail"))
    assert name == found["ledger"]
    (result,) = found["results"]
    assert ("fail", {"reason": "it has no bias", "link": "a#1"}) == (result["verdict"], result["known"])


def test_it_is_found_from_below_and_left_out_when_told_so(compare: Any, tmp_path: Path) -> None:
    path = written(tmp_path, ENTRY)
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    backend = f"mine=numpy:{tmp_path}/norm.py:layer"
    done = compare(backend=backend, cwd=below)
    assert 0 == done.returncode
    assert "\nledger: ../../normcheck.toml\n" in done.stdout
    done = compare("--no-config")
    assert 1 == done.returncode
    assert "ledger" not in done.stdout
    moved = path.rename(tmp_path / "other.toml")
    assert 1 == compare().returncode
    assert 0 == compare("--config", moved).returncode


def test_an_entry_that_is_true_no_more_fails_the_run(compare: Any, parsed: Any, tmp_path: Path) -> None:
    written(tmp_path, ENTRY, {**ENTRY, "verdict": "error"})
    message = "no longer gives error in layer/nchw/*"
    done = compare()
    assert 1 == done.returncode
    assert message in done.stdout
    found = parsed(compare("--format", "json").stdout)
    assert ("fail", 1) == (found["summary"]["verdict"], len(found["stale"]))
    assert message in found["stale"][0]


def test_each_of_several_patterns_is_an_entry(compare: Any, tmp_path: Path) -> None:
    table = "\n".join(f'{key} = "{value}"' for key, value in ENTRY.items() if key not in ("case", "verdict"))
    for verdict, stale in (("fail", False), ("error", True)):
        patterns = "case = ['layer/nchw/*', 'batch/nchw/*']"
        (tmp_path / "normcheck.toml").write_text(f"[[known]]\n{patterns}\nverdict = '{verdict}'\n{table}")
        done = compare()
        assert int(stale) == done.returncode
        assert stale == ("mine no longer gives error in layer/nchw/*" in done.stdout)
        assert "batch/nchw" not in done.stdout


def test_what_passes_again_is_no_known_failure(compare: Any, tmp_path: Path) -> None:
    written(tmp_path, {**ENTRY, "backend": "numpy"})
    done = compare(backend="numpy")
    assert 1 == done.returncode
    assert "no longer gives fail" in done.stdout


@pytest.mark.parametrize(
    "change",
    [
        {"backend": "torch"},
        {"backend": "another"},
        {"case": "batch/nchw/float32"},
        {"case": "layer/mine.npz/float32"},
        {"case": "layer/nchw/bfloat16"},
        {"case": "layer[mode=eval]/nchw/float32"},
        {"case": "layer[law=shift]/nchw/float32"},
        {"output": "grad_x"},
        {"version": "0.1.*"},
    ],
    ids=lambda change: " ".join(change.values()),
)
def test_an_entry_that_this_run_could_not_have_shown_is_not_stale(
    compare: Any, tmp_path: Path, change: dict[str, str]
) -> None:
    """One ledger serves many commands, of other backends, methods, fixtures, dtypes, modes, outputs, versions."""
    written(tmp_path, ENTRY, {**ENTRY, "verdict": "error", **change})
    done = compare()
    assert (0, "") == (done.returncode, done.stderr), done.stdout
    assert "† known" in done.stdout


def test_an_entry_may_be_of_some_versions_only(compare: Any, tmp_path: Path) -> None:
    written(tmp_path, {**ENTRY, "version": f"{np.__version__.partition('.')[0]}.*"})
    assert 0 == compare().returncode
    written(tmp_path, {**ENTRY, "version": "0.*"})
    assert 1 == compare().returncode


def test_a_backend_that_gives_no_answer_contradicts_no_known_failure(compare: Any, tmp_path: Path) -> None:
    """It fails the run all the same, as what it is."""
    (tmp_path / "norm.py").write_text("def layer(x, weight, bias, *, eps): raise ValueError")
    written(tmp_path, ENTRY)
    done = compare()
    assert 4 == done.returncode
    assert "LEDGER" not in done.stdout


@pytest.mark.parametrize(
    ("known", "found", "stale"),
    [
        ("fail", "pass", True),
        ("fail", "loose", False),  # as --strict would have it
        ("loose", "fail", False),
        ("loose", "pass", True),
        ("fail", "inconclusive", False),
        ("fail", "unsupported", False),
        ("inconclusive", "pass", True),
        ("inconclusive", "crash", False),
        ("crash", "fail", True),
        ("crash", "unsupported", True),
        ("crash", "unavailable", False),
        ("unsupported", "inconclusive", True),
        ("unsupported", "timeout", False),
    ],
)
def test_an_entry_is_stale_where_a_result_contradicts_it(known: str, found: str, stale: bool) -> None:
    entry = Entry(
        case="group*",
        backend="numpy",
        verdict=Verdict(known),
        output=None,
        version=None,
        known=Known(reason="r"),
        where="here",
    )
    ledger = Ledger(entries=(entry,), name="l.toml")
    result = judged(PASSED, verdict=Verdict(found))
    assert stale == bool(applied(ledger, report(result)).stale)
    assert () == applied(ledger, report(result, judged(PASSED, verdict=Verdict(known)))).stale
    if known == "fail":  # an error that --max-backward-error let pass is no less
        assert () == applied(ledger, report(result, max_backward_error=9.0)).stale


@pytest.mark.parametrize("pattern", ["*" * 25 + "Z", "*?" * 12 + "Z", "layer*" * 2000], ids=len)
def test_a_pattern_of_many_stars_is_answered_at_once(compare: Any, tmp_path: Path, pattern: str) -> None:
    written(tmp_path, ENTRY, {**ENTRY, "case": pattern})
    assert 0 == compare().returncode


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
        ("knwon = []", "unknown key 'knwon'. Did you mean 'known'? Valid: known, suites"),
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


@pytest.mark.parametrize("broken", ["[tool.other\nthis is = not TOML", "\xff\xfe", "a = " + "[" * 5000])
def test_another_tools_pyproject_that_cannot_be_read_is_a_note(
    compare: Any, parsed: Any, tmp_path: Path, broken: str
) -> None:
    """The search goes on above it; named by --config it is an error, and so is one that speaks of normcheck."""
    written(tmp_path, ENTRY)
    (below := tmp_path / "below").mkdir()
    (below / "pyproject.toml").write_bytes(broken.encode("latin-1"))
    options = {"backend": f"mine=numpy:{tmp_path}/norm.py:layer", "cwd": below}
    done = compare(**options)
    assert (0, "") == (done.returncode, done.stderr)
    assert "note: left out: pyproject.toml: not readable as TOML" in done.stdout
    found = parsed(compare("--format", "json", **options).stdout)
    assert "../normcheck.toml" == found["ledger"]
    assert "pyproject.toml: not readable" in found["notes"][0]
    assert 3 == compare("--config", "pyproject.toml", **options).returncode
    (below / "pyproject.toml").write_bytes(b"[tool.normcheck]\n" + broken.encode("latin-1"))
    assert 3 == compare(**options).returncode


def test_a_config_without_a_word_for_normcheck_is_refused_if_it_is_named(
    compare: Any, tmp_path: Path
) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'a'")
    assert 1 == compare().returncode  # not meant for us
    assert "has no [tool.normcheck]" in compare("--config", "pyproject.toml").stderr
    assert 3 == compare("--config", "absent.toml").returncode
    os.mkfifo(tmp_path / "fifo.toml")
    assert "is no file to read" in compare("--config", "fifo.toml").stderr

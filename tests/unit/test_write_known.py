"""Entries for what fails now: with them alone the same run is known, and what was in the file stays."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import Completed, refused
from test_reports import CRASHED, FAILED, PASSED, judged, report

from normcheck.case import Output
from normcheck.config import read
from normcheck.ledger.apply import applied
from normcheck.ledger.read import ledger_of
from normcheck.ledger.write import existing, extended
from normcheck.report import Known, Report
from normcheck.verdict import Verdict

Run = Callable[..., Completed]
WRONG = "def norm(x, weight, bias, *, eps): return -x\n"


@pytest.fixture
def compare(invoke: Run, tmp_path: Path) -> Run:
    (tmp_path / "norm.py").write_text(WRONG)

    def compare(
        *options: object, fixture: object = "nc", backend: str = "mine=numpy:norm.py:norm"
    ) -> Completed:
        chosen = ["--method", "layer", "--fixture", fixture, "--no-gradients"]
        return invoke("compare", "--backend", backend, *chosen, *options)

    return compare


def entries(path: Path) -> list[dict[str, Any]]:
    table = tomllib.loads(path.read_text())
    found: list[dict[str, Any]] = table["tool"]["normcheck"]["known"] if "tool" in table else table["known"]
    return found


def again(path: Path, found: Report) -> Report:
    """The run once more, with the ledger at ``path``."""
    return applied(ledger_of(read(path)), found)


def written(path: Path, found: Report) -> int:
    text, count = extended(existing(path), path, found)
    path.write_text(text, newline="")
    return count


@pytest.mark.parametrize("name", ["normcheck.toml", "pyproject.toml", "other.toml"])
def test_what_was_written_makes_the_same_run_known(compare: Run, tmp_path: Path, name: str) -> None:
    done = compare("--write-known", name)
    assert (1, f"{name}: 1 entry added; fill in what is TODO\n") == (done.returncode, done.stderr)
    assert "✗ fail  1 case" in done.stdout
    (entry,) = entries(tmp_path / name)
    assert entry.pop("reason").startswith("TODO: say why (backward error ")
    assert {"backend": "mine", "case": ["layer/nc/float32"], "output": "y", "verdict": "fail"} == entry
    done = compare("--config", name, "--write-known", name)
    assert (0, f"{name}: nothing to add\n") == (done.returncode, done.stderr)
    assert "† known  1 case" in done.stdout


def test_entries_are_added_to_what_is_there(compare: Run, tmp_path: Path) -> None:
    """Comments, other tables and line ends stay; only what no entry of the file knows of is added."""
    path = tmp_path / "pyproject.toml"
    path.write_bytes(b"# mine\r\n[project]\r\nname = 'a'")
    compare("--write-known", path)
    assert path.read_bytes().startswith(b"# mine\r\n[project]\r\nname = 'a'\n\n[[tool.normcheck.known]]\n")
    before = path.read_bytes()
    done = compare("--write-known", path, "--fixture", "ncl")
    assert "1 entry added" in done.stderr
    assert path.read_bytes().startswith(before)
    assert ["layer/nc/float32", "layer/ncl/float32"] == [entry["case"][0] for entry in entries(path)]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.toml", "not = TOML = at all", "not readable as TOML"),
        ("a.toml", "[package]\nname = 'b'", "unknown key 'package'"),
        ("pyproject.toml", "[tool.normcheck]\nknwon = []", "unknown key 'knwon'"),
    ],
)
def test_what_cannot_be_understood_is_refused_before_the_run(
    compare: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_text(text)
    monkeypatch.setattr("normcheck.run.session.run", None)
    assert message in refused(compare("--no-config", "--write-known", name), 3)
    assert text == (tmp_path / name).read_text()


def test_an_array_in_one_line_takes_no_tables(tmp_path: Path) -> None:
    path = tmp_path / "normcheck.toml"
    path.write_text("known = []")
    with pytest.raises(Exception, match=r"'known' is no array of tables.*write each entry as \[\[known\]\]"):
        written(path, report(FAILED))


def test_a_report_is_shown_though_its_entries_cannot_be_written(compare: Run, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("known = []")
    done = compare("--no-config", "--write-known", "a.toml")
    assert 1 == done.returncode
    assert "✗ fail  1 case" in done.stdout
    assert "nothing can be added" in done.stderr


HOSTILE = [
    'quo"ted',
    "back\\slash",
    "line\nend",
    "st*r?",
    "[brackets]",
    "\x7f\x1b[31m",
    "n\udcff",
    "\u202eא🙂",
]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_any_name_is_written_so_that_it_is_found_again(tmp_path: Path, name: str) -> None:
    failed = replace(FAILED, case=replace(FAILED.case, fixture=name), backend=name)
    found, path = report(judged(failed, reason=name)), tmp_path / "l.toml"
    assert 1 == written(path, found)
    assert again(path, found).all_known
    assert path.read_text().replace("\n", "").isprintable()


def test_a_call_without_an_answer_is_one_entry_and_keeps_its_verdict(tmp_path: Path) -> None:
    failed = [replace(CRASHED, output=output) for output in (Output.Y, Output.GRAD_X)]
    found, path = report(PASSED, *failed), tmp_path / "l.toml"
    assert 1 == written(path, found)
    (entry,) = entries(path)
    assert ("crash", None) == (entry["verdict"], entry.get("output"))
    assert again(path, found).all_known


def test_of_a_call_with_an_answer_the_output_is_named(tmp_path: Path) -> None:
    gradient = judged(replace(PASSED, output=Output.GRAD_X), verdict=Verdict.ERROR)
    found, path = report(PASSED, gradient), tmp_path / "l.toml"
    written(path, found)
    (entry,) = entries(path)
    assert ("error", "grad_x") == (entry["verdict"], entry["output"])
    assert again(path, found).all_known


@pytest.mark.parametrize(
    ("verdict", "count"),
    [("inconclusive", 1), ("unsupported", 1), ("unavailable", 0), ("loose", 0), ("pass", 0)],
)
def test_what_fails_a_run_is_written_and_nothing_else(tmp_path: Path, verdict: str, count: int) -> None:
    """A backend that is missing on this machine is not at fault."""
    found = report(PASSED, judged(replace(PASSED, backend="b"), verdict=Verdict(verdict)))
    assert count == written(path := tmp_path / "l.toml", found)
    if count:
        assert again(path, found).all_known


def test_reasons_that_another_ledger_has_are_kept(tmp_path: Path) -> None:
    """What it knows of is written too: with this file alone the run is to be known."""
    found, path = (
        report(replace(FAILED, known=Known(reason="why", link="there")), PASSED),
        tmp_path / "l.toml",
    )
    written(path, found)
    (entry,) = entries(path)
    assert ("why", "there") == (entry["reason"], entry["link"])


def test_what_is_no_file_is_not_read(compare: Run, tmp_path: Path) -> None:
    """Reading a FIFO would wait for ever; what was redirected to a log is no ledger."""
    reader = os.open(_fifo(tmp_path), os.O_RDONLY | os.O_NONBLOCK)
    with (tmp_path / "log").open("w") as log:
        log.write("no TOML\n")
        log.flush()
        for path in (tmp_path / "fifo", f"/dev/fd/{log.fileno()}"):
            assert "1 entry added" in compare("--write-known", path).stderr
    text = os.read(reader, 10_000).decode()
    os.close(reader)
    assert text.startswith('[[known]]\nbackend = "mine"\n')
    assert f"no TOML\n{text}" == (tmp_path / "log").read_text()


def _fifo(folder: Path) -> str:
    os.mkfifo(path := folder / "fifo")
    return str(path)


def test_a_fixture_of_ones_own(compare: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "x y.npy", np.arange(12.0, dtype="f").reshape(3, 4))
    assert 1 == compare("--write-known", "normcheck.toml", fixture="x y.npy").returncode
    assert 0 == compare(fixture="x y.npy").returncode

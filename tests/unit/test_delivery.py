"""Several reports in one run: each where it is wanted, none in another's way, the table still on the terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest
from support import Completed, refused

from normcheck.cli import output
from normcheck.cli.delivery import Destination, destinations
from normcheck.cli.output import OutputError
from normcheck.reports import FORMATS
from normcheck.reports.markdown import LIMIT

Run = Callable[..., Completed]
QUICK = ["compare", "--method", "layer", "--fixture", "nc", "--no-gradients", "--backend", "numpy"]


def test_every_format_goes_to_its_own_file_and_the_table_to_the_terminal(
    invoke: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    wanted = [f"--report={name}=report.{name}" for name in FORMATS]
    done = invoke(*QUICK, *wanted)
    assert (0, "") == (done.returncode, done.stderr)
    files = {name: (tmp_path / f"report.{name}").read_text() for name in FORMATS}
    assert done.stdout == files["table"]
    assert "pass" == json.loads(files["json"])["summary"]["verdict"]
    assert "testsuites" == fromstring(files["junit"]).tag
    assert files["markdown"].startswith("## normcheck: ✓ pass")
    assert files["github"].startswith("::notice ")


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_one_of_format_too(invoke: Run, name: str) -> None:
    done = invoke(*QUICK, "--format", name)
    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.strip()


def test_beside_annotations_the_table_cannot_give_commands(run: Run, tmp_path: Path) -> None:
    """What a backend prints is in the table: GitHub's runner takes no command between these two lines."""
    (tmp_path / "norm.py").write_text(
        "def norm(x, weight, bias, *, eps):\n    print('::error::forged')\n    return -x\n"
    )
    done = run(*QUICK[:-1], "mine=numpy:norm.py:norm", "--report", "github=-")
    stop, *table, start, first, last = done.stdout.splitlines()
    (token,) = re.findall(r"^::stop-commands::([0-9a-f]{32})$", stop)
    assert f"::{token}::" == start
    assert "::error::forged" in [line.strip() for line in table], "it would be a command there"
    assert first.startswith("::error file=norm.py,line=1,title=fail%3A mine")
    assert last.startswith("::notice title=normcheck%3A exit code 1::✗ fail")


def test_a_descriptor_is_standard_output_too() -> None:
    assert destinations("table", None, ["github=/dev/stdout"], [])[1].file == "/dev/stdout"
    assert (Destination(format="json", file="-"),) == destinations("json", "-", [], [])


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--report", "xml=r.xml"], 2, f"Valid: {', '.join(FORMATS)}."),
        (["--report", "junit"], 2, "has no '=': write FORMAT=FILE, such as junit=report.xml; formats: table"),
        (["--report", "markdown="], 2, "names no file (is a variable not set?)"),
        (["--report", "=r.xml"], 2, "unknown format ''"),
        (["--report", "json=r", "--report", "junit=./r"], 2, "two outputs go to one file, ./r"),
        (["--output", "r", "--report", "junit=r"], 2, "two outputs go to one file"),
        (["--write-known", "r.toml", "--report", "junit=r.toml"], 2, "two outputs go to one file"),
        (["--report", "json=-"], 2, "table and json cannot share standard output, only table and github can"),
        (["--report", "json=/dev/stdout"], 2, "table and json cannot share standard output"),
        (["--format", "json", "--report", "github=-"], 2, "json and github cannot share"),
        (["--report", "table=-"], 2, "table and table cannot share"),
        (["--report", "github=-", "--report", "github=-"], 2, "table and github and github cannot share"),
        (["--report", "junit=no/such/r.xml"], 3, "cannot write no/such/r.xml: there is no directory"),
        (["--report", "junit=."], 3, "cannot write .: Is a directory"),
        (["--report", "junit=loop"], 3, "cannot write loop: "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_said_before_the_run(
    invoke: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.setattr("normcheck.run.session.run", None)
    (tmp_path / "loop").symlink_to("loop")
    assert message in refused(invoke(*QUICK, *options), code)


def test_devices_take_any_number_of_reports(invoke: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """And are never read, whatever the summary is."""
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "/dev/zero")
    reports = ["json=/dev/null", "junit=/dev/null", "markdown=/dev/null"]
    assert 0 == invoke(*QUICK, *(f"--report={each}" for each in reports)).returncode


def test_a_report_that_cannot_be_written_is_named_and_the_others_are_there(
    invoke: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = output._replace

    def full(path: str, *rest: object) -> None:
        if path.endswith(".xml"):
            raise OSError(28, "No space left on device")
        write(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(output, "_replace", full)
    done = invoke(*QUICK, "--report", "junit=r.xml", "--report", "json=r.json")
    assert 3 == done.returncode
    assert "normcheck: cannot write r.xml: No space left on device\n" == done.stderr
    assert "1 case, 1 comparison: 1 pass" in done.stdout
    assert "pass" == json.loads((tmp_path / "r.json").read_text())["summary"]["verdict"]


def test_the_summary_of_a_step_is_added_to(
    invoke: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is one file for all commands of a step. Any other file is replaced."""
    (summary := tmp_path / "summary.md").write_text("# Before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    for _ in range(2):
        assert 0 == invoke(*QUICK, "--report", "markdown=summary.md", "--report", "markdown=m.md").returncode
    assert summary.read_text().startswith("# Before\n\n## normcheck: ✓ pass")
    assert 2 == summary.read_text().count("## normcheck: ✓ pass")
    assert 1 == (tmp_path / "m.md").read_text().count("## normcheck: ✓ pass")
    summary.write_text("x" * LIMIT)
    done = invoke(*QUICK, "--report", f"markdown={summary}")
    assert 3 == done.returncode
    assert "1,048,576 bytes, and GitHub shows 1,048,576" in done.stderr
    summary.write_text("x" * (LIMIT - 250))
    assert 0 == invoke(*QUICK, "--report", f"markdown={summary}").returncode
    assert LIMIT - 250 < summary.stat().st_size <= LIMIT
    assert "Left out: what is beyond the size" in summary.read_text()


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="Is a directory"):
        output.check_file(str(tmp_path))
